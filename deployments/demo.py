"""`make demo`: the main job once, for real, on sample photos; leaves nothing running.

Ends with one line of JSON on standard output: {"first": {...}, "second": {...}}.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx

from deployments.sample_event import console, create_event, sync_event, upload_photos
from deployments.sample_photos import SamplePhoto, make_sample_photos
from deployments.stack.process import interrupt_on_signals
from deployments.stack.stack import EmbeddedStack
from models.errors import FacePassError, StackError
from models.settings import Settings

# What the demo takes from the caller; everything else would lead it to the caller's own servers.
KEPT_SETTINGS = {"FACEPASS_MODEL_PACK", "FACEPASS_MODEL_ROOT"}


def main() -> int:
    """Run the demo: 0 when its numbers are what the photos contain."""
    _forget_outside_servers()
    with interrupt_on_signals(), tempfile.TemporaryDirectory(prefix="facepass-demo-") as folder:
        try:
            runs = run_demo(Path(folder))
        except KeyboardInterrupt:
            console.print("Interrupted; everything is stopped.")
            return 130
        except (FacePassError, httpx.HTTPError) as error:
            console.print(str(error), style="red", markup=False)
            return 1
    console.print("Everything is stopped; nothing is left behind.")
    sys.stdout.write(json.dumps(runs, ensure_ascii=False) + "\n")
    return 0


def run_demo(home: Path) -> dict[str, Any]:
    """Start a stack of its own in `home`, sync the sample photos twice, check the numbers."""
    console.print("Starting a stack of its own ...")
    photos = list(make_sample_photos())
    settings = Settings(
        home=home,
        api_port=0,
        prefect_port=0,
        s3_port=0,
        model_root=Path(os.environ.get("FACEPASS_MODEL_ROOT", ".facepass")).absolute(),
    )
    with EmbeddedStack(settings, lambda line: console.print(f"  {line}", markup=False)) as stack:
        prefect_ui = stack.environment["PREFECT_API_URL"].removesuffix("/api")
        with httpx.Client(
            # The environment's proxy is for the world, not for this machine.
            base_url=stack.environment["FACEPASS_API_URL"],
            timeout=30,
            trust_env=False,
        ) as api:
            event = create_event(api)
            upload_photos(stack.environment, event["s3_prefix"], photos)
            first = sync_event(api, event, "First sync", prefect_ui)
            second = sync_event(api, event, "Second sync", prefect_ui)
        console.print("Stopping ...")
    check_runs(photos, first, second)
    return {"first": first, "second": second}


def check_runs(photos: list[SamplePhoto], first: dict[str, Any], second: dict[str, Any]) -> None:
    """Hold the two results against what the photos contain. Raises StackError."""
    readable = [photo for photo in photos if photo.faces is not None]
    expected = {
        "total_found": len(photos),
        "new_photos": len(readable),
        "skipped": 0,
        "failed": len(photos) - len(readable),
        "no_face": sum(photo.faces == 0 for photo in readable),
        "faces_found": sum(photo.faces or 0 for photo in readable),
        "missing_originals": 0,
    }
    again = expected | {"new_photos": 0, "skipped": len(readable), "no_face": 0, "faces_found": 0}
    for title, wanted, result in (("first", expected, first), ("second", again, second)):
        wrong = {name: result[name] for name in wanted if result[name] != wanted[name]}
        if wrong:
            raise StackError(
                f"The {title} sync says {wrong}; the photos contain "
                f"{ {name: wanted[name] for name in wrong} }."
            )


def _forget_outside_servers() -> None:
    for name in list(os.environ):
        if name.startswith(("FACEPASS_", "PREFECT_", "AWS_")) and name not in KEPT_SETTINGS:
            del os.environ[name]


if __name__ == "__main__":
    sys.exit(main())
