"""The command of `make faults`: faults at random moments of syncs, then recovery and an audit.

It ends with one line of JSON: {"faults": n, "lost": 0, "doubled": 0, "stuck": 0, "unanswered": 0,
"foreign": 0}. It fails unless all requested faults were injected and the other numbers are zero.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks.faults.audit import Finding
from benchmarks.faults.deck import Deck
from benchmarks.faults.kinds import FAULTS, Fault
from benchmarks.faults.photographer import Photographer
from benchmarks.faults.recovery import Outcome, References
from benchmarks.faults.report import build_line, build_table
from benchmarks.faults.rounds import Round
from benchmarks.faults.scene import Scene, open_scene
from deployments.command_line.signals import interrupt_on_signals
from deployments.sample_photos import SamplePhoto, make_sample_photos

# What would lead the campaign to the caller's own servers.
OUTSIDE = ("FACEPASS_", "PREFECT_", "AWS_")
DEFAULT_FAULTS = 64
LONGEST_ROUND_S = 240.0  # no round is begun with less time left
MOST_TOLD = 12  # findings of a round: forty guests may meet the same
EVERY = 2  # of the sample photos

console = Console(stderr=True, highlight=False, soft_wrap=True, width=110)


def main() -> int:
    """Run the campaign: 0 when there are no findings."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=DEFAULT_FAULTS, help="how many to inject")
    parser.add_argument("--minutes", type=float, default=30.0, help="at most")
    parser.add_argument("--only", help="kinds whose name contains one of these, comma-separated")
    parser.add_argument("--models", type=Path, help="where the model pack is assembled, and kept")
    parser.add_argument("--logs", type=Path, help="copy the stack's logs there at the end")
    chosen = parser.parse_args()
    for name in [name for name in os.environ if name.startswith(OUTSIDE)]:
        del os.environ[name]
    words = chosen.only.split(",") if chosen.only else [""]
    kinds = [fault for fault in FAULTS if any(word in fault.name for word in words)]
    deadline = time.monotonic() + 60 * chosen.minutes - LONGEST_ROUND_S
    with (
        interrupt_on_signals(),
        # A short path: PostgreSQL's sockets do not like long ones.
        tempfile.TemporaryDirectory(prefix="fp-") as folder,
        open_scene(Path(folder), chosen.models, chosen.seed, _say) as scene,
    ):
        try:
            campaign = Campaign(scene, kinds, chosen.seed)
            campaign.run(chosen.faults, deadline)
        finally:
            if chosen.logs:
                shutil.copytree(scene.stack.home.logs, chosen.logs, dirs_exist_ok=True)
    console.print(build_table(campaign.hit))
    line = build_line(campaign.hit, campaign.findings)
    sys.stdout.write(json.dumps(line) + "\n")
    return int(line["faults"] < chosen.faults or bool(campaign.findings))


class Campaign:
    """Rounds until enough faults were injected, or the time is up."""

    def __init__(self, scene: Scene, kinds: list[Fault], seed: int) -> None:
        self.hit: list[tuple[Fault, Outcome]] = []
        self.findings: list[Finding] = []
        self._scene = scene
        self._chance = random.Random(seed)  # noqa: S311 - a seeded campaign, no secrets
        self._deck = Deck(kinds, self._chance)

    def run(self, faults: int, deadline: float) -> None:
        """Inject so many faults; `deadline` (monotonic) is when no round is begun any more."""
        photographer = Photographer(self._scene, choose_photos())
        references = References(self._scene, photographer, _say)
        references.find()
        number = 0
        while len(self.hit) < faults and time.monotonic() < deadline:
            number += 1
            began = time.monotonic()
            one = Round(self._scene, photographer, references, self._chance)
            report = one.run(self._deck.draw(faults - len(self.hit)))
            self._deck.put_back(report.missed)
            self.hit += report.hit
            self.findings += report.findings
            names = "; ".join(f"{fault.name} ({outcome})" for fault, outcome in report.hit)
            took = time.monotonic() - began
            _say(f"Round {number}, {took:.0f} s, {len(self.hit)} faults so far: {names or 'none'}")
            for remark in report.remarks:
                _say(f"  {remark}")
            for finding in report.findings[:MOST_TOLD]:
                _say(f"  {finding.verdict.upper()}: {finding.sentence}")
            if len(report.findings) > MOST_TOLD:
                _say(f"  ... and {len(report.findings) - MOST_TOLD} more findings")
        photographer.close()


def choose_photos() -> list[SamplePhoto]:
    """A couple of dozen: people, no people, a broken file and one that is no photo."""
    photos = list(make_sample_photos())
    return [photo for number, photo in enumerate(photos) if number % EVERY or photo.faces is None]


def _say(line: str) -> None:
    console.print(f"  {line}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
