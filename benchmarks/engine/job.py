"""The whole job on a real stack (S3, Prefect, a worker, PostgreSQL), started by the REST call."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]  # publishes no types, and its stubs are not locked

from benchmarks.s3_client import open_client
from deployments.stack.stack import EmbeddedStack
from models.settings import Settings

MIB = 1024 * 1024
POLL_S = 0.5
OVER = {"completed", "failed", "crashed", "cancelled", "skipped"}


@dataclass
class JobStack:
    """A running stack, and the largest memory of each of its processes so far."""

    environment: dict[str, str]
    api: httpx.Client
    peak_mib: dict[str, int] = field(default_factory=dict)

    def create_event(self, name: str) -> dict[str, Any]:
        """A new event."""
        answer = self.api.post("/api/v1/events", json={"name": name}).raise_for_status()
        return dict(answer.json())

    def upload(self, event: dict[str, Any], photos: Sequence[bytes], mark: int = 0) -> None:
        """Previews and originals; no two of the same bytes, none as under another `mark`."""
        client = open_client(self.environment)

        def put(number: int) -> None:
            body = photos[number] + (mark * len(photos) + number).to_bytes(8, "big")
            for kind in ("previews", "originals"):
                folder = event["s3_prefix"].replace("/previews/", f"/{kind}/")
                key = f"{folder}IMG_{number:05}.jpg"
                client.put_object(Bucket=self.environment["FACEPASS_S3_BUCKET"], Key=key, Body=body)

        with ThreadPoolExecutor(16) as threads:
            list(threads.map(put, range(len(photos))))

    def sync(self, event: dict[str, Any]) -> dict[str, Any]:
        """Sync an event; its result, with `wall`: seconds from the call to the answer."""
        began = time.monotonic()
        status = self.run_sync(event)
        if status["state"] != "completed" or status["result"]["failed"]:
            raise AssertionError(f"the sync ended as {status['state']}: {status['detail']}")
        return {**status["result"], "wall": time.monotonic() - began}

    def run_sync(self, event: dict[str, Any]) -> dict[str, Any]:
        """Sync an event, however that ends; the status call's last answer."""
        body = {key: event[key] for key in ("event_uuid", "s3_prefix")}
        started = self.api.post("/api/v1/faces/sync-s3", json=body).raise_for_status().json()
        while True:
            path = f"/api/v1/faces/sync-s3/{started['task_id']}"
            status = self.api.get(path).raise_for_status().json()
            self.note_memory()
            if status["state"] in OVER:
                return dict(status)
            time.sleep(POLL_S)

    def note_memory(self) -> None:
        """Look at every process of the stack."""
        for process in psutil.Process().children(recursive=True):
            try:
                name, resident = name_process(process), process.memory_info().rss // MIB
            except psutil.Error:
                continue  # it has ended
            self.peak_mib[name] = max(self.peak_mib.get(name, 0), resident)


def name_process(process: psutil.Process) -> str:
    """What a process of the stack is, in a word."""
    words = " ".join(process.cmdline())
    known = {
        "prefect.engine": "flow run",
        "server start": "Prefect server",
        "worker start": "worker",
        "-m api": "API",
        "weed": "S3",
        "postgres": "PostgreSQL (largest process)",
    }
    return next((name for text, name in known.items() if text in words), "others")


@contextmanager
def open_job_stack(folder: Path, **settings: object) -> Iterator[JobStack]:
    """A stack of the bench's own, on free ports; gone afterwards."""
    # No event is active: neither the hourly resync nor a making of views works beside the bench.
    own = {"api_port": 0, "prefect_port": 0, "s3_port": 0, "event_active_days": 0}
    own["make_views"] = False
    wanted = Settings.model_validate({"home": folder, **own, **settings})
    with EmbeddedStack(wanted) as stack:
        url = stack.environment["FACEPASS_API_URL"]
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as api:
            yield JobStack(stack.environment, api)
