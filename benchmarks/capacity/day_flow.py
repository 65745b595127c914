"""A flow with a sync's shape and none of its work: the same tasks, artifacts and lines of log.

Run as a program, it makes syncs one after the other on so many threads for so many seconds, and
prints their number and its processor time. A batch may wait as long as its photos would take, so
that many syncs are under way at a time.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.futures import wait
from prefect.task_runners import ThreadPoolTaskRunner

from tasks.sync.batch import STORE_SLICE

BATCH = 100  # photos
FIRST = 8  # photos of a run's first batch


@task(name="rehearse_plan", persist_result=False)
def rehearse_plan(photos: int) -> list[list[int]]:
    """The numbers of the batches, in the windows of a sync."""
    get_run_logger().info("Found %d objects in S3", photos)
    batches = list(range(count_batches(photos)))
    return [batches[:1], batches[1:]]


@task(name="rehearse_embedding", persist_result=False)
def rehearse_embedding(number: int) -> int:
    """What is cached in a sync."""
    return number


@task(name="rehearse_batch", persist_result=False)
def rehearse_batch(number: int, photos: int, progress_id: UUID, wait_s: float) -> None:
    """A batch: its embedding within it, a line for every slice, the bar moved once."""
    rehearse_embedding(number)
    time.sleep(wait_s)
    for count in range(STORE_SLICE, BATCH + 1, STORE_SLICE):
        get_run_logger().info("Processed %d new photos...", number * BATCH + count)
    done = 100.0 * (number + 1) / count_batches(photos)
    update_progress_artifact(progress_id, progress=done)


@task(name="rehearse_finish", persist_result=False)
def rehearse_finish(photos: int) -> None:
    """The summary."""
    create_markdown_artifact(f"# Summary\n\n{photos} photos", key="rehearsed-summary")


@flow(
    name="rehearse_sync",
    flow_run_name="Свадьба · events/1/previews/",
    task_runner=ThreadPoolTaskRunner[Any](max_workers=2),  # type: ignore[arg-type]  # invariant
    persist_result=False,
)
def rehearse_sync(photos: int, wait_s: float = 0.0) -> None:
    """A sync of so many new photos whose batches take `wait_s` seconds each, two at a time."""
    created: Any = create_progress_artifact(progress=0.0, description="Photos")
    progress_id = UUID(str(created))
    for numbers in rehearse_plan(photos):
        futures = [rehearse_batch.submit(number, photos, progress_id, wait_s) for number in numbers]
        wait(list(futures))
    rehearse_finish(photos)


def count_batches(photos: int) -> int:
    """A small first batch, and full ones; none where there is nothing to do."""
    return min(photos, 1) + -(-max(photos - FIRST, 0) // BATCH)


def rehearse_for(seconds: float, threads: int, photos: int, wait_s: float) -> dict[str, float]:
    """Syncs on `threads` threads until the time is over; those under way are ended."""
    runs: list[float] = []
    lock, until = Lock(), time.monotonic() + seconds

    def repeat(_: int) -> None:
        while time.monotonic() < until:
            began = time.monotonic()
            rehearse_sync(photos, wait_s)
            with lock:
                runs.append(time.monotonic() - began)

    began = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(repeat, range(threads)))
    took = time.monotonic() - began
    return {"runs": len(runs), "seconds": took, "cpu_s": time.process_time()}


if __name__ == "__main__":
    seconds, threads, photos, wait_s = map(float, sys.argv[1:])
    figures = rehearse_for(seconds, int(threads), int(photos), wait_s)
    sys.stdout.write(json.dumps(figures) + "\n")
