"""One measured run in a process of its own: a bare listing of an event's folders, or its sync.

`python -m benchmarks.scale.worker listing|sync|feed EVENT_ID`, in a stack's environment; prints
one line of JSON. `feed` is a sync without inference.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import boto3
from botocore.config import Config

from benchmarks.memory import watch_memory
from models.errors import FacePassError, StackError
from models.keys import build_previews_prefix, default_folder, derive_original_key
from models.settings import get_settings
from tasks.s3.bucket import get_bucket

P = ParamSpec("P")
R = TypeVar("R")


def main() -> int:
    """Run what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=("listing", "sync", "feed"))
    parser.add_argument("event_id", type=int)
    asked = parser.parse_args()
    jobs = {"listing": measure_listing, "sync": measure_sync, "feed": measure_feed}
    try:
        measured = jobs[asked.job](asked.event_id)
    except FacePassError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(measured) + "\n")
    return 0


def measure_listing(event_id: int) -> dict[str, Any]:
    """List previews and originals page by page with boto3 as it comes, and nothing else."""
    settings = get_settings()
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        config=Config(s3={"addressing_style": "path"}),
    )
    folder = default_folder(event_id)
    previews = build_previews_prefix(folder)
    keys = 0
    with watch_memory() as memory:
        began = time.perf_counter()
        for prefix in (previews, derive_original_key(previews, folder)):
            paginator = client.get_paginator("list_objects_v2")
            for page in paginator.paginate(Bucket=settings.require_s3_bucket(), Prefix=prefix):
                keys += len(page.get("Contents", []))
        seconds = time.perf_counter() - began
    return {"keys": keys, "seconds": seconds, "memory_mb": memory.growth_mb}


def measure_sync(event_id: int) -> dict[str, Any]:
    """Run the real flow in this process, which has its imports and its engine already.

    `seconds` is the flow's own body, from taking the event to the result; `run_seconds` is all
    of it, with Prefect's start and end of a flow run. Raises StackError if it does not complete.
    """
    from flows.sync_event_photos import sync_event_photos
    from tasks.faces.cache import require_face_engine
    from tasks.packs.registry import resolve_pack

    require_face_engine(resolve_pack(get_settings()).identity)
    get_bucket()
    body = Stopwatch()
    sync_event_photos.fn = body.time(sync_event_photos.fn)
    with watch_memory() as memory:
        began, cpu_began = time.perf_counter(), time.process_time()
        prefix = build_previews_prefix(default_folder(event_id))
        state: Any = sync_event_photos(event_id, prefix, return_state=True)
        run_seconds = time.perf_counter() - began
        cpu_seconds = time.process_time() - cpu_began
    if not state.is_completed() or body.seconds is None:
        raise StackError(f"The sync ended as {state.name}: {state.message}")
    return {
        "result": state.result(),
        "seconds": body.seconds,
        "run_seconds": run_seconds,
        "cpu_seconds": cpu_seconds,
        "memory_mb": memory.growth_mb,
    }


def measure_feed(event_id: int) -> dict[str, Any]:
    """As measure_sync, with an engine that answers at once; and processor seconds by part."""
    from benchmarks.scale.feed import set_up_feed

    clock = set_up_feed()
    measured = measure_sync(event_id)
    parts = clock.split(measured["cpu_seconds"])
    return measured | {"parts": parts, "batches_s": clock.batches_s}


class Stopwatch:
    """Times the last call of a function."""

    def __init__(self) -> None:
        self.seconds: float | None = None

    def time(self, function: Callable[P, R]) -> Callable[P, R]:
        """The function, timed."""

        @wraps(function)
        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds = time.perf_counter() - began

        return timed


if __name__ == "__main__":
    sys.exit(main())
