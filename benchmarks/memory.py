"""The memory that a block of code adds to this process."""

import os
import threading
from types import TracebackType
from typing import Self

import psutil  # type: ignore[import-untyped]  # publishes no types, and its stubs are not locked

SAMPLE_S = 0.02
MEGABYTE = 1_000_000


class MemoryWatch:
    """Within the block, a thread samples the process's resident memory 50 times a second."""

    def __init__(self) -> None:
        self._process = psutil.Process(os.getpid())
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.before = self.peak = 0  # bytes

    @property
    def growth_mb(self) -> float:
        """The peak above what there was before, in megabytes."""
        return (self.peak - self.before) / MEGABYTE

    def __enter__(self) -> Self:
        self.before = self.peak = self._process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self.peak = max(self.peak, self._process.memory_info().rss)

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_S):
            self.peak = max(self.peak, self._process.memory_info().rss)
