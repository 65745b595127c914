"""The duration of `POST sync-s3`: alone, and twenty at once.

Each POST is another event's, so that each creates a run. The pool is paused meanwhile, so that the
trigger is measured and not two cores busy with syncs.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from benchmarks.latency.stack import Doors, start_sync

WARM_UP = 5
SINGLE_CALLS = 60
AT_ONCE = 20
ROUNDS = 6


def measure_triggers(doors: Doors) -> tuple[list[float], list[list[float]]]:
    """Milliseconds of each single call, and of each call of each round of twenty."""
    doors.pause_work(paused=True)
    try:
        _call_in_turn(doors, doors.create_events(WARM_UP))
        singles = _call_in_turn(doors, doors.create_events(SINGLE_CALLS))
        rounds = [_call_at_once(doors, doors.create_events(AT_ONCE)) for _ in range(ROUNDS)]
    finally:
        doors.pause_work(paused=False)
    return singles, rounds


def compute_p95(values: Sequence[float]) -> float:
    """The 95th percentile: the smallest value that 95 % of all do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def _call_in_turn(doors: Doors, events: Sequence[dict[str, Any]]) -> list[float]:
    with doors.open_api() as api:
        calls = [start_sync(api, event) for event in events]
    return _forget_runs(doors, calls)


def _call_at_once(doors: Doors, events: Sequence[dict[str, Any]]) -> list[float]:
    together = Barrier(len(events))

    def call(event: dict[str, Any]) -> tuple[str, float]:
        with doors.open_api() as api:
            api.get("/health").raise_for_status()  # the connection is there before the call
            together.wait()
            return start_sync(api, event)

    with ThreadPoolExecutor(len(events)) as pool:
        calls = list(pool.map(call, events))
    return _forget_runs(doors, calls)


def _forget_runs(doors: Doors, calls: Sequence[tuple[str, float]]) -> list[float]:
    for flow_run_id, _ in calls:
        doors.delete_run(flow_run_id)
    return [took_ms for _, took_ms in calls]
