"""Connections to PostgreSQL by holder: the API idle and under a burst, a sync, Prefect."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.capacity.growth import watch_connections
from benchmarks.latency.stack import Doors, start_sync, upload_photos
from deployments.sample_photos import make_sample_photos
from models.errors import StackError

CALLERS, CALLS = 40, 10
PHOTOS = 40
PATIENCE_S = 180
OVER = {"completed", "failed", "crashed", "cancelled", "skipped"}


def measure_connections(doors: Doors, console: Console) -> dict[str, float]:
    """The most at each stage; the figures of the last line."""
    (event,) = doors.create_events(1)
    upload_photos(doors, event["s3_prefix"], list(make_sample_photos())[:PHOTOS])
    stages: dict[str, dict[str, int]] = {}
    with watch_connections(doors.database) as watch:
        time.sleep(1)
    stages["idle"] = watch.most
    with watch_connections(doors.database) as watch:
        _sync(doors, event)
    stages["a sync"] = watch.most
    result_bytes = _measure_results(doors)
    console.print(f"Result storage: {result_bytes:.0f} bytes a photo of that sync.")
    with watch_connections(doors.database) as watch:
        _call_at_once(doors, event)
    stages[f"{CALLERS} callers at once"] = watch.most
    table = Table(title="Connections to PostgreSQL, at most")
    for heading in ("stage", "the product's database", "Prefect's"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for name, most in stages.items():
        table.add_row(name, str(most.get("facepass", 0)), str(most.get("prefect", 0)))
    console.print(table)
    idle, sync, burst = (most.get("facepass", 0) for most in stages.values())
    return {
        "api_idle": idle,
        "api_burst": burst,
        "sync": sync,
        "result_bytes_a_photo": result_bytes,
    }


def _measure_results(doors: Doors) -> float:
    """Bytes that the first sync keeps a photo, for a week: its cached faces."""
    folder = Path(doors.environment["PREFECT_LOCAL_STORAGE_PATH"])
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / PHOTOS


def _call_at_once(doors: Doors, event: dict[str, Any]) -> None:
    def call(_: int) -> None:
        with doors.open_api() as api:
            for _ in range(CALLS):
                api.get(f"/api/v1/events/{event['event_uuid']}").raise_for_status()

    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(call, range(CALLERS)))


def _sync(doors: Doors, event: dict[str, Any]) -> None:
    with doors.open_api() as api:
        task_id, _ = start_sync(api, event)
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            state = api.get(f"/api/v1/faces/sync-s3/{task_id}").raise_for_status().json()["state"]
            if state in OVER:
                break
            time.sleep(0.5)
    if state != "completed":
        raise StackError(f"The measured sync is {state}.")
