"""Limits of a process: the budget of decoded pixels, the cores it counts, the memory it returns."""

import math
import platform
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.faces import limits
from tasks.faces.limits import PixelBudget, count_cores, read_quota, return_large_blocks

LIMIT_S = 20


def test_what_fits_is_let_in_and_what_is_given_back_is_free() -> None:
    budget = PixelBudget(100)
    for _ in range(3):
        budget.reserve(100)
        assert budget.held == 100
        budget.release()
        assert budget.held == 0
    budget.release()  # holding nothing is no error: some readers never reserve


def test_a_photo_larger_than_the_budget_is_let_in_alone() -> None:
    budget = PixelBudget(100)
    budget.reserve(1_000_000)
    assert budget.held == 100


def test_threads_together_never_hold_more_than_the_budget() -> None:
    budget = PixelBudget(100)
    largest = []

    def work(number: int) -> None:
        budget.reserve((10, 60, 100, 500)[number % 4])
        largest.append(budget.held)
        budget.release()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(400)))
    assert len(largest) == 400
    assert max(largest) == 100
    assert budget.held == 0


def test_a_small_photo_does_not_overtake_a_large_one_that_waits() -> None:
    budget = PixelBudget(100)
    budget.reserve(60)  # by this thread
    let_in: list[str] = []

    def come(name: str, pixels: int) -> threading.Thread:
        def wait() -> None:
            budget.reserve(pixels)
            let_in.append(name)
            budget.release()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        return thread

    large = come("large", 100)
    while not budget._turnstile.locked():
        pass
    small = come("small", 10)
    budget.release()
    for thread in (large, small):
        thread.join(LIMIT_S)
    assert let_in == ["large", "small"]


# --- cores: affinity, and the quotas of both versions of control groups ---


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


# --- native memory ---


def test_large_blocks_go_back_on_glibc_and_elsewhere_nothing_is_changed() -> None:
    assert return_large_blocks() == (platform.libc_ver()[0] == "glibc")
