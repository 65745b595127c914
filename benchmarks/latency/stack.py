"""A stack of its own for latencies: its three doors (REST, Prefect, PostgreSQL) and its events."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine, create_engine

from benchmarks.s3_client import open_client
from deployments.names import WORK_POOL
from deployments.sample_photos import SamplePhoto
from deployments.stack.prefect import open_prefect_client
from deployments.stack.stack import EmbeddedStack
from models.settings import Settings

# What would lead the measurement to the caller's own servers.
OUTSIDE = ("FACEPASS_", "PREFECT_", "AWS_")
# What a caller may set to measure another setting of the product's.
KEPT = (
    "FACEPASS_MODEL_PACK",
    "FACEPASS_MODEL_ROOT",
    "FACEPASS_ACCEPT_NONCOMMERCIAL",
    "FACEPASS_BATCH_SIZE",
    "FACEPASS_HOOK_SECRET",
)


@dataclass(frozen=True)
class Doors:
    """How a measurement talks to the stack."""

    api_url: str
    prefect: httpx.Client
    database: Engine
    environment: dict[str, str]

    def open_api(self) -> httpx.Client:
        """A client of the REST API; one a thread."""
        # The environment's proxy is for the world, not for this machine.
        return httpx.Client(base_url=self.api_url, timeout=60, trust_env=False)

    def create_events(self, count: int) -> list[dict[str, Any]]:
        """New events with empty folders."""
        with self.open_api() as api:
            return [
                api.post("/api/v1/events", json={"name": f"Свадьба {i}"}).raise_for_status().json()
                for i in range(count)
            ]

    def pause_work(self, *, paused: bool) -> None:
        """Have the worker take up nothing, or take up again what waits."""
        body = {"is_paused": paused}
        self.prefect.patch(f"work_pools/{WORK_POOL}", json=body).raise_for_status()

    def delete_run(self, flow_run_id: str) -> None:
        """Forget a run that nobody shall do."""
        self.prefect.delete(f"flow_runs/{flow_run_id}").raise_for_status()


@contextmanager
def open_stack(report: Callable[[str], None]) -> Iterator[Doors]:
    """The whole stack in a new folder, on free ports, with the pack that needs no network."""
    for name in [n for n in os.environ if n.startswith(OUTSIDE) and n not in KEPT]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(prefix="fp-bench-") as folder:
        # No event is active: else the hourly resync would queue hundreds before the measured ones.
        settings = Settings(
            home=Path(folder),
            api_port=0,
            prefect_port=0,
            s3_port=0,
            event_active_days=0,
            make_views=False,
        )
        with EmbeddedStack(settings, report) as stack:
            environment = stack.environment
            database = create_engine(
                environment["FACEPASS_DATABASE_URL"].replace("postgresql", "postgresql+psycopg2", 1)
            )
            with open_prefect_client(environment, timeout_s=60) as prefect:
                yield Doors(environment["FACEPASS_API_URL"], prefect, database, environment)
            database.dispose()


def start_sync(api: httpx.Client, event: dict[str, Any]) -> tuple[str, float]:
    """POST sync-s3; the run's id and the milliseconds until the answer."""
    body = {"event_uuid": event["event_uuid"], "s3_prefix": event["s3_prefix"]}
    began = time.perf_counter()
    answer = api.post("/api/v1/faces/sync-s3", json=body)
    took_ms = (time.perf_counter() - began) * 1000
    return str(answer.raise_for_status().json()["task_id"]), took_ms


def upload_photos(doors: Doors, s3_prefix: str, photos: Sequence[SamplePhoto]) -> None:
    """Put previews and originals where an event's sync looks for them."""
    environment = doors.environment
    client = open_client(environment)
    bucket = environment["FACEPASS_S3_BUCKET"]
    for photo in photos:
        for kind, body in (("previews", photo.preview), ("originals", photo.original)):
            key = s3_prefix.replace("/previews/", f"/{kind}/") + photo.name
            client.put_object(Bucket=bucket, Key=key, Body=body)
