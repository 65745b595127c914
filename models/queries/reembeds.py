"""Queries that change the model of an event.

The faces of the new model pack are stored beside the old ones, with their own `pack_id`. Searches
and counts ignore them until `switch_pack` replaces the old faces in one transaction.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Any
from uuid import UUID

from sqlalchemy import delete, text
from sqlmodel import Session, col, select

from models.findings import FalseRate, describe_findings
from models.keys import build_reembed_prefix
from models.packs import PackChoice
from models.queries.events import lock_event
from models.queries.outcomes import (
    PhotoOutcome,
    PhotoRef,
    check_epoch,
    insert_faces,
    list_takings,
)
from models.queries.packs import keep_similarities, read_false_rate
from models.queries.photos import count_lying_previews, keep_zone
from models.queries.runs import REEMBED, complete_run
from models.tables import Face, Photo, SyncRun, utc_now
from models.vocabulary import PhotoStatus

READ = (PhotoStatus.INDEXED, PhotoStatus.NO_FACE)
QUIET = timedelta(minutes=10)  # since the event's last run, before it is brought up to date
REST = timedelta(days=1)  # from one try to the next


@dataclass(frozen=True)
class PhotoRange:
    """A batch: the event's photos from one key to another, both included."""

    number: int
    first: str
    last: str
    photos: int


_CUT_RANGES = text("""
SELECT batch, min(s3_key) AS first, max(s3_key) AS last, count(*) AS photos FROM (
    SELECT s3_key, (row_number() OVER (ORDER BY s3_key) - 1) / :batch_size AS batch FROM photo
    WHERE event_id = :event_id AND status IN ('indexed', 'no_face')
      AND pack_id IS DISTINCT FROM :pack_id
) AS numbered GROUP BY batch ORDER BY batch
""")
_DROP_LEFTOVERS = text("""
DELETE FROM face USING photo
WHERE face.event_id = :event_id AND photo.id = face.photo_id
  AND photo.status IN ('indexed', 'no_face') AND face.pack_id <> photo.pack_id
""")


def is_reembedding(session: Session, event_id: int) -> bool:
    """Whether a change of the event's model waits or runs."""
    query = select(SyncRun.flow_run_id).where(
        SyncRun.event_id == event_id,
        SyncRun.s3_prefix == build_reembed_prefix(event_id),
        col(SyncRun.finished_at).is_(None),
    )
    return session.exec(query.limit(1)).first() is not None


# Photos without a face too: a newer look may find one. An event that somebody works on is left in
# peace, and one that was tried lately: what cannot be read stays as it is.
_FIND_OUTDATED = text("""
SELECT event.id, event.name FROM event
WHERE erased_at IS NULL
  AND event.profile = :profile AND event.model_pack IS NOT DISTINCT FROM :model_pack
  AND EXISTS (
      SELECT FROM photo WHERE photo.event_id = event.id
      AND photo.status IN ('indexed', 'no_face') AND photo.pack_id = :pack_id
  )
  AND NOT EXISTS (
      SELECT FROM sync_run AS run WHERE run.event_id = event.id AND (
          run.finished_at IS NULL OR run.finished_at > now() - CAST(:quiet AS interval)
          OR run.s3_prefix = 'events/' || event.id || '/' AND run.state <> 'skipped'
          AND run.created_at > now() - CAST(:rest AS interval)
      )
  )
ORDER BY event.active_until DESC, event.id DESC LIMIT 1
""")


def find_outdated_event(
    session: Session, choice: PackChoice, pack_id: int
) -> tuple[int, str] | None:
    """The id and name of an event of this choice with photos that an outdated pack knows, if any.

    The one that stays active longest comes first.
    """
    values = {
        "profile": choice.profile,
        "model_pack": choice.model_pack,
        "pack_id": pack_id,
        "quiet": QUIET,
        "rest": REST,
    }
    row = session.execute(_FIND_OUTDATED, values).one_or_none()
    return None if row is None else (row.id, row.name)


def plan_reembedding(
    session: Session, *, event_id: int, epoch: int, run: UUID, pack_id: int, batch_size: int
) -> list[PhotoRange]:
    """Cut what another pack has to read into batches, in key order; photos that it knows are none.

    What an abandoned change left is deleted. Raises SyncSupersededError.
    """
    check_epoch(session, event_id, epoch)
    values = {"event_id": event_id, "pack_id": pack_id, "batch_size": batch_size}
    session.execute(_DROP_LEFTOVERS, values)
    ranges = [PhotoRange(*row) for row in session.execute(_CUT_RANGES, values)]
    record = session.get_one(SyncRun, run, with_for_update=True)
    record.planned, record.processed, record.batches = True, 0, len(ranges)
    count = sum(batch.photos for batch in ranges)
    record.tallies = {REEMBED: {"photos": count, "done": [], "left": {}}}
    return ranges


def list_range(
    session: Session, photos: PhotoRange, *, event_id: int, pack_id: int
) -> list[PhotoRef]:
    """A batch's photos, in key order."""
    query = select(Photo.s3_key, Photo.etag, Photo.attempts).where(
        Photo.event_id == event_id,
        col(Photo.s3_key).between(photos.first, photos.last),
        col(Photo.status).in_(READ),
        col(Photo.pack_id).is_distinct_from(pack_id),
    )
    rows = session.exec(query.order_by(Photo.s3_key))
    return [PhotoRef(key, etag, attempts) for key, etag, attempts in rows]


def store_beside(
    session: Session,
    outcomes: Sequence[PhotoOutcome],
    left: dict[str, list[str]],
    *,
    photos: PhotoRange,
    event_id: int,
    run: UUID,
    pack_id: int,
) -> None:
    """Write a batch's faces beside those in service; the caller has checked the epoch.

    left: keys of photos without an outcome, by reason. Delete-then-insert: a batch may be stored
    any number of times. Photos that were erased meanwhile get no faces.
    """
    keys = [*(outcome.s3_key for outcome in outcomes), *chain.from_iterable(left.values())]
    query = select(Photo.s3_key, Photo.id).where(
        Photo.event_id == event_id, col(Photo.s3_key).in_(keys), col(Photo.status).in_(READ)
    )
    ids = {key: photo_id for key, photo_id in session.exec(query) if photo_id is not None}
    session.execute(
        delete(Face).where(col(Face.photo_id).in_(ids.values()), col(Face.pack_id) == pack_id)
    )
    insert_faces(session, outcomes, ids, event_id=event_id, pack_id=pack_id)
    # Not beside: by how much a preview lies and when it was taken are the preview's own, whichever
    # faces are in service.
    stored = [outcome for outcome in outcomes if outcome.s3_key in ids]
    values = {
        "ids": [ids[outcome.s3_key] for outcome in stored],
        "turns": [outcome.turned for outcome in stored],
        **list_takings(stored),
    }
    session.execute(_NOTE, values)
    record = session.get_one(SyncRun, run, with_for_update=True, populate_existing=True)
    work = record.tallies[REEMBED]
    all_left = {name: list(some) for name, some in work["left"].items()}
    for reason, some in left.items():
        all_left.setdefault(reason, []).extend(ids[key] for key in some if key in ids)
    record.tallies = {REEMBED: {**work, "done": [*work["done"], photos.number], "left": all_left}}
    record.processed += len(keys)
    session.add(record)


_NOTE = text("""
UPDATE photo SET turned = found.turned, taken_at = found.taken_at, utc_offset = found.utc_offset,
       camera = found.camera, camera_name = found.camera_name
FROM unnest(CAST(:ids AS bigint[]), CAST(:turns AS smallint[]), CAST(:times AS timestamp[]),
            CAST(:utc_offsets AS smallint[]), CAST(:cameras AS text[]),
            CAST(:camera_names AS text[]))
    AS found (id, turned, taken_at, utc_offset, camera, camera_name)
WHERE photo.id = found.id
  AND (photo.turned, photo.taken_at, photo.utc_offset, photo.camera)
      IS DISTINCT FROM (found.turned, found.taken_at, found.utc_offset, found.camera)
""")
# Left out, so that the next sync reads them: their old faces go, and nobody else's are shown.
# Those that can be compared stay as they are, so that guests find them until then.
_LEAVE = text("""
UPDATE photo SET status = 'pending', reason = NULL, confidence = 0, turned = 0, pack_id = NULL,
       sync_run_id = NULL, batch = NULL
WHERE event_id = :event_id AND id = ANY(:left) AND status IN ('indexed', 'no_face')
  AND (pack_id = ANY(:pack_ids)) IS NOT TRUE
""")
_SETTLE = text("""
UPDATE photo SET status = CASE WHEN best IS NULL THEN 'no_face' ELSE 'indexed' END,
       reason = CASE WHEN best IS NULL THEN 'no_face_detected' END,
       confidence = coalesce(best, 0), pack_id = :pack_id, processed_at = now()
FROM (
    SELECT photo.id, max(face.confidence) AS best
    FROM photo LEFT JOIN face
      ON face.event_id = :event_id AND face.pack_id = :pack_id AND face.photo_id = photo.id
    WHERE photo.event_id = :event_id AND photo.status IN ('indexed', 'no_face')
      AND photo.pack_id IS DISTINCT FROM :pack_id AND NOT photo.id = ANY(:left)
    GROUP BY photo.id
) AS found WHERE photo.id = found.id
""")
# A photo that comes back to S3 must not be taken for known by faces that are no more.
_FORGET_GONE = text("""
UPDATE photo SET pack_id = NULL
WHERE event_id = :event_id AND status = 'gone' AND pack_id <> :pack_id
""")
_DROP_OLD_FACES = text("""
DELETE FROM face WHERE event_id = :event_id AND pack_id <> :pack_id
  AND NOT (photo_id = ANY(:left) AND pack_id = ANY(:pack_ids))
""")
_COUNT_RESULT = text("""
SELECT count(*) FILTER (WHERE status = 'no_face') AS no_face,
       (SELECT count(*) FROM face JOIN photo AS owner ON owner.id = face.photo_id
        WHERE face.event_id = :event_id AND owner.status = 'indexed') AS faces_found
FROM photo WHERE event_id = :event_id
""")


def switch_pack(
    session: Session,
    *,
    event_id: int,
    epoch: int,
    run: UUID,
    pack_id: int,
    pack_ids: Sequence[int],
    choice: PackChoice,
) -> dict[str, Any] | None:
    """Put the new faces in service and the old ones away; who reads sees all of it or nothing.

    pack_ids: those with comparable vectors: what could not be read anew keeps its faces of them.
    Ends the run's record with the result; None when batches are missing. Raises
    SyncSupersededError.
    """
    event = lock_event(session, event_id)
    check_epoch(session, event_id, epoch)
    record = session.get_one(SyncRun, run, with_for_update=True)
    work: dict[str, Any] = record.tallies.get(REEMBED, {})
    if not record.planned or len(set(work["done"])) != record.batches:
        return None
    left = [photo_id for some in work["left"].values() for photo_id in some]
    values = {"event_id": event_id, "pack_id": pack_id, "pack_ids": list(pack_ids), "left": left}
    for statement in (_LEAVE, _SETTLE, _FORGET_GONE, _DROP_OLD_FACES):
        session.execute(statement, values)
    event.model_pack, event.profile = choice.model_pack, choice.profile
    if left:
        event.pending_prefixes = [*event.pending_prefixes, event.s3_prefix]
    session.add(event)
    session.flush()
    keep_zone(session, event)
    keep_similarities(session, event)
    counts = session.execute(_COUNT_RESULT, values).mappings().one()
    rate = read_false_rate(session, event_id, pack_ids)
    lying = count_lying_previews(session, event_id, [event.folder])
    result = build_reembedding_result(record, dict(counts), choice, rate, lying)
    complete_run(session, run, result)
    return result


def build_reembedding_result(
    record: SyncRun,
    counts: dict[str, int],
    choice: PackChoice,
    rate: FalseRate | None = None,
    lying_previews: int = 0,
) -> dict[str, Any]:
    """What a change amounts to; `left` counts what the next sync reads, by the reason."""
    work = record.tallies[REEMBED]
    left = Counter({reason: len(some) for reason, some in work["left"].items()})
    photos = work["photos"] - left.total()
    return {
        "event_id": record.event_id,
        "model_pack": choice.model_pack,
        "profile": choice.profile.value,
        "photos": photos,
        "left": dict(left),
        "status": "completed",
        "message": f"{photos} photos are found by the new model",
        **counts,
        "seconds": round((utc_now() - (record.started_at or record.created_at)).total_seconds(), 1),
        **describe_findings(rate, lying_previews),
    }
