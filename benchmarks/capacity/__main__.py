"""The command of `make bench-capacity`: the load of a wedding season on PostgreSQL and Prefect.

It has four parts: `tables` (a million photos), `rewrites` (dead rows after events are embedded
again), `pooler` (the product through PgBouncer, if that is installed) and `day` (connections, and a
thousand syncs in a day). Each part starts its own servers and ends with a table and a line of JSON.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable

from rich.console import Console

from benchmarks.capacity.connections import measure_connections
from benchmarks.capacity.database import open_database
from benchmarks.capacity.day import QUICK_DAY, WHOLE_DAY, measure_day
from benchmarks.capacity.pooler import measure_pooler
from benchmarks.capacity.rewrites import measure_rewrites
from benchmarks.capacity.tables import QUICK, WHOLE, measure_tables
from benchmarks.ending import run_to_exit_code
from benchmarks.latency.stack import open_stack

console = Console(stderr=True, highlight=False, soft_wrap=True, width=200)


def _run_tables(quick: bool) -> dict[str, float]:
    with open_database() as database:
        return measure_tables(database, QUICK if quick else WHOLE, console)


def _run_rewrites(quick: bool) -> dict[str, float]:
    with open_database() as database:
        return measure_rewrites(database.engine, 300 if quick else 1_500, console)


def _run_pooler(quick: bool) -> dict[str, float]:  # noqa: ARG001 - it is quick
    if shutil.which("pgbouncer") is None:
        console.print("PgBouncer is left out: `apt-get install pgbouncer` brings it.")
        return {}
    with open_database() as database:
        return measure_pooler(database, console)


def _run_day(quick: bool) -> dict[str, float]:
    with open_stack(lambda line: console.print(f"  {line}", markup=False)) as doors:
        figures = measure_connections(doors, console)
        return figures | measure_day(doors, QUICK_DAY if quick else WHOLE_DAY, console)


PARTS: dict[str, Callable[[bool], dict[str, float]]] = {
    "tables": _run_tables,
    "rewrites": _run_rewrites,
    "pooler": _run_pooler,
    "day": _run_day,
}


def main() -> int:
    """Measure the parts that were asked for, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="|".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="a hundredth of it")
    asked = parser.parse_args()

    def measure() -> None:
        for part in asked.parts:
            figures = PARTS[part](asked.quick)
            sys.stdout.write(json.dumps({"part": part, **figures}) + "\n")
            sys.stdout.flush()

    return run_to_exit_code(measure, console)


if __name__ == "__main__":
    sys.exit(main())
