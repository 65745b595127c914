"""The corpus through a real sync: uploaded, started by the REST call, read from the ledger."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.engine.job import JobStack, open_job_stack
from benchmarks.hostile.audit import Audit, FileReport, match_rows
from benchmarks.s3_client import open_client

PAGE = 200


def sync_files(folder: Path, audit: Audit, home: Path, report: Callable[[str], None]) -> None:
    """Sync all files as one event, and note what the ledger says of each."""
    models = {"model_pack": "opencv_zoo", "model_root": home / "models"}
    with open_job_stack(home / "stack", **models) as stack:
        event = stack.create_event("Враждебные файлы")
        upload(stack, event["s3_prefix"], folder, audit.files)
        status = stack.run_sync(event)
        if status["state"] != "completed":
            audit.failures.append(f"The sync ended as {status['state']}: {status['detail']}")
        rows = read_ledger(stack, event)
        report(
            f"  Synced: {status['result']}; the run's peak {stack.peak_mib.get('flow run')} MiB."
        )
    stored = match_rows([file.name for file in audit.files], rows)
    for file in audit.files:
        file.stored = stored.pop(file.name, None)
    audit.failures += [f"{name}: in the ledger, and never uploaded" for name in stored]


def upload(stack: JobStack, s3_prefix: str, folder: Path, files: list[FileReport]) -> None:
    """Each file as a preview under its own name."""
    client, bucket = open_client(stack.environment), stack.environment["FACEPASS_S3_BUCKET"]

    def put(number: int) -> None:
        content = (folder / str(number)).read_bytes()
        client.put_object(Bucket=bucket, Key=s3_prefix + files[number].name, Body=content)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(put, range(len(files))))


def read_ledger(stack: JobStack, event: dict[str, Any]) -> list[dict[str, Any]]:
    """Every row of the event, its key without the prefix."""
    rows: list[dict[str, Any]] = []
    cursor: int | None = 0
    while cursor is not None:
        path = f"/api/v1/events/{event['event_uuid']}/photos"
        answer = stack.api.get(path, params={"cursor": cursor, "limit": PAGE})
        page = answer.raise_for_status().json()
        rows += page["photos"]
        cursor = page["next_cursor"]
    prefix = event["s3_prefix"]
    return [{**row, "s3_key": row["s3_key"].removeprefix(prefix)} for row in rows]
