"""The demo: an event with sample photos, uploaded to S3 and synced through the REST API.

`facepass demo` starts its own stack, syncs twice, checks the numbers, shows the gallery to a
person at a terminal, and stops everything. `facepass demo-event` adds the event to the stack that
is already running. Both give a selfie file, to find somebody's photos with.
"""

import json
import os
import select
import sys
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.config import Config
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deployments.command_line.running_stack import read_stack
from deployments.command_line.signals import interrupt_on_signals
from deployments.command_line.waits import WaitLine
from deployments.push.client import RestApi
from deployments.push.event import wait_for_sync
from deployments.qr import draw_qr, is_local
from deployments.sample_photos import SamplePhoto, make_sample_photos, make_selfie
from deployments.stack.home import explain_refusal, write_private_bytes
from deployments.stack.lan import API_KEY
from deployments.stack.prefect import AUTH_VARIABLE
from deployments.stack.stack import EmbeddedStack
from models.errors import FacePassError, PushRefusedError, StackError
from models.settings import Settings, get_settings

EVENT_NAME = "Свадьба"
POLL_S = 0.2
SYNC_LIMIT_S = 300
LOOK_S = 0.5  # between two looks at the parts while a person looks at the gallery
SELFIE = "selfie.jpg"
# What the demo takes from the caller; everything else would lead it to the caller's own servers.
KEPT_SETTINGS = {"FACEPASS_MODEL_PACK", "FACEPASS_MODEL_ROOT", "FACEPASS_ACCEPT_NONCOMMERCIAL"}

console = Console(stderr=True, highlight=False, soft_wrap=True)


def show_demo() -> int:
    """Run the demo: 0 when its numbers are what the photos contain.

    Ends with one line of JSON on standard output: {"first": {...}, "second": {...}}.
    """
    for name in list(os.environ):
        if name.startswith(("FACEPASS_", "PREFECT_", "AWS_")) and name not in KEPT_SETTINGS:
            del os.environ[name]
    with interrupt_on_signals(), tempfile.TemporaryDirectory(prefix="facepass-demo-") as folder:
        try:
            runs = run_demo(Path(folder))
        except KeyboardInterrupt:
            console.print("Interrupted; everything is stopped.")
            return 130
        except FacePassError as error:
            console.print(str(error), style="red", markup=False)
            return 1
    console.print("Everything is stopped; nothing is left behind.")
    sys.stdout.write(json.dumps(runs, ensure_ascii=False) + "\n")
    return 0


def show_demo_event() -> int:
    """Add the event to the stack that runs: 0 with its gallery's address on standard output."""
    home = get_settings().home
    try:
        gallery_url = add_demo_event(read_stack(home))
        selfie = write_selfie(home)
    except FacePassError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    console.print(draw_qr(gallery_url), markup=False)
    if is_local(gallery_url):
        console.print(
            "This link works on this computer only; `make up LAN=1` makes one for phones.",
            markup=False,
        )
    for line in invite(selfie):
        console.print(line, markup=False)
    console.print("Gallery:")
    sys.stdout.write(f"{gallery_url}\n")
    return 0


def run_demo(home: Path) -> dict[str, Any]:
    """Start a stack of its own in `home`, sync the sample photos twice, check the numbers.

    A person at a terminal is shown the gallery before everything stops.
    """
    console.print("Starting a stack of its own ...")
    photos, shows = list(make_sample_photos()), has_spectator()
    settings = Settings(
        home=home,
        api_port=0,
        prefect_port=0,
        s3_port=0,
        make_views=False,  # its gallery is looked at for a moment, and its numbers come sooner
        model_root=Path(os.environ.get("FACEPASS_MODEL_ROOT", ".facepass")).absolute(),
    )
    with EmbeddedStack(
        settings,
        lambda line: console.print(f"  {line}", markup=False),
        show_waits=WaitLine(console).show,
    ) as stack:
        prefect_ui = stack.environment["PREFECT_API_URL"].removesuffix("/api")
        password = stack.environment[AUTH_VARIABLE]  # worth nothing when the stack is gone
        console.print(f"  Prefect's UI asks for a password: {password}", markup=False)
        with open_api(stack.environment["FACEPASS_API_URL"]) as api:
            event = make_event(api)
            upload_photos(stack.environment, event["s3_prefix"], photos)
            first = sync_photos(api, event, "First sync", prefect_ui)
            second = sync_photos(api, event, "Second sync", prefect_ui)
        check_runs(photos, first, second)
        if shows:
            show_gallery(stack, event["gallery_url"], write_selfie(home))
        console.print("Stopping ...")
    return {"first": first, "second": second}


def has_spectator() -> bool:
    """Whether a person sits at a terminal, and will press Enter."""
    if os.environ.get("CI") or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    # `make demo &` reads no key: the shell does.
    return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()


def show_gallery(stack: EmbeddedStack, gallery_url: str, selfie: Path) -> None:
    """Say what there is to look at, and wait for Enter or Ctrl-C.

    Raises StackError when a part of the stack dies meanwhile.
    """
    for line in (*invite(selfie), f"Gallery      {gallery_url}", "", "Enter stops everything."):
        console.print(line, markup=False)
    try:
        while not select.select([sys.stdin], [], [], LOOK_S)[0]:
            stack.poll()
        sys.stdin.readline()  # also the end of input: Ctrl-D, a closed terminal
    except KeyboardInterrupt:
        console.print()  # the numbers are there: it is an end like Enter


def invite(selfie: Path) -> tuple[str, str]:
    """What to do with the gallery, a line each."""
    return (
        "Open the gallery, choose the selfie file, see the photos of that person.",
        f"Selfie file  {selfie}",
    )


def write_selfie(home: Path) -> Path:
    """A selfie of somebody in the sample photos, for this user alone. Raises StackError."""
    path = home.expanduser().resolve() / SELFIE
    try:
        write_private_bytes(path, make_selfie())
    except OSError as error:
        raise explain_refusal(error, home) from error
    return path


def add_demo_event(stack: dict[str, str]) -> str:
    """Create, upload, sync; the gallery's address. Raises FacePassError.

    `stack`: the variables of stack.env.
    """
    # Where photographers have keys the stack's API wants one.
    key = os.environ.get(API_KEY) or stack.get(API_KEY)
    with open_api(stack["FACEPASS_API_URL"], key) as api:
        try:
            event = make_event(api)
        except PushRefusedError as error:  # a new event is refused for want of a key alone
            raise StackError(
                "The stack's API asks for a key: FACEPASS_API_KEY=yours make demo-event."
            ) from error
        upload_photos(stack, event["s3_prefix"], list(make_sample_photos()))
        sync_photos(api, event, "Sync", stack["PREFECT_API_URL"].removesuffix("/api"))
    return str(event["gallery_url"])


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


def open_api(url: str, key: str | None = None) -> closing[RestApi]:
    """A client of the stack's API."""
    # Without the environment's proxy: it is for the world, not for this machine.
    return closing(RestApi(url, key, httpx.HTTPTransport()))


def make_event(api: RestApi) -> dict[str, Any]:
    """A new event through the REST call. Raises FacePassError."""
    event: dict[str, Any] = api.post("events", {"name": EVENT_NAME})
    console.print(f"\nEvent {event['name']}: its previews go to {event['s3_prefix']}")
    return event


def upload_photos(environment: dict[str, str], s3_prefix: str, photos: list[SamplePhoto]) -> None:
    """Previews and originals into the stack's S3; `environment` is its stack.env."""
    client = boto3.client(
        "s3",
        endpoint_url=environment["FACEPASS_S3_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
        config=Config(proxies={}),
    )
    originals_prefix = s3_prefix.replace("/previews/", "/originals/")
    for photo in photos:
        for prefix, body in ((s3_prefix, photo.preview), (originals_prefix, photo.original)):
            client.put_object(
                Bucket=environment["FACEPASS_S3_BUCKET"], Key=f"{prefix}{photo.name}", Body=body
            )
    console.print(f"Uploaded {len(photos)} previews and their originals to S3.\n")


def sync_photos(api: RestApi, event: dict[str, Any], title: str, prefect_ui: str) -> dict[str, Any]:
    """One sync through the REST call, with a progress bar; its result. Raises FacePassError."""
    body = {"event_uuid": event["event_uuid"], "s3_prefix": event["s3_prefix"]}
    started = api.post("faces/sync-s3", body)
    task_id = started["task_id"]
    console.print(f"{title}: {started['message']}")
    console.print(f"  watch it in Prefect: {prefect_ui}/login?redirect=/runs/flow-run/{task_id}")
    status = _follow_with_bar(api, task_id)
    if status["state"] != "completed":
        raise StackError(f"{title} ended as {status['state']}: {status['detail']}")
    result: dict[str, Any] = status["result"]
    console.print(
        f"  {result['message']}: {result['skipped']} skipped, {result['failed']} failed, "
        f"{result['no_face']} without a face, {result['faces_found']} faces, "
        f"{result['seconds']} s\n"
    )
    return result


def _follow_with_bar(api: RestApi, task_id: str) -> dict[str, Any]:
    title = TextColumn("  {task.description:<9}")
    columns = (title, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("pending", total=None)

        def show_status(status: dict[str, Any]) -> None:
            done, total = status["progress"]["processed"], status["progress"]["total"] or None
            progress.update(bar, description=status["state"], completed=done, total=total)

        read_status = partial(api.get, f"faces/sync-s3/{task_id}")
        return wait_for_sync(read_status, show_status, pause_s=POLL_S, limit_s=SYNC_LIMIT_S)


if __name__ == "__main__":
    from deployments.facepass import run

    run("demo")
