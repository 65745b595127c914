"""The end of a change of model: new faces in service, old ones away, in one transaction."""

from collections import Counter
from typing import Any
from uuid import UUID

from sqlalchemy import delete, text
from sqlmodel import Session, col

from models.events import lock_event
from models.outcomes import check_epoch
from models.packs import PackChoice
from models.prefixes import default_prefix
from models.reembeds import CHANGE
from models.runs import complete_run
from models.tables import Face, SyncRun, utc_now

# Left out, so that the next sync reads them: their old faces go, and nobody else's are shown.
_LEAVE = text("""
UPDATE photo SET status = 'pending', reason = NULL, confidence = 0, pack_id = NULL,
       sync_run_id = NULL, batch = NULL
WHERE event_id = :event_id AND id = ANY(:left) AND status IN ('indexed', 'no_face')
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
      AND photo.pack_id IS DISTINCT FROM :pack_id
    GROUP BY photo.id
) AS found WHERE photo.id = found.id
""")
# A photo that comes back to S3 must not be taken for known by faces that are no more.
_FORGET_GONE = text("""
UPDATE photo SET pack_id = NULL
WHERE event_id = :event_id AND status = 'gone' AND pack_id <> :pack_id
""")
_COUNT_RESULT = text("""
SELECT count(*) FILTER (WHERE status = 'no_face') AS no_face,
       (SELECT count(*) FROM face JOIN photo AS owner ON owner.id = face.photo_id
        WHERE face.event_id = :event_id AND owner.status = 'indexed') AS faces_found
FROM photo WHERE event_id = :event_id
""")


def switch_pack(
    session: Session, *, event_id: int, epoch: int, run: UUID, pack_id: int, choice: PackChoice
) -> dict[str, Any] | None:
    """Put the new faces in service and the old ones away; who reads sees all of it or nothing.

    Ends the run's record with the result; None when batches are missing. Raises
    SyncSupersededError.
    """
    event = lock_event(session, event_id)
    check_epoch(session, event_id, epoch)
    record = session.get_one(SyncRun, run, with_for_update=True)
    work: dict[str, Any] = record.tallies.get(CHANGE, {})
    if not record.planned or len(set(work["done"])) != record.batches:
        return None
    left = [photo_id for some in work["left"].values() for photo_id in some]
    values = {"event_id": event_id, "pack_id": pack_id, "left": left}
    for statement in (_LEAVE, _SETTLE, _FORGET_GONE):
        session.execute(statement, values)
    session.execute(
        delete(Face).where(col(Face.event_id) == event_id, col(Face.pack_id) != pack_id)
    )
    event.model_pack, event.profile = choice.model_pack, choice.profile
    if left:
        event.pending_prefixes = [*event.pending_prefixes, default_prefix(event_id)]
    session.add(event)
    session.flush()
    counts = session.execute(_COUNT_RESULT, values).mappings().one()
    result = build_change_result(record, dict(counts), choice)
    complete_run(session, run, result)
    return result


def build_change_result(
    record: SyncRun, counts: dict[str, int], choice: PackChoice
) -> dict[str, Any]:
    """What a change amounts to; `left` counts what the next sync reads, by the reason."""
    work = record.tallies[CHANGE]
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
    }
