"""An event with the sample photos, the way a photographer's tool makes one: REST, S3, REST."""

import time
from typing import Any

import boto3
import httpx
from botocore.config import Config
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deployments.sample_photos import SamplePhoto
from models.errors import StackError

EVENT_NAME = "Свадьба"
POLL_S = 0.2
SYNC_LIMIT_S = 300
OVER = {"completed", "failed", "crashed", "cancelled", "skipped"}

console = Console(stderr=True, highlight=False, soft_wrap=True)


def create_event(api: httpx.Client) -> dict[str, Any]:
    """A new event through the REST call. Raises httpx.HTTPStatusError."""
    event: dict[str, Any] = (
        api.post("/api/v1/events", json={"name": EVENT_NAME}).raise_for_status().json()
    )
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


def sync_event(
    api: httpx.Client, event: dict[str, Any], title: str, prefect_ui: str
) -> dict[str, Any]:
    """One sync through the REST call, with a progress bar; its result. Raises StackError."""
    body = {"event_uuid": event["event_uuid"], "s3_prefix": event["s3_prefix"]}
    started = api.post("/api/v1/faces/sync-s3", json=body).raise_for_status().json()
    task_id = started["task_id"]
    console.print(f"{title}: {started['message']}")
    console.print(f"  watch it in Prefect: {prefect_ui}/runs/flow-run/{task_id}")
    status = _follow(api, task_id)
    if status["state"] != "completed":
        raise StackError(f"{title} ended as {status['state']}: {status['detail']}")
    result: dict[str, Any] = status["result"]
    console.print(
        f"  {result['message']}: {result['skipped']} skipped, {result['failed']} failed, "
        f"{result['no_face']} without a face, {result['faces_found']} faces, "
        f"{result['seconds']} s\n"
    )
    return result


def _follow(api: httpx.Client, task_id: str) -> dict[str, Any]:
    columns = (
        TextColumn("  {task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    deadline = time.monotonic() + SYNC_LIMIT_S
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("pending", total=None)
        while time.monotonic() < deadline:
            status: dict[str, Any] = (
                api.get(f"/api/v1/faces/sync-s3/{task_id}").raise_for_status().json()
            )
            done = status["progress"]
            progress.update(
                bar,
                description=status["state"],
                completed=done["processed"],
                total=done["total"] or None,
            )
            if status["state"] in OVER:
                return status
            time.sleep(POLL_S)
    raise StackError(f"The sync did not end within {SYNC_LIMIT_S} s.")
