"""A day of a thousand syncs, as quickly as Prefect's server takes them.

Measured are the time to create a run while the queue grows, the runs that a worker starts in a
minute, the wait of a requested sync beside a thousand hourly ones, and the syncs an hour that the
server records, with what each leaves in its tables.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rich.console import Console

from benchmarks.capacity.rehearsal import FLAT_OUT, WAITING, measure_rehearsal
from benchmarks.capacity.starts import compute_p50, create_run, measure_asked, measure_starts
from benchmarks.latency.stack import Doors
from benchmarks.latency.triggers import compute_p95
from deployments.names import RESYNC_QUEUE, WORK_POOL

ENTRYPOINT = "benchmarks.capacity.day_flow.rehearse_sync"
CREATORS = 4  # at a time


@dataclass(frozen=True)
class Day:
    """How much of it is run."""

    runs: int = 1_000  # created
    starts_s: float = 60.0  # for each limit
    limits: tuple[int, ...] = (6, 2)  # the stack's own last: what is asked for meets it
    asked: int = 6  # syncs that somebody asks for, one after the other
    rehearsal_s: float = 120.0


WHOLE_DAY = Day()
QUICK_DAY = Day(runs=40, starts_s=15.0, limits=(2,), asked=1, rehearsal_s=10.0)


def measure_day(doors: Doors, day: Day, console: Console) -> dict[str, float]:
    """All of it, on a stack that does nothing else; the figures of the last line."""
    deployment = _deploy(doors)
    doors.pause_work(paused=True)
    figures = _measure_creation(doors, deployment, day.runs, console)
    for limit in day.limits:
        figures |= measure_starts(doors, limit, day.starts_s, console)
    figures |= measure_asked(doors, deployment, day.asked, console)
    doors.pause_work(paused=True)
    for rehearsal in (FLAT_OUT, WAITING):
        figures |= measure_rehearsal(doors, rehearsal, day.rehearsal_s, console)
    return {name: round(value, 2) for name, value in figures.items()}


def _deploy(doors: Doors) -> str:
    flow = doors.prefect.post("flows/", json={"name": "rehearse_sync"}).raise_for_status().json()
    body = {
        "name": "bench",
        "flow_id": flow["id"],
        "entrypoint": ENTRYPOINT,
        "work_pool_name": WORK_POOL,
        "enforce_parameter_schema": False,
    }
    answer = doors.prefect.post("deployments/", json=body).raise_for_status()
    return str(answer.json()["id"])


def _create_look(doors: Doors, deployment: str) -> float:
    """Create a run as the hourly resync does; milliseconds."""
    began = time.perf_counter()
    create_run(doors, deployment, work_queue_name=RESYNC_QUEUE)
    return (time.perf_counter() - began) * 1000


def _measure_creation(
    doors: Doors, deployment: str, runs: int, console: Console
) -> dict[str, float]:
    tenth = max(runs // 10, 1)
    _create_look(doors, deployment)  # the first one makes the queue
    began = time.monotonic()
    with ThreadPoolExecutor(CREATORS) as pool:
        took = list(pool.map(lambda _: _create_look(doors, deployment), range(runs)))
    seconds = time.monotonic() - began
    first, last = took[:tenth], took[-tenth:]
    starts = [f"p50 {compute_p50(part):.0f} p95 {compute_p95(part):.0f}" for part in (first, last)]
    console.print(
        f"{runs} runs created by {CREATORS} at a time in {seconds:.0f} s; ms for each: the first "
        f"tenth {starts[0]}, the last {starts[1]}."
    )
    return {
        "created_a_minute": 60 * runs / seconds,
        "create_p50_ms": compute_p50(last),
        "create_p95_ms": compute_p95(last),
    }
