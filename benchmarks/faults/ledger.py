"""An event's traces: its keys in S3, its rows in PostgreSQL, its runs in Prefect."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
from sqlalchemy import Engine, text

from models.session import SYNC_LOCK_CLASS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Box, detection score, embedding: as stored, so that equal means equal to the bit.
FaceRow = tuple[float, float, float, float, float, str]
# What Prefect calls a run that it still expects something of.
UNFINISHED = ["SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "PAUSED"]


@dataclass(frozen=True)
class PhotoRow:
    """A photo of the ledger, with its faces in a fixed order."""

    name: str  # the key below the event's prefix
    status: str
    reason: str | None
    faces: tuple[FaceRow, ...]


def read_keys(client: "S3Client", bucket: str, s3_prefix: str) -> list[str]:
    """Names of the previews that S3 has (fewer than a page of a listing)."""
    page = client.list_objects_v2(Bucket=bucket, Prefix=s3_prefix)
    return [item["Key"].removeprefix(s3_prefix) for item in page.get("Contents", [])]


def read_photos(database: Engine, event_id: int, s3_prefix: str) -> list[PhotoRow]:
    """Every photo of an event."""
    values = {"event": event_id}
    with database.connect() as connection:
        photos = connection.execute(text(_PHOTOS), values).all()
        faces: dict[int, list[FaceRow]] = {}
        for photo_id, *face in connection.execute(text(_FACES), values):
            faces.setdefault(photo_id, []).append(tuple(face))
    return [
        PhotoRow(
            row.s3_key.removeprefix(s3_prefix),
            row.status,
            row.reason,
            tuple(sorted(faces.get(row.id, []))),
        )
        for row in photos
    ]


_PHOTOS = "SELECT id, s3_key, status, reason FROM photo WHERE event_id = :event ORDER BY s3_key"
_FACES = """
SELECT photo_id, x1, y1, x2, y2, confidence, CAST(embedding AS text) FROM face
WHERE event_id = :event
"""


def has_begun(database: Engine, task_id: str) -> bool:
    """Whether a run's process has given a sign of life."""
    query = "SELECT heartbeat_at IS NOT NULL FROM sync_run WHERE flow_run_id = CAST(:run AS uuid)"
    with database.connect() as connection:
        return bool(connection.execute(text(query), {"run": task_id}).scalar())


def read_unfinished(
    database: Engine, prefect: httpx.Client, event_ids: Sequence[int]
) -> dict[int, list[str]]:
    """What still holds each event, in words; nothing once its syncs are over."""
    found: dict[int, list[str]] = {event_id: [] for event_id in event_ids}
    values = {"events": list(event_ids), "lock_class": SYNC_LOCK_CLASS}
    with database.connect() as connection:
        for event_id, what in connection.execute(text(_HELD), values):
            found[event_id].append(what)
    for event_id in event_ids:
        for run in _read_runs(prefect, event_id):
            found[event_id].append(f"Prefect's run {run['id']} is {run['state_name']}")
    return found


_HELD = """
SELECT event_id, 'the record of run ' || flow_run_id || ' is ' || state FROM sync_run
WHERE event_id = ANY(:events) AND finished_at IS NULL
UNION ALL
SELECT CAST(objid AS integer), 'the advisory lock is held by backend ' || pid FROM pg_locks
WHERE locktype = 'advisory' AND CAST(classid AS integer) = :lock_class
  AND CAST(objid AS integer) = ANY(:events)
"""


def _read_runs(prefect: httpx.Client, event_id: int) -> list[dict[str, Any]]:
    wanted = {
        "tags": {"all_": [f"event:{event_id}"]},
        "state": {"type": {"any_": UNFINISHED}},
    }
    answer = prefect.post("flow_runs/filter", json={"flow_runs": wanted}).raise_for_status()
    runs: list[dict[str, Any]] = answer.json()
    return runs
