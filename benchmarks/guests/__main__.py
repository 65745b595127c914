"""The command of `make bench-guests`: a crowd of guests while a sync runs and S3 stands still.

It prints what the guests were answered, the API's memory and the end of the sync. It fails when a
guest got neither an answer nor a sentence, the sync did not complete, or memory went over 600 MB.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.memory import MEGABYTE, watch_memory
from benchmarks.s3_client import open_client
from deployments.command_line.signals import interrupt_on_signals
from deployments.sample_photos import make_sample_photos
from deployments.stack.prefect import WORKER
from deployments.stack.stack import API, EmbeddedStack
from models.settings import Settings
from tests.support.faults import FaultProxy
from tests.support.guests import take_selfie
from tests.support.photos import encode_jpeg

# What would lead the measurement to the caller's own servers.
OUTSIDE = ("FACEPASS_", "PREFECT_", "AWS_")
MOST_MB = 600
COPIES = 8  # of each sample photo: a sync that still runs when S3 comes back
STALL_S = 30
LIMIT_S = 600
CAMERA = (3000, 4000)  # what a phone sends that no script has made smaller
SCREEN = (1200, 1600)


@dataclass(frozen=True)
class Answer:
    """What one guest got; status 0: nothing. `again`: whether a sentence says when to come back."""

    status: int
    seconds: float
    again: bool


class Album:
    """The stack's API and one event, whose photos lie in its S3."""

    def __init__(self, stack: EmbeddedStack) -> None:
        self._url = stack.environment["FACEPASS_API_URL"]
        self._s3 = open_client(stack.environment)
        self._bucket = stack.environment["FACEPASS_S3_BUCKET"]
        with self._open() as api:
            event = api.post("/api/v1/events", json={"name": "Свадьба"}).raise_for_status().json()
        self._event: dict[str, Any] = event

    def put(self, copies: range) -> None:
        """Upload the sample photos, so many times."""
        for photo in make_sample_photos():
            for copy in copies:
                key = f"{self._event['s3_prefix']}{copy}-{photo.name}"
                self._s3.put_object(Bucket=self._bucket, Key=key, Body=photo.preview)

    def start_sync(self) -> str:
        """Its task id."""
        body = {key: self._event[key] for key in ("event_uuid", "s3_prefix")}
        with self._open() as api:
            answer = api.post("/api/v1/faces/sync-s3", json=body).raise_for_status()
        return str(answer.json()["task_id"])

    def wait_for_sync(self, task_id: str, photos: int | None = None) -> dict[str, Any]:
        """The sync's status once it is over, or has done so many photos."""
        deadline = time.monotonic() + LIMIT_S
        with self._open() as api:
            while True:
                status = dict(api.get(f"/api/v1/faces/sync-s3/{task_id}").raise_for_status().json())
                is_far = photos is not None and status["progress"]["processed"] >= photos
                is_late = time.monotonic() > deadline
                if is_far or is_late or status["state"] not in {"pending", "running", "retrying"}:
                    return status
                time.sleep(0.2)

    def search(self, selfie: bytes) -> Answer:
        """One guest's search."""
        begin = time.monotonic()
        fields = {"event_uuid": self._event["event_uuid"]}
        try:
            with self._open() as api:
                files = {"file": ("selfie.jpg", selfie, "image/jpeg")}
                answer = api.post("/api/v1/faces/search", data=fields, files=files)
        except httpx.HTTPError:
            return Answer(0, time.monotonic() - begin, again=False)
        seconds = time.monotonic() - begin
        return Answer(answer.status_code, seconds, again="retry-after" in answer.headers)

    def _open(self) -> httpx.Client:
        return httpx.Client(base_url=self._url, timeout=120, trust_env=False)


def main() -> int:
    """Measure: 0 when every guest was told something, the sync completed and memory is bounded."""
    parser = argparse.ArgumentParser(prog="make bench-guests", description=__doc__)
    parser.add_argument("--guests", type=int, default=100)
    guests = parser.parse_args().guests
    for name in [name for name in os.environ if name.startswith(OUTSIDE)]:
        del os.environ[name]
    with (
        interrupt_on_signals(),
        tempfile.TemporaryDirectory(prefix="fp-") as folder,
        open_stack(Path(folder)) as (stack, proxy),
    ):
        line = measure(stack, proxy, guests)
    sys.stdout.write(json.dumps(line) + "\n")
    told = line["answered"] + line["told_to_come_again"]
    is_bounded = line["api_peak_mb"] <= MOST_MB
    return int(told < guests or line["sync"] != "completed" or not is_bounded)


@contextmanager
def open_stack(folder: Path) -> Iterator[tuple[EmbeddedStack, FaultProxy]]:
    """A stack whose worker and API reach S3 through a line that can stand still."""
    settings = Settings(
        home=folder / "home",
        model_root=folder,
        model_pack="opencv_zoo",
        api_port=0,
        prefect_port=0,
        s3_port=0,
        event_active_days=0,
        retry_delay_s=5,
        guest_rate_limit="100000/minute",
    )
    with ExitStack() as exits:
        stack = exits.enter_context(EmbeddedStack(settings))
        proxy = FaultProxy(stack.environment["FACEPASS_S3_ENDPOINT_URL"])
        exits.enter_context(proxy.serve())
        for name in (WORKER, API):
            part = stack.parts[name]
            part.stop()
            part.env = {**part.env, "FACEPASS_S3_ENDPOINT_URL": proxy.url}
            part.start()
        wait_for_api(stack.environment["FACEPASS_API_URL"])
        yield stack, proxy


def wait_for_api(url: str) -> None:
    """Return once it answers."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/health", trust_env=False, timeout=5).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.2)
        else:
            return


def measure(stack: EmbeddedStack, proxy: FaultProxy, guests: int) -> dict[str, Any]:
    """All that happens, and what came of it."""
    album = Album(stack)
    album.put(range(1))
    album.wait_for_sync(album.start_sync())
    selfies = [encode_jpeg(take_selfie(0).resize(size)) for size in (SCREEN, CAMERA)]
    album.search(selfies[0])  # the engine is loaded
    album.put(range(1, COPIES))
    task_id = album.start_sync()
    album.wait_for_sync(task_id, photos=len(list(make_sample_photos())) + 1)
    process = stack.parts[API].process
    with watch_memory(process.pid if process else None) as memory:
        proxy.hang.set()
        mend = threading.Timer(STALL_S, proxy.hang.clear)
        mend.start()
        with ThreadPoolExecutor(guests) as crowd:
            # Every fourth without the gallery's script, which makes pictures smaller.
            answers = list(crowd.map(lambda n: album.search(selfies[n % 4 == 3]), range(guests)))
        mend.join()
        status = album.wait_for_sync(task_id)
    return {
        "guests": guests,
        "answered": sum(answer.status == 200 for answer in answers),
        "told_to_come_again": sum(answer.status == 503 and answer.again for answer in answers),
        "by_status": dict(Counter(str(answer.status) for answer in answers)),
        "slowest_s": round(max(answer.seconds for answer in answers), 1),
        "api_peak_mb": round(memory.peak / MEGABYTE),
        "sync": status["state"],
    }


if __name__ == "__main__":
    sys.exit(main())
