"""The whole job's duration on the guide's photos and on a thousand, beside bare inference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.engine.job import JobStack, open_job_stack
from benchmarks.engine.pairs import make_pairs
from benchmarks.engine.rounds import run_variant, wait_for_rest
from benchmarks.engine.variants import BARE
from benchmarks.stored import list_stored

COUNTS = (10, 50, 100, 500, 1000)  # the guide's table


@dataclass(frozen=True)
class CountRow:
    """One line of the guide's first table."""

    photos: int
    seconds: float  # the job, from the flow's begin to its result
    wall: float  # from the call to the answer, with the start of a process


def measure_counts(
    pack: Path, photos: Sequence[bytes], home: Path, report: Callable[[str], None]
) -> list[CountRow]:
    """Sync events of 10 to 1000 photos, one after the other; `photos` repeat in other bytes."""
    rows = []
    with open_job_stack(home, model_pack=str(pack)) as stack:
        for count in COUNTS:
            event = stack.create_event(f"{count} photos")
            stack.upload(event, [photos[i % len(photos)] for i in range(count)])
            result = stack.sync(event)
            rows.append(CountRow(count, result["seconds"], result["wall"]))
            report(f"whole job, {count} photos: {result['seconds']:.1f} s")
    return rows


def compare_with_bare(rows: Sequence[CountRow], pack: Path, photos: Path, scratch: Path) -> float:
    """Bare inference's time for a photo of `photos`, as a share of the largest job's."""
    wait_for_rest()
    seconds = run_variant(BARE, pack, photos, scratch / f"{BARE}.npz")
    largest = rows[-1]
    return (seconds / len(list_stored(photos))) / (largest.seconds / largest.photos)


@dataclass(frozen=True)
class Thousand:
    """A thousand previews of two faces with opencv_zoo: new, replaced, known."""

    first: dict[str, Any]
    second: dict[str, Any]
    third: dict[str, Any]
    peak_mib: dict[str, int]


def measure_thousand(home: Path, models: Path, report: Callable[[str], None]) -> Thousand:
    """Sync a thousand previews, then a thousand replaced ones, then nothing new."""
    photos = make_pairs(COUNTS[-1])
    with open_job_stack(home, model_pack="opencv_zoo", model_root=models) as stack:
        event = stack.create_event("A thousand")
        stack.upload(event, photos)
        first = _sync(stack, event, report, "new")
        stack.upload(event, photos, mark=1)
        second = _sync(stack, event, report, "replaced")
        third = _sync(stack, event, report, "known")
        return Thousand(first, second, third, dict(stack.peak_mib))


def _sync(
    stack: JobStack, event: dict[str, Any], report: Callable[[str], None], what: str
) -> dict[str, Any]:
    result = stack.sync(event)
    report(f"a thousand {what} previews, opencv_zoo: {result['seconds']:.1f} s")
    return result
