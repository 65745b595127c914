"""Queries for events: add, find, list and lock them, and keep them in the scheduled resync."""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import and_, exists, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from models.errors import EventNotFoundError, EventTakenError
from models.keys import default_folder, fold_key, read_own_folder, require_unnumbered
from models.queries.guests.subscriptions import delete_subscriptions
from models.settings import get_settings
from models.tables import Event, EventLogo, Face, SyncRun, utc_now
from models.vocabulary import PhotoStatus, ProfileName

MAX_EVENT_ID = 2**31 - 1  # what the column holds
EVENT_ID_LOCK = 0x46_50_45  # "FPE": one process at a time picks an event's id and its folder
# Folders end in a slash: two overlap where one is the beginning of the other.
_FIND_OVERLAP = text("""
SELECT id FROM event WHERE starts_with(:folder, s3_folder) OR starts_with(s3_folder, :folder)
ORDER BY id LIMIT 1
""")
_COUNT_PHOTOS = text("""
SELECT event_id, status, count(*) FROM photo WHERE event_id = ANY(:event_ids) GROUP BY 1, 2
""")
# As models/queries/photos.py counts one event's.
_COUNT_FACES = text("""
SELECT face.event_id, count(*) FROM face JOIN photo ON photo.id = face.photo_id
WHERE face.event_id = ANY(:event_ids) AND photo.status = 'indexed'
  AND face.pack_id = coalesce(photo.pack_id, face.pack_id)
GROUP BY 1
""")
# Keys and the events in whose folders they lie; no folder lies in another.
_FIND_HOLDERS = text("""
SELECT place.s3_key, event.id FROM unnest(CAST(:s3_keys AS text[])) AS place(s3_key)
JOIN event ON starts_with(place.s3_key, coalesce(event.s3_folder, 'events/' || event.id || '/'))
WHERE event.erased_at IS NULL
""")


def create_event(
    session: Session,
    *,
    name: str,
    event_uuid: UUID | None = None,
    event_id: int | None = None,
    profile: ProfileName = ProfileName.STANDARD,
    s3_prefix: str | None = None,
) -> Event:
    """Add an event, under the ids another system gave it where there are any.

    s3_prefix: of its previews, with `{uuid}` for its UUID; None: events/{id}/previews/. Raises
    EventTakenError when one of the ids or the prefix's folder is taken, InvalidPrefixError.
    """
    event = Event(
        name=name,
        gallery_token=_draw_gallery_token(),
        active_until=_compute_active_until(),
        profile=profile,
    )
    if event_uuid is not None:
        event.uuid = event_uuid
    folder = None if s3_prefix is None else read_own_folder(s3_prefix, event.uuid)
    try:
        # One at a time: an asked-for id must not meet one that the sequence is about to give.
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": EVENT_ID_LOCK})
        event.id = event_id or _next_event_id(session)
        if folder is not None and folder != default_folder(event.id):
            _require_free(session, folder, event.id)
            event.s3_folder = folder
        session.add(event)
        session.flush()
    except IntegrityError as error:
        raise EventTakenError(
            "An event with this event_id or event_uuid exists already: "
            "GET /api/v1/events lists them."
        ) from error
    return event


def _require_free(session: Session, folder: str, event_id: int) -> None:
    """Raise where the folder holds, or lies in, another event's; later events' defaults too."""
    require_unnumbered(folder, event_id)
    taken = session.execute(_FIND_OVERLAP, {"folder": folder}).scalar_one_or_none()
    if taken is not None:
        raise EventTakenError(
            f"s3_prefix must name a folder of this event's own: {folder} is, holds or lies in the "
            f"folder of event {taken}."
        )


def rotate_gallery_token(session: Session, event: Event) -> None:
    """Give an event's guests a new link; the old one is worth nothing from here on.

    Nor is what they hold: passes, the PIN's cookie, consents, face tokens. Whoever had the old link
    may have subscribed by it: all subscriptions are deleted, or notices would bring the new one.
    """
    event.gallery_token, event.guest_key = _draw_gallery_token(), uuid4()
    session.add(event)
    session.flush()
    delete_subscriptions(session, event.id or 0)


def _draw_gallery_token() -> str:
    return secrets.token_urlsafe(24)  # 192 bits: nobody guesses one


def extend_activity(session: Session, event: Event) -> None:
    """Keep an event in the scheduled resync for another while: somebody works on it."""
    event.active_until = max(event.active_until, _compute_active_until())
    session.add(event)


def list_active_events(session: Session) -> Sequence[Event]:
    """Events that the scheduled resync looks at, in the order of their ids; no erased ones."""
    query = select(Event).where(col(Event.active_until) > utc_now(), col(Event.erased_at).is_(None))
    return session.exec(query.order_by(col(Event.id))).all()


def list_idle_events(session: Session) -> Sequence[Event]:
    """Events that have faces and at which the scheduled resync does not look any more."""
    query = select(Event).where(
        col(Event.active_until) <= utc_now(),
        col(Event.erased_at).is_(None),
        exists().where(col(Face.event_id) == Event.id),
    )
    return session.exec(query.order_by(col(Event.id))).all()


def _compute_active_until() -> datetime:
    return utc_now() + timedelta(days=get_settings().event_active_days)


def _next_event_id(session: Session) -> int:
    """The sequence's next id that no other system brought along; never one used before."""
    while True:
        event_id = int(session.execute(text("SELECT nextval('event_id_seq')")).scalar_one())
        if session.get(Event, event_id) is None:
            return event_id


def find_event(session: Session, event_uuid: UUID) -> Event:
    """The event with this UUID, or EventNotFoundError."""
    event = session.exec(select(Event).where(Event.uuid == event_uuid)).one_or_none()
    if event is None:
        raise EventNotFoundError("Event not found")
    return event


def find_gallery(session: Session, gallery_token: str) -> Event:
    """The event whose guests have this token, or EventNotFoundError."""
    found = find_galleries(session, [gallery_token])
    if not found:
        raise EventNotFoundError("Event not found")
    return found[gallery_token]


def find_galleries(session: Session, gallery_tokens: Collection[str]) -> dict[str, Event]:
    """The events whose guests have these tokens, by token; unknown ones left out."""
    # A token is of ASCII; PostgreSQL takes no zero bytes.
    known = [token for token in gallery_tokens if token.isascii() and "\0" not in token]
    if not known:
        return {}
    events = session.exec(select(Event).where(col(Event.gallery_token).in_(known)))
    return {event.gallery_token: event for event in events}


def find_events_of_keys(session: Session, s3_keys: Collection[str]) -> dict[str, Event]:
    """The event in whose folder each key lies; keys of none, or of an erased one, left out."""
    rows = session.execute(_FIND_HOLDERS, {"s3_keys": list(s3_keys)}).all()
    query = select(Event).where(col(Event.id).in_({event_id for _, event_id in rows}))
    events = {event.id: event for event in session.exec(query)}
    return {s3_key: events[event_id] for s3_key, event_id in rows}


def read_event(session: Session, event_id: int) -> Event:
    """The event with this id, or EventNotFoundError."""
    event = session.get(Event, event_id)
    if event is None:
        raise EventNotFoundError(f"No event has the id {event_id}: POST /api/v1/events adds one.")
    return event


def choose_event(session: Session, wanted: str) -> Event:
    """The event with this id (12, #12), UUID or whole name, or EventNotFoundError with what to do.

    What looks like an id is one, unless another event is called so: only #12 is an id for sure.
    """
    if not wanted:
        raise EventNotFoundError(
            "No event was named: give its id, its UUID or its name, as GET /api/v1/events or "
            "`facepass events` lists them."
        )
    event_id = read_event_id(wanted)
    if event_id is not None:
        if not wanted.startswith("#") and _has_other_named(session, wanted, event_id):
            raise EventNotFoundError(
                f"{wanted} may be an event's id, and is another one's name: write #{wanted} for "
                "the id, or give the UUID."
            )
        return read_event(session, event_id)
    try:
        return find_event(session, UUID(wanted))
    except EventNotFoundError as error:
        raise EventNotFoundError(
            f"No event has the UUID {wanted}: GET /api/v1/events or `facepass events` lists them."
        ) from error
    except ValueError:
        return _choose_named(session, wanted)


def read_event_id(wanted: str) -> int | None:
    """The id that somebody wrote, as 12 or #12; none where it is something else, or too large."""
    digits = wanted.removeprefix("#")
    if not (digits.isdecimal() and digits.isascii()) or len(digits) > len(str(MAX_EVENT_ID)):
        return None
    return int(digits) if int(digits) <= MAX_EVENT_ID else None


def _has_other_named(session: Session, name: str, event_id: int) -> bool:
    called = _list_called(session, name)
    return any(event.id != event_id for event in called)


def _list_called(session: Session, name: str) -> list[Event]:
    """The events of this name, in any case and Unicode form."""
    found = [read_event(session, event_id) for event_id in _find_named(session, name)]
    return [event for event in found if fold_key(event.name.strip()) == fold_key(name.strip())]


def _choose_named(session: Session, name: str) -> Event:
    """The event of this name, in any case and Unicode form."""
    called = _list_called(session, name)
    if not called:
        raise EventNotFoundError(
            f"No event is called {name[:200]}: `facepass events` lists them, POST /api/v1/events "
            "adds one; an event's id or UUID does as well."
        )
    if len(called) > 1:
        ids = ", ".join(str(event_id) for event_id in sorted(event.id or 0 for event in called))
        raise EventNotFoundError(
            f"{len(called)} events are called {name}: give one's id instead of its name: {ids}."
        )
    return called[0]


def lock_event(session: Session, event_id: int) -> Event:
    """The event as it is now, locked against everybody's changes until the transaction ends."""
    query = select(Event).where(Event.id == event_id).with_for_update()
    # Anew: what this session read before it waited for the lock may be old.
    event = session.exec(query.execution_options(populate_existing=True)).one_or_none()
    if event is None:
        raise EventNotFoundError(f"No event has the id {event_id}: POST /api/v1/events adds one.")
    return event


def read_logo_etag(session: Session, event_id: int) -> str | None:
    """The ETag of an event's logo, where it has one."""
    query = select(EventLogo.etag).where(EventLogo.event_id == event_id)
    return session.exec(query).one_or_none()


@dataclass(frozen=True)
class EventFilter:
    """The events that are asked for; None asks nothing.

    name: a part of it, in any case and Unicode form. held_from, held_to: days, both included.
    active: whether the scheduled resync looks at it. after: the id of the last one before.
    """

    name: str | None = None
    held_from: date | None = None
    held_to: date | None = None
    active: bool | None = None
    after: int | None = None


def list_events(
    session: Session, wanted: EventFilter = EventFilter(), limit: int | None = None
) -> Sequence[Event]:
    """The events that a filter lets through, the newest first."""
    query = select(Event)
    if wanted.name is not None:
        query = query.where(col(Event.id).in_(_find_named(session, wanted.name)))
    if wanted.held_from is not None:
        query = query.where(col(Event.held_on) >= wanted.held_from)
    if wanted.held_to is not None:
        query = query.where(col(Event.held_on) <= wanted.held_to)
    if wanted.active is not None:
        is_active = and_(col(Event.active_until) > utc_now(), col(Event.erased_at).is_(None))
        query = query.where(is_active == wanted.active)
    if wanted.after is not None:
        query = query.where(col(Event.id) < wanted.after)
    return session.exec(query.order_by(col(Event.id).desc()).limit(limit)).all()


def _find_named(session: Session, part: str) -> list[int]:
    """Not left to PostgreSQL, which folds the case of ASCII alone where its locale is C."""
    folded = fold_key(part.strip())
    rows = session.execute(select(Event.id, Event.name))
    return [event_id for event_id, name in rows if folded in fold_key(name)]


@dataclass
class EventCounts:
    """An event's photos by status, the faces of its indexed ones, and its newest run."""

    photos: dict[PhotoStatus, int]
    faces: int = 0
    last_run: SyncRun | None = None


def count_events(session: Session, event_ids: Sequence[int]) -> dict[int, EventCounts]:
    """The counts of several events, by their ids: three statements, however many they are."""
    counts = {event_id: EventCounts(dict.fromkeys(PhotoStatus, 0)) for event_id in event_ids}
    of_these = {"event_ids": list(event_ids)}
    for event_id, status, photos in session.execute(_COUNT_PHOTOS, of_these):
        counts[event_id].photos[PhotoStatus(status)] = photos
    for event_id, faces in session.execute(_COUNT_FACES, of_these):
        counts[event_id].faces = faces
    newest = (
        select(SyncRun)
        .where(col(SyncRun.event_id).in_(event_ids))
        .distinct(col(SyncRun.event_id))
        .order_by(col(SyncRun.event_id), col(SyncRun.created_at).desc())
    )
    for run in session.exec(newest):
        counts[run.event_id].last_run = run
    return counts
