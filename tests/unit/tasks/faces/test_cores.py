"""Counting cores: affinity, and the quotas of both versions of control groups."""

import math
from pathlib import Path

import pytest

from tasks.faces import limits
from tasks.faces.limits import count_cores, read_quota


def lay(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


V1 = "4:memory:/box\n2:cpu,cpuacct:/box\n"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, math.inf),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, math.inf),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "250000 100000"}, 2.5),
        # The group above allows less than the group itself.
        (
            {
                "proc/self/cgroup": "0::/pod/box",
                "sys/fs/cgroup/pod/cpu.max": "100000 100000",
                "sys/fs/cgroup/pod/box/cpu.max": "400000 100000",
            },
            1.0,
        ),
        # In a container the group's own name is not there, its limits lie at the top.
        ({"proc/self/cgroup": "0::/../box", "sys/fs/cgroup/cpu.max": "300000 100000"}, 3.0),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "150000",
                "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
            },
            1.5,
        ),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
            },
            math.inf,
        ),
    ],
)
def test_the_smallest_quota_holds(tmp_path: Path, files: dict[str, str], quota: float) -> None:
    assert read_quota(lay(tmp_path, files)) == quota


@pytest.mark.parametrize(
    ("allowed", "quota", "count"), [(8, "250000 100000", 2), (2, "max 100000", 2), (4, "5 100", 1)]
)
def test_affinity_and_quota_both_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int, quota: str, count: int
) -> None:
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda _pid: set(range(allowed)))
    files = {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": quota}
    assert count_cores(lay(tmp_path, files)) == count
