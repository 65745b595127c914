"""The tables of `make bench-scale`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.table import Table

SERVERS = ("PostgreSQL", "S3", "Prefect server")


@dataclass(frozen=True)
class Feed:
    """Syncs without inference that ran side by side, and the servers' seconds meanwhile."""

    runs: list[dict[str, Any]]
    servers: Mapping[str, float]

    @property
    def photos(self) -> int:
        """Photos of all runs."""
        return sum(int(run["result"]["new_photos"]) for run in self.runs)

    @property
    def pace(self) -> float:
        """Photos a second while batches are done, of all runs together."""
        return sum(int(run["result"]["new_photos"]) / float(run["batches_s"]) for run in self.runs)

    def count_costs(self) -> dict[str, float]:
        """Part -> milliseconds of a core a photo; the runs' own parts first."""
        parts: Counter[str] = Counter()
        for run in self.runs:
            parts.update(run["parts"])
        costs = dict(parts) | {"sync's process": sum(parts.values())} | dict(self.servers)
        costs["all processes"] = sum(parts.values()) + sum(self.servers.values())
        return {part: 1000 * seconds / self.photos for part, seconds in costs.items()}


def build_feed_table(feeds: Mapping[str, Feed]) -> Table:
    """One row a part, one column a kind of photos: milliseconds of a core a photo."""
    table = Table("ms of a core a photo", *feeds)
    costs = {kind: feed.count_costs() for kind, feed in feeds.items()}
    for part in dict.fromkeys(part for each in costs.values() for part in each):
        table.add_row(part, *(f"{each.get(part, 0.0):.2f}" for each in costs.values()))
    table.add_row("photos a second", *(f"{feed.pace:.0f}" for feed in feeds.values()))
    return table


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
