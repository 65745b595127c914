"""A guest's wait from sending a selfie to the answer, over the real API."""

import time
from io import BytesIO
from typing import Any

from PIL import Image

from benchmarks.latency.stack import Doors, start_sync, upload_photos
from deployments.sample_photos import make_sample_photos

FACE = (134, 8, 314, 230)  # scikit-image's astronaut, her face and as much around it
PHONE_SIZE = (3024, 4032)  # twelve million pixels
OVER = {"completed", "failed", "crashed", "cancelled", "skipped"}


def measure_selfies(doors: Doors, rounds: int) -> list[float]:
    """Milliseconds of each search over the real API, the demo's event synced before."""
    photos = list(make_sample_photos())
    (event,) = doors.create_events(1)
    upload_photos(doors, event["s3_prefix"], photos)
    selfie = make_selfie()
    with doors.open_api() as api:
        task_id, _ = start_sync(api, event)
        while api.get(f"/api/v1/faces/sync-s3/{task_id}").json()["state"] not in OVER:
            time.sleep(0.2)
        took_ms = []
        for number in range(rounds + 2):
            began = time.perf_counter()
            answer: dict[str, Any] = (
                api.post(
                    "/api/v1/faces/search",
                    data={"event_uuid": event["event_uuid"]},
                    files={"file": ("selfie.jpg", selfie, "image/jpeg")},
                )
                .raise_for_status()
                .json()
            )
            if number >= 2:  # the first loads the models
                took_ms.append((time.perf_counter() - began) * 1000)
        if len(answer["matches"]) != sum("portrait" in photo.name for photo in photos):
            raise RuntimeError("The search did not find the person's photos.")
    return took_ms


def make_selfie() -> bytes:
    """A close-up as a phone's camera takes it."""
    from pathlib import Path

    import skimage

    with Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png") as photo:
        selfie = photo.convert("RGB").crop(FACE).resize(PHONE_SIZE, Image.Resampling.LANCZOS)
    buffer = BytesIO()
    selfie.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
