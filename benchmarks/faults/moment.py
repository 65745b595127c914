"""The moment at which a fault strikes, and all that an injection may use."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.faults.audit import Finding, Reference
from benchmarks.faults.photographer import EventCase, Photographer
from benchmarks.faults.scene import Scene


@dataclass(frozen=True)
class Moment:
    """Where a fault strikes: the victim's sync is running, and so may the others' be.

    The reference's event is one that nothing works on. What people meet while the fault lasts is
    noted in `findings`.
    """

    scene: Scene
    photographer: Photographer
    victim: EventCase
    cases: Sequence[EventCase]
    reference: Reference
    chance: random.Random
    findings: list[Finding] = field(default_factory=list)
