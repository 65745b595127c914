"""`make demo-event`: an event with sample photos in the stack that `make up` runs.

Ends with the gallery's address on standard output.
"""

import os
import shlex
import sys
from pathlib import Path

import httpx

from deployments.sample_event import console, create_event, sync_event, upload_photos
from deployments.sample_photos import make_sample_photos
from models.errors import FacePassError, StackError
from models.settings import get_settings


def main() -> int:
    """Add the event: 0 when its gallery is there to be opened."""
    try:
        gallery_url = add_demo_event(read_stack(get_settings().home))
    except (FacePassError, httpx.HTTPError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    console.print("Open the gallery; a crop of any face in it will do as a selfie:")
    sys.stdout.write(f"{gallery_url}\n")
    return 0


def read_stack(home: Path) -> dict[str, str]:
    """What the running stack says of itself. Raises StackError where none runs in this home."""
    try:
        lines = shlex.split((home / "stack.env").read_text("utf-8"))
    except OSError as error:
        raise StackError(
            "No stack is running here: start `make up` in another terminal."
        ) from error
    return dict(line.split("=", 1) for line in lines)


def add_demo_event(stack: dict[str, str]) -> str:
    """Create, upload, sync; the gallery's address. Raises StackError or httpx.HTTPError."""
    # Where photographers have keys the stack's API wants one.
    key = os.environ.get("FACEPASS_API_KEY", "")
    with httpx.Client(
        base_url=stack["FACEPASS_API_URL"],
        headers={b"X-API-Key": key.encode()} if key else None,
        timeout=30,
        trust_env=False,
    ) as api:
        try:
            event = create_event(api)
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.UNAUTHORIZED:
                raise StackError(
                    "The stack's API asks for a key: FACEPASS_API_KEY=yours make demo-event."
                ) from error
            raise
        upload_photos(stack, event["s3_prefix"], list(make_sample_photos()))
        sync_event(api, event, "Sync", stack["PREFECT_API_URL"].removesuffix("/api"))
    return str(event["gallery_url"])


if __name__ == "__main__":
    sys.exit(main())
