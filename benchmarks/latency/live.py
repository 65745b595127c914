"""The command of `make bench-live`: seconds from an upload to an open guest's page.

A guest's page is open in Chromium while one photo a second is put into S3 and the store tells the
API of it. A photo's time runs from the end of its upload until the page counts it. The last line is
JSON: {"photos": ..., "median_s": ..., "p95_s": ..., "slowest_s": ...}.
"""

import argparse
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any, cast

import httpx
from playwright.sync_api import sync_playwright
from rich.console import Console

from benchmarks.latency.stack import Doors, open_stack, upload_photos
from benchmarks.latency.triggers import compute_p95
from deployments.command_line.signals import interrupt_on_signals
from deployments.sample_photos import SamplePhoto, make_sample_photos

SECRET = "only-for-this-measurement"  # noqa: S105 (of a stack that lives for minutes)
AFTERWARDS_S = 60.0  # the page's time for the last photos
HEARTBEAT_S = 0.2
# Remembers when the page's count of photos changed, and to what.
WATCH_COUNT = """() => {
  const count = document.getElementById("count");
  const look = () => counts.push([Date.now() / 1000, parseInt(count.textContent) || 0]);
  window.counts = [];
  const changes = { characterData: true, childList: true, subtree: true };
  new MutationObserver(look).observe(count, changes);
}"""

console = Console(stderr=True, highlight=False, soft_wrap=True)


class Camera:
    """A sender that puts one photo after the other into an event, and has the store tell of it."""

    def __init__(self, doors: Doors, event: dict[str, Any], photos: Sequence[SamplePhoto]) -> None:
        self._doors, self._event, self._photos = doors, event, photos
        self.sent: list[float] = []  # when each upload ended, seconds since the epoch
        self.failure: BaseException | None = None

    def shoot(self, pause_s: float) -> None:
        """Send all photos; run in a thread."""
        try:
            with self._doors.open_api() as api:
                for photo in self._photos:
                    began = time.monotonic()
                    self._send(api, photo)
                    time.sleep(max(0.0, pause_s - (time.monotonic() - began)))
        except BaseException as error:
            self.failure = error
            raise

    def _send(self, api: httpx.Client, photo: SamplePhoto) -> None:
        upload_photos(self._doors, self._event["s3_prefix"], [photo])
        self.sent.append(time.time())
        bucket = self._doors.environment["FACEPASS_S3_BUCKET"]
        key = self._event["s3_prefix"] + photo.name
        found = {"bucket": {"name": bucket}, "object": {"key": key}}
        record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": found}
        api.post(
            "/api/v1/hooks/s3",
            json={"Records": [record]},
            headers={"Authorization": f"Bearer {SECRET}"},
        ).raise_for_status()


def main() -> int:
    """Measure on a stack of its own: 0 when the page showed every photo."""
    parser = argparse.ArgumentParser(prog="make bench-live", description=__doc__)
    parser.add_argument("--photos", type=int, default=90)
    parser.add_argument("--pause", type=float, default=1, help="between two photos, seconds")
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        console.print("Chromium is missing: apt-get install chromium")
        return 1
    os.environ["FACEPASS_HOOK_SECRET"] = SECRET
    with interrupt_on_signals(), open_stack(lambda line: console.print(f"  {line}")) as doors:
        took = measure(doors, chromium, options.photos, options.pause)
    figures = {
        "photos": options.photos,
        "shown": len(took),
        "median_s": round(median(took), 1),
        "p95_s": round(compute_p95(took), 1),
        "slowest_s": round(max(took), 1),
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    return int(len(took) < options.photos)


def measure(doors: Doors, chromium: str, photos: int, pause_s: float) -> list[float]:
    """The seconds that each photo took, for those that the page showed."""
    event = doors.create_events(1)[0]
    camera = Camera(doors, event, make_photos(photos))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(event["gallery_url"])
        page.evaluate(WATCH_COUNT)
        sender = threading.Thread(target=camera.shoot, args=(pause_s,), daemon=True)
        sender.start()
        end = time.monotonic() + photos * pause_s + AFTERWARDS_S
        counts: list[list[float]] = []
        while time.monotonic() < end and camera.failure is None:
            page.wait_for_timeout(HEARTBEAT_S * 1000)
            counts = cast("list[list[float]]", page.evaluate("counts"))
            if counts and counts[-1][1] >= photos:
                break
        browser.close()
    if camera.failure is not None:
        raise camera.failure
    return compute_waits(camera.sent, counts)


def make_photos(count: int) -> list[SamplePhoto]:
    """So many photos under names of their own; their contents repeat."""
    readable = [photo for photo in make_sample_photos() if photo.faces is not None]
    return [
        replace(readable[n % len(readable)], name=f"{n:04}-{readable[n % len(readable)].name}")
        for n in range(count)
    ]


def compute_waits(sent: Sequence[float], counts: Sequence[Sequence[float]]) -> list[float]:
    """Seconds from each upload until the page's count reached it; without those it never did.

    counts: the moments at which the page's count changed, and what it was then.
    """
    waits = []
    for number, moment in enumerate(sent, start=1):
        shown = next((when for when, count in counts if count >= number), None)
        if shown is not None:
            waits.append(shown - moment)
    return waits


if __name__ == "__main__":
    sys.exit(main())
