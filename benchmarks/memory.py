"""The memory that a block of code adds to this process, or takes in another one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil  # type: ignore[import-untyped]  # publishes no types, and its stubs are not locked

SAMPLE_S = 0.02
MEGABYTE = 1_000_000


class MemoryWatch:
    """Resident memory before a block and at its peak, in bytes."""

    def __init__(self, pid: int | None = None) -> None:
        self._process = psutil.Process(pid)
        self.before = self.peak = self._read()

    @property
    def growth_mb(self) -> float:
        """The peak above what there was before, in megabytes."""
        return (self.peak - self.before) / MEGABYTE

    def look(self) -> None:
        """Take what there is now into account."""
        self.peak = max(self.peak, self._read())

    def _read(self) -> int:
        return int(self._process.memory_info().rss)


@contextmanager
def watch_memory(pid: int | None = None) -> Iterator[MemoryWatch]:
    """Within the block, a thread samples a process's resident memory 50 times a second."""
    watch, over = MemoryWatch(pid), threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_S):
            watch.look()

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()
        watch.look()
