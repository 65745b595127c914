"""Queries that erase the faces of an event or of one photo, allow syncs again, delete an event.

Photos keep their rows, so that erased photos can be shown and counted. Erasing and storing faces
both lock the event's row, so the later transaction sees what the earlier one did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Interval, Result, delete, func, literal, text, update
from sqlmodel import Session, col, select

from models.errors import EventBusyError, EventErasedError, PhotoNotFoundError
from models.queries.events import extend_activity, find_event, lock_event
from models.queries.guests.subscriptions import delete_subscriptions, forget_told_photo
from models.queries.packs import forget_similarities, keep_similarities
from models.queries.webhooks import add_deliveries
from models.tables import Event, Face, Photo, Subscription, SyncRun, WebhookDelivery, utc_now
from models.vocabulary import PhotoStatus, SyncState


@dataclass(frozen=True)
class ErasedRows:
    """What an erasure found in the database."""

    faces: int
    photos: int
    syncs: int
    erased_at: datetime
    folder: str  # the event's in S3
    s3_key: str | None = None  # of the one photo
    subscriptions: int = 0  # guests' addresses and vectors


# Failed photos never had faces and keep their reason; those erased alone keep their flag. A run
# that had stored a photo still counts it; one that had not never will.
_FORGET_PHOTOS = text("""
UPDATE photo SET status = 'erased', reason = NULL, confidence = 0, turned = 0, pack_id = NULL,
       processed_at = NULL,
       taken_at = NULL, utc_offset = NULL, camera = NULL, camera_name = NULL,
       sync_run_id = CASE WHEN status = 'pending' THEN NULL ELSE sync_run_id END,
       batch = CASE WHEN status = 'pending' THEN NULL ELSE batch END
WHERE event_id = :event_id AND status NOT IN ('failed', 'erased')
""")
# Of failed photos.
_FORGET_TAKINGS = text("""
UPDATE photo SET taken_at = NULL, utc_offset = NULL, camera = NULL, camera_name = NULL
WHERE event_id = :event_id AND taken_at IS NOT NULL
""")
# Of all, or of one.
_FORGET_VIEWS = text("""
UPDATE photo SET views_etag = NULL, views_source = NULL, width = NULL, height = NULL, colour = NULL,
       view_bytes = NULL, original_etag = NULL, original_bytes = NULL
WHERE event_id = :event_id AND id = coalesce(CAST(:photo_id AS bigint), id)
  AND (views_source IS NOT NULL OR original_etag IS NOT NULL)
""")


def find_syncable_event(session: Session, event_uuid: UUID) -> Event:
    """The event with this UUID. Raises EventNotFoundError, and EventErasedError as below."""
    event = find_event(session, event_uuid)
    require_syncable(event)
    return event


def require_syncable(event: Event) -> None:
    """Raise EventErasedError for an event that was erased and not resumed."""
    if event.erased_at is not None:
        raise EventErasedError


def erase_event_rows(
    session: Session, event_id: int, *, inactive_since: datetime | None = None
) -> ErasedRows | None:
    """Erase an event's faces of all packs, guests' too, and stop its syncs until it is resumed.

    With `inactive_since` only an event that is still untouched and has not been active since
    then: None for another. Erasing twice is harmless. Raises EventNotFoundError.
    """
    event = lock_event(session, event_id)
    if inactive_since is not None and (event.erased_at or event.active_until >= inactive_since):
        return None
    now = utc_now()
    event.sync_epoch += 1
    event.erased_at = event.erased_at or now
    _forget_results(event, now)
    event.pending_prefixes = []
    event.utc_offset, event.camera_shifts = None, {}
    event.guest_key = uuid4()  # the vectors that guests hold, encrypted, open with it alone
    session.add(event)
    session.flush()
    subscriptions = delete_subscriptions(session, event_id)
    syncs = _stop_syncs(session, event_id)
    photos = _count_rows(session.execute(_FORGET_PHOTOS, {"event_id": event_id}))
    session.execute(_FORGET_TAKINGS, {"event_id": event_id})
    session.execute(_FORGET_VIEWS, {"event_id": event_id, "photo_id": None})
    faces = _count_rows(session.execute(delete(Face).where(col(Face.event_id) == event_id)))
    forget_similarities(session, event_id)
    return ErasedRows(
        faces, photos, syncs, event.erased_at, event.folder, subscriptions=subscriptions
    )


def _stop_syncs(session: Session, event_id: int) -> int:
    """End the event's unfinished runs; no run goes on with a plan of before the erasure."""
    stopped = session.execute(
        update(SyncRun)
        .where(col(SyncRun.event_id) == event_id, col(SyncRun.finished_at).is_(None))
        .values(
            state=SyncState.CANCELLED,
            detail=str(EventErasedError()),
            next_try_at=None,
            finished_at=func.now(),
        )
        .returning(col(SyncRun.flow_run_id))
    )
    stopped_ids = stopped.scalars().all()
    add_deliveries(session, stopped_ids)
    session.execute(
        update(SyncRun)
        .where(col(SyncRun.event_id) == event_id, col(SyncRun.state) != SyncState.COMPLETED)
        .values(planned=False, tallies={}, gone=0)
    )
    return len(stopped_ids)


def erase_photo_rows(session: Session, event_id: int, photo_id: int) -> ErasedRows:
    """Erase one photo's faces, for good: no sync reads this key until the photo is restored.

    A sync under way goes on and counts it as skipped. Raises PhotoNotFoundError for a photo that
    is not the event's.
    """
    event = lock_event(session, event_id)
    photo = _find_photo(session, event_id, photo_id)
    erased_at = _forget_results(event, utc_now())
    photo.status, photo.reason, photo.confidence = PhotoStatus.ERASED, None, 0.0
    photo.turned, photo.pack_id, photo.processed_at = 0, None, None
    photo.taken_at = photo.utc_offset = photo.camera = photo.camera_name = None
    photo.erased_alone = True
    session.add_all([event, photo])
    session.flush()
    faces = _count_rows(session.execute(delete(Face).where(col(Face.photo_id) == photo_id)))
    if faces:
        keep_similarities(session, event)
    session.execute(_FORGET_VIEWS, {"event_id": event_id, "photo_id": photo_id})
    forget_told_photo(session, photo_id)
    return ErasedRows(faces, 1, 0, erased_at, event.folder, photo.s3_key)


def restore_photo(session: Session, event_id: int, photo_id: int) -> Photo:
    """Let the next sync read a photo again that was erased by itself; others stay as they are.

    Raises PhotoNotFoundError.
    """
    lock_event(session, event_id)
    photo = _find_photo(session, event_id, photo_id)
    photo.erased_alone = False
    session.add(photo)
    session.flush()
    return photo


def resume_event(session: Session, event_id: int) -> Event:
    """Let an erased event sync again, from the beginning: the next sync reads every photo anew.

    Photos that were erased by themselves stay erased.
    """
    event = lock_event(session, event_id)
    event.erased_at = None
    extend_activity(session, event)
    return event


def delete_event_row(session: Session, event_id: int) -> int:
    """Delete an erased event and all that is known of it; returns how many photos it had.

    Raises EventNotFoundError, and EventBusyError for one that was resumed since its erasure.
    """
    event = lock_event(session, event_id)
    if event.erased_at is None:
        raise EventBusyError(
            f"Event {event.name} was resumed while it was deleted: send the same call again."
        )
    photos = session.exec(
        select(func.count()).select_from(Photo).where(Photo.event_id == event_id)
    ).one()
    # Before its photos: what a subscription was told of them goes with it, by its own index.
    session.execute(delete(Subscription).where(col(Subscription.event_id) == event_id))
    # The receiver still hears which guests to forget, and how the last sync ended.
    waiting = (
        col(WebhookDelivery.event_id) == event_id,
        col(WebhookDelivery.next_try_at).is_not(None),
    )
    session.execute(update(WebhookDelivery).where(*waiting).values(event_id=None))
    session.execute(delete(Event).where(col(Event.id) == event_id))
    return photos


def list_expired_events(session: Session, days: int | None) -> list[tuple[int, datetime]]:
    """Events whose active time ended longer ago than their faces are kept.

    Each with the moment before which it had to end. days: for events without a time of their own;
    None: these are kept.
    """
    kept_days = func.coalesce(col(Event.retention_days), days)
    limit = literal(utc_now()) - func.make_interval(0, 0, 0, kept_days, type_=Interval)
    query = select(Event.id, limit).where(
        col(Event.erased_at).is_(None), col(Event.active_until) < limit
    )
    rows = session.execute(query.order_by(col(Event.id)))
    return [(event_id, since) for event_id, since in rows]


def list_erasures(session: Session, since: datetime) -> Sequence[tuple[int, datetime]]:
    """Events of which something was erased since then, each with the newest moment."""
    query = select(Event.id, Event.last_erasure_at).where(col(Event.last_erasure_at) >= since)
    return [(event_id, at) for event_id, at in session.exec(query) if event_id and at]


def read_result_key(session: Session, event_id: int) -> UUID | None:
    """What an event's cached results are signed by now; None for an event that is deleted."""
    return session.exec(select(Event.result_key).where(Event.id == event_id)).one_or_none()


def _forget_results(event: Event, now: datetime) -> datetime:
    """Make every cached result of before worth nothing, a copy that somebody puts back too."""
    event.last_erasure_at, event.result_key = now, uuid4()
    return now


def _find_photo(session: Session, event_id: int, photo_id: int) -> Photo:
    query = select(Photo).where(Photo.id == photo_id, Photo.event_id == event_id)
    photo = session.exec(query.with_for_update()).one_or_none()
    if photo is None:
        raise PhotoNotFoundError("Photo not found")
    return photo


def _count_rows(result: Result[Any]) -> int:
    return int(result.rowcount)  # type: ignore[attr-defined]  # a cursor's, which SQLModel hides
