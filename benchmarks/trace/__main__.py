"""The command of `make trace`: the product's size, and the modules that one photo passes through.

One process syncs two events of one photo each; only the second sync is counted, because the models
are loaded by then. The last line is JSON; --modules lists the modules.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.latency.stack import Doors, open_stack, upload_photos
from benchmarks.trace.house import (
    count_lines,
    count_modules,
    find_circles,
    list_files,
    name_module,
    read_imports,
)
from deployments.command_line.signals import interrupt_on_signals
from deployments.sample_photos import make_sample_photos

ROOT = Path(__file__).parents[2]
PARTS = {
    "start": "until S3 is listed",
    "photo": "from S3's listing to the commit of its faces",
    "whole": "the whole run, its name's making included",
}
ROWS = {
    "modules": "modules entered",
    "moves": "moves between modules",
    "transactions": "transactions",
    "event_reads": "reads of the event's whole row",
    "event_locks": "locks of it",
    "event_statements": "all SELECTs from event",
    "packs_resolved": "model pack resolved",
}

console = Console(stderr=True, highlight=False, soft_wrap=True)


def main() -> int:
    """Trace a sync, show its parts, print the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trace", description=__doc__)
    parser.add_argument("--modules", action="store_true", help="name the modules, busiest moves")
    arguments = parser.parse_args()
    with interrupt_on_signals(), open_stack(lambda line: console.print(f"  {line}")) as doors:
        parts = trace_sync(doors)
    if arguments.modules:
        list_modules(parts)
    console.print(tabulate_parts(parts))
    photo, whole = parts["photo"], parts["whole"]
    figures = {
        "modules": whole["modules"],
        "moves": whole["moves"],
        "photo_modules": photo["modules"],
        "photo_moves": photo["moves"],
        "transactions": whole["transactions"],
        "event_reads": whole["event_reads"],
        "event_locks": whole["event_locks"],
        "packs_resolved": whole["packs_resolved"],
    }
    sys.stdout.write(json.dumps(figures | measure_house()) + "\n")
    return 0


def measure_house() -> dict[str, int]:
    """Modules and lines of the product, the modules of its largest folder, circles of imports."""
    names = [name_module(ROOT, file) for file in list_files(ROOT)]
    return {
        "product_modules": len(names),
        "product_lines": count_lines(ROOT),
        "largest_folder": max(count_modules(ROOT).values()),
        "import_circles": len(find_circles(read_imports(ROOT), names)),
    }


def trace_sync(doors: Doors) -> dict[str, dict[str, Any]]:
    """The parts of the second of two syncs in one process that joins the stack."""
    photo = next(photo for photo in make_sample_photos() if photo.faces)
    arguments = [str(ROOT)]
    for event in doors.create_events(2):
        upload_photos(doors, event["s3_prefix"], [photo])
        arguments += [str(event["event_id"]), event["s3_prefix"]]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.trace.warm_sync", *arguments],
        env=os.environ | doors.environment | {"PREFECT_LOGGING_TO_API_ENABLED": "false"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    parts: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return parts


def tabulate_parts(parts: dict[str, dict[str, Any]]) -> Table:
    """The run's parts, side by side."""
    table = Table(title="A warm sync of one photo")
    table.add_column("")
    for title in PARTS.values():
        table.add_column(title, justify="right")
    for figure, title in ROWS.items():
        table.add_row(title, *(str(parts[part][figure]) for part in PARTS))
    return table


def list_modules(parts: dict[str, dict[str, Any]]) -> None:
    """Every module of the run, the photo's with a star; then the moves made most often."""
    for module in parts["whole"]["entered"]:
        console.print(f"  {'*' if module in parts['photo']['entered'] else ' '} {module}")
    for before, after, times in parts["whole"]["busiest"]:
        console.print(f"  {times:4} {before} -> {after}")


if __name__ == "__main__":
    sys.exit(main())
