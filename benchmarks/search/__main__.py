"""The command of `make bench-search`: a guest's waiting time, and the share of their photos found.

It fills the product's tables with random vectors (one event of 30,000 faces, then a hundred of
10,000), searches them expanded and by the selfie alone, and compares alternatives; then it sends
selfies to the API. It ends with one line of JSON: {"p95_ms_event_30k": ..., "p95_ms_total_1m": ...,
"p95_ms_event_30k_selfie_alone": ..., "recall": ..., "p95_ms_selfie": ...}.
"""

import argparse
import json
import sys
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.ending import run_to_exit_code
from benchmarks.latency.stack import Doors, open_stack
from benchmarks.search.alternatives import measure_alternatives
from benchmarks.search.queries import Timing, measure, search_by_product
from benchmarks.search.selfie import measure_selfies
from benchmarks.search.table import add_event, add_pack, analyse

FIRST_EVENT = 1_000  # ids of the bench's own

console = Console(stderr=True, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    large: int  # faces of the one large event
    events: int
    faces: int  # of each of them
    rounds: int


WHOLE = Sizes(large=30_000, events=100, faces=10_000, rounds=200)
QUICK = Sizes(large=3_000, events=10, faces=1_000, rounds=20)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the faces")
    asked = parser.parse_args()

    def measure_and_print() -> None:
        with open_stack(lambda line: console.print(f"  {line}", markup=False)) as doors:
            figures = measure_searches(doors, QUICK if asked.quick else WHOLE)
            console.print("Stopping ...")
        sys.stdout.write(json.dumps(figures) + "\n")

    return run_to_exit_code(measure_and_print, console)


def measure_searches(doors: Doors, sizes: Sizes) -> dict[str, float]:
    """Fill the tables, search them, print a table; the figures of the last line."""
    database, pack_id = doors.database, add_pack(doors.database)
    product = search_by_product(database, pack_id)
    by_selfie = search_by_product(database, pack_id, expanded=False)
    table = Table("what is searched", "p50 ms", "p95 ms", "recall")
    add_event(database, FIRST_EVENT, pack_id, sizes.large)
    analyse(database)
    large = measure(product, [FIRST_EVENT], sizes.large, sizes.rounds, expanded=True)
    _add_row(table, f"one event of {sizes.large:,} faces, expanded", large)
    alone = measure(by_selfie, [FIRST_EVENT], sizes.large, sizes.rounds)
    _add_row(table, "the same by the selfie alone", alone)
    events = [FIRST_EVENT + 1 + number for number in range(sizes.events)]
    console.print(f"Writing {sizes.events * sizes.faces:,} faces ...")
    for event_id in events:
        add_event(database, event_id, pack_id, sizes.faces)
    analyse(database)
    total = measure(product, events, sizes.faces, sizes.rounds, expanded=True)
    name = f"one of {sizes.events} events of {sizes.faces:,} faces"
    _add_row(table, name, total)
    beside = measure(product, [FIRST_EVENT], sizes.large, 50, expanded=True)
    _add_row(table, "the large event beside them", beside)
    selfies = Timing(measure_selfies(doors, sizes.rounds // 4), 1.0)
    _add_row(table, "a selfie of 12 megapixels, over the API", selfies)
    console.print(table)
    others = Table("instead, one of the events", "p50 ms", "p95 ms", "recall")
    for other, timing in measure_alternatives(
        database, pack_id, events, sizes.faces, sizes.rounds // 2, console.print
    ):
        _add_row(others, other, timing)
    console.print(others)
    return {
        "p95_ms_event_30k": round(large.p95, 1),
        "p95_ms_total_1m": round(total.p95, 1),
        "p95_ms_event_30k_selfie_alone": round(alone.p95, 1),
        "recall": float(np.floor(min(large.recall, total.recall, alone.recall) * 10_000) / 10_000),
        "p95_ms_selfie": round(selfies.p95, 1),
    }


def _add_row(table: Table, name: str, timing: Timing) -> None:
    table.add_row(name, f"{timing.p50:.1f}", f"{timing.p95:.1f}", f"{timing.recall:.4f}")


if __name__ == "__main__":
    sys.exit(main())
