"""The corpus through the engine in a watched process: file by file, then in a worker's batches."""

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.hostile.audit import Audit, FileReport, tell_verdict
from benchmarks.hostile.files import HostileFile
from benchmarks.hostile.watch import Bounds, WatchedWorker

BATCH = 100
# A photo of 49 megapixels takes seconds and 700 MiB beside the engine's 300.
FILE_BOUNDS = Bounds(seconds=30, mib=1_536)
# Ten threads hold a file each, and 50 megapixels together: no more than one photo alone.
BATCH_BOUNDS = Bounds(seconds=300, mib=1_536)


def write_files(files: Iterable[HostileFile], folder: Path) -> list[FileReport]:
    """Every file under its number; names are S3's affair."""
    reports = []
    for number, file in enumerate(files):
        (folder / str(number)).write_bytes(file.content)
        reports.append(FileReport(file.kind, file.name))
    return reports


def look_at_files(
    folder: Path,
    reports: list[FileReport],
    report: Callable[[str], None],
    *,
    command: Sequence[str] = (sys.executable, "-W", "ignore", "-m", "benchmarks.hostile.child"),
    file_bounds: Bounds = FILE_BOUNDS,
    batch_bounds: Bounds = BATCH_BOUNDS,
) -> Audit:
    """Have the worker look at each file alone, then at all of them a hundred at a time."""
    audit = Audit(reports)
    with closing(WatchedWorker([*command, str(folder)])) as worker:
        for number, file in enumerate(reports):
            look = worker.look([number], file_bounds)
            file.seconds, file.peak_mib, file.crash = look.seconds, look.peak_mib, look.crash
            file.found = tell_verdict(look.verdicts[0]) if look.verdicts else ""
    peak = 0
    with closing(WatchedWorker([*command, str(folder)])) as worker:
        for start in range(0, len(reports), BATCH):
            numbers = range(start, min(start + BATCH, len(reports)))
            look = worker.look(numbers, batch_bounds)
            peak = max(peak, look.peak_mib)
            if look.crash:
                audit.crashes.append(f"The worker {look.crash} at files {numbers}.")
    report(f"  In batches of {BATCH} the worker's memory peaked at {peak} MiB.")
    return audit
