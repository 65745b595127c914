"""Taking failed photos up again: what rests until its file changes need not wait for that."""

from sqlalchemy import text
from sqlmodel import Session

from models.tables import PhotoReason

# `attempts` stays: the next look is a real one and not the cache's answer. A photo of a run that
# is still counting is left to that run.
_REQUEUE = text("""
UPDATE photo SET status = 'pending', reason = NULL, sync_run_id = NULL, batch = NULL
WHERE event_id = :event_id AND status = 'failed'
  AND (CAST(:reason AS text) IS NULL OR reason = :reason)
  AND NOT EXISTS (
      SELECT FROM sync_run
      WHERE sync_run.flow_run_id = photo.sync_run_id AND sync_run.finished_at IS NULL)
""")


def requeue_photos(session: Session, event_id: int, reason: PhotoReason | None = None) -> int:
    """Make an event's failed photos work for its next sync; how many there were.

    reason: only those that failed for it. What a running sync has just judged is not among them.
    """
    values = {"event_id": event_id, "reason": reason and reason.value}
    return int(session.execute(_REQUEUE, values).rowcount)  # type: ignore[attr-defined]
