"""Limits of one process: pixels decoded at a time, usable CPU cores, memory kept by the C library.

The number of cores respects the process's CPU affinity and the CPU quota of its container.
"""

import ctypes
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/")  # of the file system
# Larger than anything a preview needs, so that previews cost no extra calls of the kernel.
LARGE_BLOCK_BYTES = 8 * 1024 * 1024
_M_MMAP_THRESHOLD = -3  # glibc's malloc.h


class Cores:
    """Cores to compute on, one for each thread that is inside; the others wait."""

    def __init__(self, count: int) -> None:
        self._free = threading.Semaphore(count)
        self._own = threading.local()

    def __enter__(self) -> None:
        self._free.acquire()
        self._own.inside = True

    def __exit__(self, *error: object) -> None:
        self._own.inside = False
        self._free.release()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """A block in which this thread waits, and another one may use its core."""
        if not getattr(self._own, "inside", False):
            yield
            return
        self._free.release()
        try:
            yield
        finally:
            self._free.acquire()


class PixelBudget:
    """Pixels that all threads together may hold; who wants more than is free waits.

    A photo takes 10 to 20 bytes a pixel while it is decoded. Each thread holds one photo at a
    time, and gives back what it holds without naming it.
    """

    def __init__(self, capacity: int) -> None:
        """capacity: pixels. A photo larger than this is let in when it is alone."""
        self._capacity = capacity
        self._held: dict[int, int] = {}  # by thread
        self._changed = threading.Condition()
        # One waits at a time, the others behind it: small photos must not overtake a large one
        # for ever.
        self._turnstile = threading.Lock()

    def reserve(self, pixels: int) -> None:
        """Wait until so many pixels are free, and hold them for this thread."""
        wanted = min(pixels, self._capacity)
        with self._turnstile, self._changed:
            self._changed.wait_for(lambda: self.held + wanted <= self._capacity)
            self._held[threading.get_ident()] = wanted

    def release(self) -> None:
        """Give back what this thread holds, if anything."""
        with self._changed:
            if self._held.pop(threading.get_ident(), None) is not None:
                self._changed.notify_all()

    @property
    def held(self) -> int:
        """Pixels held now, by all threads."""
        return sum(self._held.values())


def count_cores(root: Path = ROOT) -> int:
    """At least 1. A quota of two and a half cores counts as two: a third would be throttled."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, math.floor(min(allowed or 1, read_quota(root))))


def read_quota(root: Path = ROOT) -> float:
    """Cores that the control groups of this process allow; infinity where they do not limit it.

    Version 2 writes "quota period" or "max period" into cpu.max, version 1 two files; a limit of
    any group above this process's holds too.
    """
    quota = math.inf
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            folders = _list_up(root / "sys/fs/cgroup", group)
            limits = [_read(folder / "cpu.max").partition(" ")[::2] for folder in folders]
        elif "cpu" in controllers.split(","):
            folders = _list_up(root / "sys/fs/cgroup/cpu", group)
            files = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            limits = [(_read(folder / files[0]), _read(folder / files[1])) for folder in folders]
        else:
            continue
        quota = min([quota, *(_parse(*limit) for limit in limits)])
    return quota


def return_large_blocks() -> bool:
    """Have glibc give large blocks back to the system; whether this process runs on glibc.

    By itself it learns from every large block to keep the next ones, in each thread's own arena:
    after a batch of photos of 49 megapixels a worker of ten threads kept 3 GB for ever, and needed
    3.6 GB at its peak; with a fixed threshold 0.4 and 1.1 GB.
    """
    if os.name != "posix":
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    return set_option is not None and set_option(_M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES) == 1


def stop_inner_threads() -> None:
    """Have OpenCV do each call on the thread that makes it.

    Photos share the cores already. Its own threads, all of one pool, wait for each other then: on
    16 cores they took more time than the work.
    """
    import cv2  # heavy: only where photos are computed

    cv2.setNumThreads(1)


def _list_up(base: Path, group: str) -> list[Path]:
    """The group's folder and those above it. Inside a container the group's own may not show."""
    folder = base / group.strip("/")
    return [folder, *(above for above in folder.parents if above.is_relative_to(base))]


def _parse(quota: str, period: str) -> float:
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return math.inf  # "max", or no such file
    return cores if cores > 0 else math.inf  # version 1 says -1


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
