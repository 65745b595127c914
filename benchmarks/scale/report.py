"""The table of `make bench-scale`."""

from statistics import median
from typing import Any

from rich.table import Table


def take_median(runs: list[dict[str, Any]], name: str) -> float:
    """The median of one measurement over several runs."""
    return median(float(run[name]) for run in runs)


def build_table(
    keys: int,
    new: int,
    listings: list[dict[str, Any]],
    resyncs: list[dict[str, Any]],
    sync: dict[str, Any],
) -> Table:
    """What a person reads: one row a kind of run, medians."""
    table = Table("run", "job, s", "whole flow run, s", "memory added, MB")
    rows = (
        (f"bare listing of {keys} previews and originals", listings),
        (f"resync of {keys} known photos", resyncs),
        (f"sync of {new} new photos", [sync]),
    )
    for title, runs in rows:
        whole = f"{take_median(runs, 'run_seconds'):.2f}" if "run_seconds" in runs[0] else "–"
        seconds, memory = take_median(runs, "seconds"), take_median(runs, "memory_mb")
        table.add_row(title, f"{seconds:.2f}", whole, f"{memory:.1f}")
    return table
