"""A day of a thousand syncs, as quickly as Prefect's server takes them.

Three questions: how long creating a run takes while the queue grows; how many runs a minute a
worker starts; how many syncs of the right shape the server records, and what each leaves behind.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from benchmarks.capacity_growth import compute_growth, open_prefect, read_growth
from benchmarks.capacity_rehearsal import find_part, measure_rehearsal
from benchmarks.latency_stack import Doors
from benchmarks.latency_triggers import compute_p95
from deployments.names import WORK_POOL

ENTRYPOINT = "benchmarks.capacity_day_flow.rehearse_sync"
CREATORS = 4  # at a time
LOOK = 0  # photos: what the hourly resync of an event mostly finds


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
        figures |= _measure_starts(doors, limit, day.starts_s, console)
    figures |= measure_rehearsal(doors, day.rehearsal_s, console)
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
    body = {"parameters": {"photos": LOOK}, "state": {"type": "SCHEDULED"}}
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


def _measure_starts(doors: Doors, limit: int, seconds: float, console: Console) -> dict[str, float]:
    """Syncs without work that the worker ends, each in a process of its own."""
    body = {"concurrency_limit": limit}
    doors.prefect.patch(f"work_pools/{WORK_POOL}", json=body).raise_for_status()
    doors.pause_work(paused=False)
    time.sleep(10)  # the first ones
    prefect, began = open_prefect(doors.database), time.monotonic()
    before, used, rows = _count(doors, "COMPLETED"), _read_times(), read_growth(prefect)
    time.sleep(seconds)
    ended = max(_count(doors, "COMPLETED") - before, 1)
    a_minute = 60 * ended / (time.monotonic() - began)
    worker_s, server_s = (
        (now - then) / ended for now, then in zip(_read_times(), used, strict=True)
    )
    growth = compute_growth(rows, read_growth(prefect), ended)
    kilobytes = sum(one.bytes for one in growth.values()) / 1e3
    prefect.dispose()
    late = _count(doors, "SCHEDULED", "Late")
    doors.pause_work(paused=True)
    console.print(
        f"Limit {limit}: {a_minute:.0f} starts a minute; each takes {worker_s:.1f} s of a core in "
        f"the worker and its process, {server_s:.2f} s in the server, and leaves "
        f"{kilobytes:.0f} KB; {late} runs are late."
    )
    return {
        f"starts_a_minute_{limit}": a_minute,
        f"start_core_s_{limit}": worker_s,
        f"start_server_core_s_{limit}": server_s,
        f"look_kb_{limit}": kilobytes,
    }


def _read_times() -> tuple[float, float]:
    """Seconds of a core that the worker with its ended runs has used, and the server."""
    worker, server = find_part("worker", "start"), find_part("server", "start")
    return float(sum(worker.cpu_times()[:4])), float(sum(server.cpu_times()[:4]))


def _count(doors: Doors, kind: str, name: str | None = None) -> int:
    state: dict[str, Any] = {"type": {"any_": [kind]}}
    if name:
        state["name"] = {"any_": [name]}
    body = {"flow_runs": {"state": state}}
    return int(doors.prefect.post("flow_runs/count", json=body).raise_for_status().json())


def _p50(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
