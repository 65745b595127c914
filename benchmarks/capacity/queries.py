"""Times and plans of the product's queries on full tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from sqlalchemy import Engine
from sqlmodel import Session

from benchmarks.capacity.fill import FIRST_EVENT, Filled
from benchmarks.capacity.plans import Look, watch_plans
from benchmarks.capacity.probes import PROBES, Probe, prepare


@dataclass(frozen=True)
class Timed:
    """A query's figures: the medians over its rounds."""

    name: str
    ms: float
    pages: int
    indexes: tuple[str, ...]
    scanned: tuple[str, ...]
    scanning: tuple[str, ...]  # the statements that did


def measure_queries(
    database: Engine, events: Sequence[Filled], pack_id: int, rounds: int = 3
) -> list[Timed]:
    """Run every probe for the events in turn, undoing what it changed."""
    return [
        _summarise(
            name, [_look(database, probe, event, pack_id) for event in _take(events, rounds)]
        )
        for name, probe in PROBES.items()
    ]


def _take(events: Sequence[Filled], rounds: int) -> list[Filled]:
    # The first round warms what a running server has warm, and is not counted.
    return [events[number % len(events)] for number in range(rounds + 1)]


def _look(database: Engine, probe: Probe, event: Filled, pack_id: int) -> list[Look]:
    with Session(database) as session:
        prepare(session, probe, event)
        with watch_plans(database) as looks:
            probe(session, event, pack_id)
        session.rollback()
    return looks


def _summarise(name: str, rounds: Sequence[Sequence[Look]]) -> Timed:
    counted = rounds[1:]
    return Timed(
        name=name,
        ms=median(sum(look.ms for look in looks) for looks in counted),
        pages=int(median(sum(look.pages for look in looks) for looks in counted)),
        indexes=tuple(sorted({index for look in counted[-1] for index in look.indexes})),
        scanned=tuple(sorted({table for look in counted[-1] for table in look.scanned})),
        scanning=tuple(look.statement[:110] for look in counted[-1] if look.scanned),
    )


def choose_events(small: int, count: int, large: int) -> tuple[Filled, list[Filled]]:
    """The one large event, and the many small ones."""
    many = [Filled(FIRST_EVENT + 1 + number, small) for number in range(count)]
    return Filled(FIRST_EVENT, large), many
