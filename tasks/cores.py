"""How many cores this process may use: its affinity, and its container's quota where it has one."""

import math
import os
from pathlib import Path

ROOT = Path("/")


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
            limits = [_parse(*_split(_read(folder / "cpu.max"))) for folder in folders]
        elif "cpu" in controllers.split(","):
            folders = _list_up(root / "sys/fs/cgroup/cpu", group)
            limits = [
                _parse(_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us"))
                for folder in folders
            ]
        else:
            continue
        quota = min([quota, *limits])
    return quota


def _list_up(base: Path, group: str) -> list[Path]:
    """The group's folder and those above it. Inside a container the group's own may not show."""
    folder = base / group.strip("/")
    return [folder, *(above for above in folder.parents if above.is_relative_to(base))]


def _split(text: str) -> tuple[str, str]:
    quota, _, period = text.partition(" ")
    return quota, period


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
