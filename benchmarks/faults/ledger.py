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


def read_mixtures(database: Engine, event_id: int) -> list[str]:
    """Runs that read an event's photos by several packs, and faces of another pack, in words."""
    with database.connect() as connection:
        return list(connection.execute(text(_MIXTURES), {"event": event_id}).scalars())


_MIXTURES = """
SELECT 'run ' || sync_run_id || ' read photos by ' || count(DISTINCT pack_id) || ' packs'
FROM photo WHERE event_id = :event AND status IN ('indexed', 'no_face')
GROUP BY sync_run_id HAVING count(DISTINCT pack_id) > 1
UNION ALL
SELECT 'photo ' || photo.s3_key || ' has faces of another pack'
FROM photo JOIN face ON face.photo_id = photo.id
WHERE photo.event_id = :event AND face.pack_id <> photo.pack_id
GROUP BY photo.s3_key
"""


def count_failed(database: Engine, event_id: int) -> int:
    """Photos of an event that could not be read."""
    return _count(database, _FAILED, {"event": event_id})


def is_half_read(database: Engine, task_id: str) -> bool:
    """Whether a run has stored some of its photos, and others are still to be read."""
    return _count(database, _HALF_READ, {"run": task_id}) == 2


def count_plans(database: Engine, event_id: int) -> int:
    """A number that grows with every plan of an event's syncs."""
    return _count(database, _PLANS, {"event": event_id})


def count_deadlocks(database: Engine) -> int:
    """Deadlocks of the product's database, since its server was last recovered."""
    return _count(database, _DEADLOCKS, {})


_FAILED = "SELECT count(*) FROM photo WHERE event_id = :event AND status = 'failed'"
_HALF_READ = """
SELECT count(DISTINCT status = 'pending') FROM photo
WHERE sync_run_id = CAST(:run AS uuid) AND status IN ('pending', 'indexed')
"""
_PLANS = "SELECT coalesce(sum(batches), 0) FROM sync_run WHERE event_id = :event"
_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


def _count(database: Engine, query: str, values: dict[str, Any]) -> int:
    with database.connect() as connection:
        return int(connection.execute(text(query), values).scalar_one())


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
