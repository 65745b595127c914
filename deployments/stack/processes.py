"""Processes of the machine: whose children they are, whose mark they carry, how they are ended.

The only module that talks to psutil.
"""

import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import psutil  # type: ignore[import-untyped]  # publishes no types, and its stubs are not locked

Process: TypeAlias = psutil.Process

# In the environment of every child and so of every flow run below them: finds what a part left.
MARK = "FACEPASS_STACK_MARK"


def collect_descendants(pid: int) -> list[Process]:
    """All processes below this one, now."""
    try:
        return list(Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def merge_processes(known: list[Process], found: list[Process]) -> list[Process]:
    """Both lists, each process once."""
    return known + [process for process in found if process not in known]


def find_marked(mark: str) -> list[Process]:
    """Processes that carry this mark in their environment, this one and other users' apart."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or not ours to read
    return found


def find_working_in(folder: Path, name: str) -> list[Process]:
    """Processes whose working folder is this one and whose name begins so."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.name().startswith(name):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or not ours to read
    return found


def read_start(pid: int) -> float | None:
    """When the process with this pid was started; None if there is none."""
    try:
        return float(Process(pid).create_time())
    except psutil.Error:
        return None


def find_started(pid: int, created: float | None) -> Process | None:
    """The process that had this pid then, if it still runs: pids are used again."""
    now = read_start(pid)
    # A clock that was set moves the time a little.
    if now is None or created is None or abs(now - created) >= 2.0:
        return None
    try:
        process = Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process  # dead, not yet reaped
    except psutil.Error:
        return None


def send_signal(process: Process, number: int) -> None:
    """Send it, unless the process is gone (psutil never signals a reused pid)."""
    try:
        process.send_signal(number)
    except psutil.Error:
        return  # it is gone, which is what was wanted


def wait_for_end(processes: Iterable[Process], timeout_s: float) -> list[Process]:
    """Wait; gives back those that are still there."""
    _gone, alive = psutil.wait_procs(list(processes), timeout=timeout_s)
    return list(alive)


def kill_processes(processes: Iterable[Process], timeout_s: float = 5.0) -> None:
    """Kill these and wait until they are gone."""
    left = list(processes)
    for process in left:
        send_signal(process, signal.SIGKILL)
    wait_for_end(left, timeout_s)
