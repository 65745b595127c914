"""The cost of a sync to Prefect's server and its database, measured on syncs without work."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]  # publishes no types, and its stubs are not locked
from rich.console import Console
from rich.table import Table

from benchmarks.capacity.growth import compute_growth, open_prefect, read_growth
from benchmarks.latency.stack import Doors
from benchmarks.latency.triggers import compute_p95
from deployments.names import WORK_POOL
from models.errors import StackError

RUNNERS = 2  # processes
WEDDING = 3_000  # photos
SETTLE_S = 60.0
ASK_EVERY_S = 0.25


@dataclass(frozen=True)
class Rehearsal:
    """How many syncs at a time, and how long a batch of theirs takes."""

    name: str
    threads: int  # syncs at a time in each process
    wait_s: float


FLAT_OUT = Rehearsal("flat out", 4, 0.0)
WAITING = Rehearsal("waiting", 24, 3.0)


def measure_rehearsal(
    doors: Doors, rehearsal: Rehearsal, seconds: float, console: Console
) -> dict[str, float]:
    """Run syncs of a wedding's shape for so long; the figures of the last line."""
    prefect = open_prefect(doors.database)
    server = find_part("server", "start")
    before, used = read_growth(prefect), sum(server.cpu_times()[:2])
    with watch_answers(doors) as answers:
        ended = run_syncs(doors, rehearsal, seconds)
    runs = int(sum(one["runs"] for one in ended))
    took = max(one["seconds"] for one in ended)
    lag = _wait_for_recorder(doors)
    server_s = (sum(server.cpu_times()[:2]) - used) / runs
    growth = compute_growth(before, read_growth(prefect), runs)
    prefect.dispose()
    table = Table(title=f"What a sync of {WEDDING:,} photos leaves in Prefect's database")
    for heading in ("table", "rows a run", "KB a run"):
        table.add_column(heading, justify="left" if heading == "table" else "right")
    for name, one in growth.items():
        table.add_row(name, f"{one.rows:.1f}", f"{one.bytes / 1e3:.1f}")
    console.print(table)
    client_s = sum(one["cpu_s"] for one in ended) / runs
    p50, p95 = sorted(answers)[len(answers) // 2], compute_p95(answers)
    console.print(
        f"{rehearsal.name}, {RUNNERS * rehearsal.threads} at a time: {runs} syncs in {took:.0f} s; "
        f"processor time a sync: server {server_s:.2f} s, its own tasks and artifacts "
        f"{client_s:.2f} s; the last task run was recorded {lag:.0f} s after. Meanwhile the server "
        f"answered a worker's poll in {p50:.0f} ms, p95 {p95:.0f} ms."
    )
    return {
        f"syncs_a_minute {rehearsal.name}": 60 * runs / took,
        f"server_core_s_a_sync {rehearsal.name}": server_s,
        f"client_core_s_a_sync {rehearsal.name}": client_s,
        f"recorder_lag_s {rehearsal.name}": lag,
        f"poll_p95_ms {rehearsal.name}": p95,
        f"kb_a_sync {rehearsal.name}": sum(one.bytes for one in growth.values()) / 1e3,
    }


def run_syncs(doors: Doors, rehearsal: Rehearsal, seconds: float) -> list[dict[str, float]]:
    """Every process's count of syncs, seconds and processor time. Raises StackError."""
    argv = [sys.executable, "-m", "benchmarks.capacity.day_flow"]
    argv += map(str, (seconds, rehearsal.threads, WEDDING, rehearsal.wait_s))
    quiet = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR"}  # on the terminal alone
    environment = {**psutil.Process().environ(), **doors.environment, **quiet}
    runners = [
        subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(RUNNERS)
    ]
    return [_read_runner(runner) for runner in runners]


@contextmanager
def watch_answers(doors: Doors) -> Iterator[list[float]]:
    """How long the server takes to answer a worker's poll, asked all the while; milliseconds."""
    took: list[float] = []
    over = threading.Event()

    def ask_on() -> None:
        while not over.wait(ASK_EVERY_S):
            took.append(ask_for_work(doors))

    thread = threading.Thread(target=ask_on)
    thread.start()
    try:
        yield took
    finally:
        over.set()
        thread.join()


def ask_for_work(doors: Doors) -> float:
    """What a worker asks every second or every ten; milliseconds."""
    began = time.perf_counter()
    address = f"work_pools/{WORK_POOL}/get_scheduled_flow_runs"
    doors.prefect.post(address, json={}).raise_for_status()
    return (time.perf_counter() - began) * 1000


def _read_runner(runner: "subprocess.Popen[str]") -> dict[str, float]:
    answer, _ = runner.communicate()
    if runner.returncode:
        raise StackError("A runner of the rehearsal failed; its error is above.")
    figures: dict[str, float] = json.loads(answer.splitlines()[-1])
    return figures


def _wait_for_recorder(doors: Doors) -> float:
    """Seconds until no more task runs appear; SETTLE_S at most."""
    began = time.monotonic()
    last, changed = -1, began
    while time.monotonic() - changed < 12 and time.monotonic() - began < SETTLE_S:
        count = int(doors.prefect.post("task_runs/count", json={}).raise_for_status().json())
        if count != last:
            last, changed = count, time.monotonic()
        time.sleep(0.5)
    return changed - began


def find_part(*words: str) -> psutil.Process:
    """The stack's process with these words in its command line. Raises StackError."""
    for child in psutil.Process().children(recursive=True):
        if set(words) <= set(child.cmdline()):
            return child
    raise StackError(f"No process of the stack is called {' '.join(words)}.")
