"""A day of a thousand syncs, as quickly as Prefect's server takes them.

Three questions: how long creating a run takes while the queue grows; how many runs a minute a
worker starts; how many syncs of the right shape the server records, and what each leaves behind.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.capacity_growth import compute_growth, open_prefect, read_growth
from benchmarks.latency_stack import Doors
from benchmarks.latency_triggers import compute_p95
from deployments.names import WORK_POOL
from models.errors import StackError

ENTRYPOINT = "benchmarks.capacity_day_flow.rehearse_sync"
CREATORS = 4  # at a time
RUNNERS, THREADS = 2, 4  # processes, and syncs at a time in each
WEDDING = 3_000  # photos
SMALLEST = 8  # photos: one batch
SETTLE_S = 60.0


@dataclass(frozen=True)
class Day:
    """How much of it is run."""

    runs: int = 1_000  # created
    starts_s: float = 60.0  # for each limit
    limits: tuple[int, ...] = (2, 6)
    rehearsal_s: float = 150.0


WHOLE_DAY = Day()
QUICK_DAY = Day(runs=40, starts_s=15.0, limits=(2,), rehearsal_s=10.0)


def measure_day(doors: Doors, day: Day, console: Console) -> dict[str, float]:
    """All of it, on a stack that does nothing else; the figures of the last line."""
    deployment = _deploy(doors)
    doors.pause_work(paused=True)
    figures = _measure_creation(doors, deployment, day.runs, console)
    for limit in day.limits:
        figures[f"starts_a_minute_{limit}"] = _measure_starts(doors, limit, day.starts_s, console)
    figures |= _measure_rehearsal(doors, day.rehearsal_s, console)
    return {name: round(value, 2) for name, value in figures.items()}


def _deploy(doors: Doors) -> str:
    flow = doors.prefect.post("flows/", json={"name": "rehearse_sync"}).raise_for_status().json()
    body = {
        "name": "bench",
        "flow_id": flow["id"],
        "entrypoint": ENTRYPOINT,
        "work_pool_name": WORK_POOL,
        "enforce_parameter_schema": False,
        "job_variables": {"command": "python -m prefect.engine"},
    }
    answer = doors.prefect.post("deployments/", json=body).raise_for_status()
    return str(answer.json()["id"])


def _create(doors: Doors, deployment: str) -> float:
    """Create a run; milliseconds."""
    body = {"parameters": {"photos": SMALLEST}, "state": {"type": "SCHEDULED"}}
    began = time.perf_counter()
    address = f"deployments/{deployment}/create_flow_run"
    doors.prefect.post(address, json=body).raise_for_status()
    return (time.perf_counter() - began) * 1000


def _measure_creation(
    doors: Doors, deployment: str, runs: int, console: Console
) -> dict[str, float]:
    tenth = max(runs // 10, 1)
    began = time.monotonic()
    with ThreadPoolExecutor(CREATORS) as pool:
        took = list(pool.map(lambda _: _create(doors, deployment), range(runs)))
    seconds = time.monotonic() - began
    first, last = took[:tenth], took[-tenth:]
    poll = [_poll(doors) for _ in range(20)]
    console.print(
        f"{runs} runs created by {CREATORS} at a time in {seconds:.0f} s; the first tenth p50 "
        f"{_p50(first):.0f} p95 {compute_p95(first):.0f} ms, the last p50 {_p50(last):.0f} p95 "
        f"{compute_p95(last):.0f} ms; a worker's poll with all of them waiting p50 "
        f"{_p50(poll):.0f} ms."
    )
    return {
        "created_a_minute": 60 * runs / seconds,
        "create_p50_ms": _p50(last),
        "create_p95_ms": compute_p95(last),
        "poll_p50_ms": _p50(poll),
    }


def _poll(doors: Doors) -> float:
    """What a worker asks every second or every ten; milliseconds."""
    began = time.perf_counter()
    address = f"work_pools/{WORK_POOL}/get_scheduled_flow_runs"
    doors.prefect.post(address, json={}).raise_for_status()
    return (time.perf_counter() - began) * 1000


def _measure_starts(doors: Doors, limit: int, seconds: float, console: Console) -> float:
    """Runs of the smallest sync that the worker ends in a minute, each in a process of its own."""
    body = {"concurrency_limit": limit}
    doors.prefect.patch(f"work_pools/{WORK_POOL}", json=body).raise_for_status()
    doors.pause_work(paused=False)
    time.sleep(10)  # the first ones
    before, began = _count(doors, "COMPLETED"), time.monotonic()
    time.sleep(seconds)
    a_minute = 60 * (_count(doors, "COMPLETED") - before) / (time.monotonic() - began)
    late = _count(doors, "SCHEDULED", "Late")
    doors.pause_work(paused=True)
    console.print(f"Limit {limit}: {a_minute:.0f} starts a minute; {late} runs are late.")
    return a_minute


def _count(doors: Doors, kind: str, name: str | None = None) -> int:
    state: dict[str, Any] = {"type": {"any_": [kind]}}
    if name:
        state["name"] = {"any_": [name]}
    body = {"flow_runs": {"state": state}}
    return int(doors.prefect.post("flow_runs/count", json=body).raise_for_status().json())


def _measure_rehearsal(doors: Doors, seconds: float, console: Console) -> dict[str, float]:
    prefect = open_prefect(doors.database)
    server = _find_server()
    before, used = read_growth(prefect), sum(server.cpu_times()[:2])
    argv = [sys.executable, "-m", "benchmarks.capacity_day_flow"]
    argv += [str(seconds), str(THREADS), str(WEDDING)]
    environment = {**psutil.Process().environ(), **doors.environment}
    runners = [
        subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(RUNNERS)
    ]
    ended = [_read_runner(runner) for runner in runners]
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
    console.print(
        f"{runs} syncs in {took:.0f} s; processor time a sync: server {server_s:.2f} s, its own "
        f"tasks and artifacts {client_s:.2f} s; the last task run was recorded {lag:.0f} s after."
    )
    return {
        "syncs_a_minute": 60 * runs / took,
        "server_cpu_s_a_sync": server_s,
        "client_cpu_s_a_sync": client_s,
        "recorder_lag_s": lag,
        "prefect_kb_a_sync": sum(one.bytes for one in growth.values()) / 1e3,
    }


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


def _find_server() -> psutil.Process:
    for child in psutil.Process().children(recursive=True):
        if "server" in child.cmdline() and "start" in child.cmdline():
            return child
    raise StackError("Prefect's server is not among the stack's processes.")


def _p50(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
