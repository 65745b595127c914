"""A worker's rate of starting waiting runs, and the wait of a requested run beside them."""

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from benchmarks.capacity.growth import compute_growth, open_prefect, read_growth
from benchmarks.capacity.rehearsal import find_part, watch_answers
from benchmarks.latency.stack import Doors
from benchmarks.latency.triggers import compute_p95
from deployments.names import WORK_POOL
from models.errors import StackError

START_LIMIT_S = 300.0
LOOK = 0  # photos: what the hourly resync of an event mostly finds


def create_run(doors: Doors, deployment: str, **more: str) -> str:
    """Create a run that finds nothing to do; its id. `more`: as Prefect calls it."""
    body = {"parameters": {"photos": LOOK}, "state": {"type": "SCHEDULED"}, **more}
    address = f"deployments/{deployment}/create_flow_run"
    return str(doors.prefect.post(address, json=body).raise_for_status().json()["id"])


def measure_starts(doors: Doors, limit: int, seconds: float, console: Console) -> dict[str, float]:
    """Syncs without work that the worker ends, each in a process of its own."""
    body = {"concurrency_limit": limit}
    doors.prefect.patch(f"work_pools/{WORK_POOL}", json=body).raise_for_status()
    doors.pause_work(paused=False)
    time.sleep(10)  # the first ones
    prefect, began = open_prefect(doors.database), time.monotonic()
    before, used, rows = _count(doors, "COMPLETED"), _read_times(), read_growth(prefect)
    with watch_answers(doors) as answers:
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
    console.print(
        f"Limit {limit}: {a_minute:.0f} starts a minute; each takes {worker_s:.1f} s of a core in "
        f"the worker and its process, {server_s:.2f} s in the server, and leaves "
        f"{kilobytes:.0f} KB; {late} runs are late. A poll is answered in "
        f"{compute_p50(answers):.0f} ms, p95 {compute_p95(answers):.0f} ms."
    )
    return {
        f"starts_a_minute_{limit}": a_minute,
        f"start_core_s_{limit}": worker_s,
        f"start_server_core_s_{limit}": server_s,
        f"look_kb_{limit}": kilobytes,
    }


def measure_asked(doors: Doors, deployment: str, asked: int, console: Console) -> dict[str, float]:
    """Seconds until a run begins that somebody asks for while all those wait."""
    waiting = _count(doors, "SCHEDULED")
    waits = [_wait_for_start(doors, create_run(doors, deployment)) for _ in range(asked)]
    console.print(
        f"Asked for beside {waiting} hourly looks, a sync begins after {compute_p50(waits):.1f} s, "
        f"{max(waits):.1f} s at most."
    )
    return {"asked_p50_s": compute_p50(waits), "asked_most_s": max(waits)}


def _wait_for_start(doors: Doors, flow_run_id: str) -> float:
    began = time.monotonic()
    while time.monotonic() - began < START_LIMIT_S:
        run = doors.prefect.get(f"flow_runs/{flow_run_id}").raise_for_status().json()
        if run["start_time"]:
            return time.monotonic() - began
        time.sleep(0.1)
    raise StackError("A run that was asked for did not start.")


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


def compute_p50(values: Sequence[float]) -> float:
    """The median, one of the values."""
    return sorted(values)[len(values) // 2]
