"""Queries for an event's photos: counts and pages for the photographer, the gallery for guests.

Pages are in the order of taking, then of natural names; photos without a time come last. Guests see
only photos that were read, with or without faces.
"""

import base64
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Self

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Interval,
    Select,
    bindparam,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    literal_column,
    or_,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import ColumnElement
from sqlmodel import Session, col, select

from models.errors import CameraNotFoundError, InvalidCursorError
from models.keys import derive_original_key
from models.queries.events import extend_activity, find_galleries, lock_event, read_event
from models.tables import Event, Face, Photo, PhotoOpening
from models.vocabulary import PhotoReason, PhotoStatus

# Faces that a change of the model makes ready are no photo's yet. A photo that waits to be read
# again names no pack, and its faces of before count.
_IN_SERVICE = col(Face.pack_id) == func.coalesce(Photo.pack_id, Face.pack_id)


# --- the order of taking ---

# A clock that was never set may begin in 2000; further off is a slip of the hand.
MOST_SHIFT_S = 40 * 366 * 86_400
_CAMERA = re.compile("[0-9a-f]{8}")  # as tasks/images/taking.py names one


@dataclass(frozen=True)
class EventClock:
    """What the times of an event's cameras are compared by.

    utc_offset: minutes: a time with another offset is converted to it, a time without one is
    taken as it is written, as all are where it is None. shifts: seconds by camera, added to the
    times of its photos.
    """

    utc_offset: int | None = None
    shifts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_row(cls, event: Event) -> Self:
        """An event's clock, as it is now."""
        return cls(event.utc_offset, event.camera_shifts)

    def place(self) -> ColumnElement[datetime | None]:
        """When a photo was taken, on this clock; null where its file does not tell.

        A page looks at all photos of the event: what corrects none of them is left out.
        """
        minutes: ColumnElement[int] = literal(0)
        seconds: ColumnElement[int] = literal(0)
        if self.utc_offset is not None:
            zone = cast(literal(self.utc_offset), Integer)
            minutes = func.coalesce(zone - col(Photo.utc_offset), 0)
        if self.shifts:
            shifts = cast(literal(json.dumps(dict(self.shifts))), JSONB)
            seconds = func.coalesce(cast(shifts.op("->>")(col(Photo.camera)), Integer), 0)
        correction = func.make_interval(0, 0, 0, 0, 0, minutes, seconds, type_=Interval)
        placed: ColumnElement[datetime | None] = col(Photo.taken_at) + correction
        return placed

    def order(self) -> tuple[Any, Any, Any]:
        """What photos are sorted by: the moment, those without one last; the name; the id."""
        moment = func.coalesce(self.place(), literal_column("timestamp 'infinity'"))
        return moment, func.coalesce(col(Photo.sort_name), col(Photo.s3_key)), col(Photo.id)


@dataclass(frozen=True)
class PageCursor:
    """The end of a page of photos: the last one, and the moment at which it stood there.

    The clock is in it too: the pages of one list go on in the order that the first one had, though
    a sync or a changed clock may move photos meanwhile. It opens nothing.
    """

    clock: EventClock = EventClock()
    taken_at: datetime | None = None
    photo_id: int = 0  # 0: the first page

    def encode(self) -> str:
        """The opaque text of an answer."""
        taken_at = self.taken_at and self.taken_at.isoformat()
        values = [self.photo_id, taken_at, self.clock.utc_offset, dict(self.clock.shifts)]
        packed = json.dumps(values, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def decode(cls, encoded: str) -> Self:
        """Read what `encode` wrote. Raises InvalidCursorError."""
        try:
            packed = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True)
            photo_id, taken_at, utc_offset, shifts = json.loads(packed)
            moment = None if taken_at is None else datetime.fromisoformat(taken_at)
            cursor = cls(EventClock(utc_offset, shifts), moment, photo_id)
            limits = [(photo_id, 2**63), (0 if utc_offset is None else utc_offset, 2**15)]
            limits += [(shift, MOST_SHIFT_S + 1) for shift in shifts.values()]
            fits = photo_id > 0 and all(type(n) is int and -most < n < most for n, most in limits)
            named = all(_CAMERA.fullmatch(name) for name in shifts)
            placed = moment is None or moment.tzinfo is None
            if fits and named and placed and cursor.encode() == encoded:
                return cursor
        except (ArithmeticError, AttributeError, RecursionError, TypeError, ValueError):
            pass
        raise InvalidCursorError("cursor must be an earlier answer's next_cursor, unchanged.")

    def move(self, photo_id: int, taken_at: datetime | None) -> "PageCursor":
        """The cursor of the page behind this photo."""
        return replace(self, photo_id=photo_id, taken_at=taken_at)

    def cut(self, query: Select[Any], event_id: int, limit: int) -> Select[Any]:
        """The page of a query for an event's photos that begins here."""
        moment, name, number = self.clock.order()
        if self.photo_id:
            last = cast(literal(self.taken_at or "infinity"), moment.type)
            named = (Photo.id == self.photo_id, Photo.event_id == event_id)
            last_name = select(name).where(*named).correlate(None).scalar_subquery()
            place = tuple_(moment, name, number)
            query = query.where(place > tuple_(last, last_name, literal(self.photo_id)))
        return query.order_by(moment, name, number).limit(limit)


@dataclass(frozen=True)
class Camera:
    """A camera of an event: its photos, the first and the last moment on the event's clock."""

    camera: str
    name: str | None
    photos: int
    first_taken_at: datetime
    last_taken_at: datetime
    shift_seconds: int


def list_cameras(session: Session, event: Event, camera: str | None = None) -> list[Camera]:
    """An event's cameras, or this one alone; the one whose first photo is earliest first."""
    moment = EventClock.from_row(event).place()
    wanted = col(Photo.camera).is_not(None) if camera is None else col(Photo.camera) == camera
    query: Select[Any] = (
        select(Photo.camera, func.max(Photo.camera_name), func.count())
        .add_columns(func.min(moment), func.max(moment))
        .where(wanted, col(Photo.event_id) == event.id, col(Photo.status) != PhotoStatus.GONE)
        .group_by(col(Photo.camera))
        .order_by(func.min(moment), col(Photo.camera))
    )
    rows = session.execute(query)
    return [Camera(*row, *[event.camera_shifts.get(row[0], 0)]) for row in rows]


def shift_camera(session: Session, event: Event, camera: str, seconds: int) -> Camera:
    """Correct a camera's clock by these seconds, instead of by those of before.

    The caller holds the event's row. Raises CameraNotFoundError.
    """
    if not list_cameras(session, event, camera):
        raise CameraNotFoundError(
            "No photo of this event is by this camera: "
            "GET /api/v1/events/{event_uuid}/cameras lists them."
        )
    others = {name: shift for name, shift in event.camera_shifts.items() if name != camera}
    event.camera_shifts = {**others, camera: seconds} if seconds else others
    session.add(event)
    session.flush()
    (shifted,) = list_cameras(session, event, camera)
    return shifted


# The first is the smallest of those that most photos name.
_COMMON_ZONE = text("""
SELECT utc_offset FROM photo WHERE event_id = :event_id AND utc_offset IS NOT NULL
GROUP BY utc_offset ORDER BY count(*) DESC, utc_offset LIMIT 1
""")


def keep_zone(session: Session, event: Event) -> None:
    """Have an event's clock go by the zone that most of its photos name; the caller holds it."""
    found = session.execute(_COMMON_ZONE, {"event_id": event.id}).scalar_one_or_none()
    event.utc_offset = found
    session.add(event)


# --- the photographer's list ---


def count_photos(session: Session, event_id: int) -> dict[PhotoStatus, int]:
    """An event's photos by status, statuses without photos included."""
    query = (
        select(Photo.status, func.count()).where(Photo.event_id == event_id).group_by(Photo.status)
    )
    counts = {PhotoStatus(status): count for status, count in session.exec(query)}
    return {status: counts.get(status, 0) for status in PhotoStatus}


def count_faces(session: Session, event_id: int) -> int:
    """The faces of an event's indexed photos; those of vanished or replaced ones left out."""
    query = (
        select(func.count())
        .select_from(Face)
        .join(Photo, col(Face.photo_id) == Photo.id)
        .where(Photo.event_id == event_id, Photo.status == PhotoStatus.INDEXED, _IN_SERVICE)
    )
    return session.exec(query).one()


def count_lying_previews(session: Session, event_id: int, prefixes: Sequence[str]) -> int:
    """Previews below these prefixes that lie on a side or upside down, as their faces show."""
    query = select(func.count()).where(
        Photo.event_id == event_id,
        Photo.status == PhotoStatus.INDEXED,
        Photo.turned != 0,
        or_(false(), *(func.starts_with(Photo.s3_key, prefix) for prefix in prefixes)),
    )
    return session.exec(query).one()


def lacks_originals(session: Session, event_id: int) -> bool:
    """Whether any photo of an event has no original, as far as its last sync saw."""
    query = select(Photo.id).where(
        Photo.event_id == event_id, Photo.original_missing, Photo.status != PhotoStatus.GONE
    )
    return session.exec(query.limit(1)).first() is not None


def list_photos(
    session: Session,
    event_id: int,
    *,
    status: PhotoStatus | None,
    original_missing: bool | None = None,
    opened: bool | None = None,
    after: PageCursor,
    limit: int,
) -> Sequence[tuple[Photo, int, datetime | None]]:
    """A page of photos, each with its number of faces and when it was taken, on `after`'s clock."""
    faces = (
        select(func.count())
        .select_from(Face)
        .where(Face.photo_id == Photo.id, _IN_SERVICE)
        .correlate(Photo)
        .scalar_subquery()
    )
    query = select(Photo, faces, after.clock.place()).where(Photo.event_id == event_id)
    if status is not None:
        query = query.where(Photo.status == status)
    if original_missing is not None:
        query = query.where(Photo.original_missing == original_missing)
    if opened is not None:
        query = query.where(exists().where(col(PhotoOpening.photo_id) == Photo.id) == opened)
    return [(row[0], row[1], row[2]) for row in session.execute(after.cut(query, event_id, limit))]


def requeue_photos(
    session: Session, event_id: int, *, reason: PhotoReason | None, photo_id: int | None = None
) -> int:
    """Have the next plan take an event's failed photos up again, or one of them; returns how many.

    Their ETag is forgotten, so that the next listing finds them changed. Until then they stay
    `failed`, and a run under way counts them as it did. `attempts` stays too: what was cached of
    the last look has another key.
    """
    # The event first: a plan has it while it waits for these rows.
    extend_activity(session, lock_event(session, event_id))
    failed = [col(Photo.event_id) == event_id, col(Photo.status) == PhotoStatus.FAILED]
    if reason is not None:
        failed.append(col(Photo.reason) == reason)
    if photo_id is not None:
        failed.append(col(Photo.id) == photo_id)
    requeued = session.execute(update(Photo).where(*failed).values(etag=""))
    return int(requeued.rowcount)  # type: ignore[attr-defined]  # a cursor's, which SQLModel hides


# --- the guests' gallery ---


_HAS_VIEWS = func.coalesce(col(Photo.views_etag) == col(Photo.etag), false())
VISIBLE = (PhotoStatus.INDEXED, PhotoStatus.NO_FACE)
_VIEW_COLUMNS = (
    col(Photo.views_source),
    # These are of the views, and null where those are of a preview of before.
    case((_HAS_VIEWS, col(Photo.width))),
    case((_HAS_VIEWS, col(Photo.height))),
    case((_HAS_VIEWS, col(Photo.colour))),
    col(Photo.original_bytes),
    case((_HAS_VIEWS, col(Photo.view_bytes))),
)


@dataclass(frozen=True)
class GalleryPhoto:
    """A photo as guests see it."""

    id: int
    s3_key: str
    original_key: str
    original_missing: bool
    taken_at: datetime | None = None  # on the event's clock
    etag: str = ""
    has_views: bool = False  # made of the preview as it is now; until then the preview is shown
    views_source: str | None = None
    width: int | None = None  # of the upright view, pixels
    height: int | None = None
    colour: str | None = None  # its mean, rrggbb
    original_bytes: int | None = None
    view_bytes: int | None = None  # of the JPEG

    @property
    def version(self) -> str:
        """New with what the photo's pictures show: a browser may keep what it has of this one."""
        shown = f"{self.etag}\n{self.views_source if self.has_views else ''}"
        return sha256(shown.encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """The name of its file."""
        return self.s3_key.rpartition("/")[2]


def count_gallery_photos(session: Session, event_id: int) -> int:
    """How many photos a guest can look at."""
    query = select(func.count()).select_from(Photo).where(*_list_visible(event_id))
    return session.exec(query).one()


@dataclass(frozen=True)
class GalleryState:
    """What changes with the photos that guests see: how many, and when the newest was read."""

    photos: int
    read_at: datetime | None


def read_gallery_state(session: Session, event_id: int) -> GalleryState:
    """The state of an event's gallery, from one pass over its photos."""
    query = select(func.count(), func.max(Photo.processed_at)).where(*_list_visible(event_id))
    return GalleryState(*session.execute(query).one())


def list_gallery_photos(
    session: Session,
    event_id: int,
    *,
    after: PageCursor,
    limit: int,
    photo_ids: Sequence[int] | None = None,
) -> list[GalleryPhoto]:
    """A page of the photos that guests see; with `photo_ids` of those alone."""
    folder = read_event(session, event_id).folder
    query: Select[Any] = (
        select(Photo.id, Photo.s3_key, Photo.original_key, Photo.original_missing)
        .add_columns(after.clock.place(), col(Photo.etag), _HAS_VIEWS, *_VIEW_COLUMNS)
        .where(*_list_visible(event_id))
    )
    if photo_ids is not None:
        query = query.where(col(Photo.id).in_(photo_ids))
    return [
        GalleryPhoto(photo_id, key, original or derive_original_key(key, folder), missing, *rest)
        for photo_id, key, original, missing, *rest in session.execute(
            after.cut(query, event_id, limit)
        )
    ]


def find_gallery_photos(
    session: Session, asked: Collection[tuple[str, int]]
) -> dict[tuple[str, int], tuple[Event, GalleryPhoto | None]]:
    """Photos as guests see them, without their times, by gallery token and photo's id.

    None for a photo that the event's guests do not see; an unknown token is left out.
    """
    events = find_galleries(session, {token for token, _ in asked})
    folders = {event.id: event.folder for event in events.values()}
    values = {"photo_ids": [photo_id for _, photo_id in asked], "event_ids": list(folders)}
    photos = {}
    for event_id, found_id, key, original, missing, *rest in session.execute(
        _build_photo_query(), values
    ):
        original_key = original or derive_original_key(key, folders[event_id])
        photo = GalleryPhoto(found_id, key, original_key, missing, None, *rest)
        photos[event_id, found_id] = photo
    return {
        (token, photo_id): (event, photos.get((event.id, photo_id)))
        for token, photo_id in asked
        if (event := events.get(token)) is not None
    }


@lru_cache(maxsize=1)
def _build_photo_query() -> Select[Any]:
    """Built once: every picture of a page asks it."""
    query: Select[Any] = select(Photo.event_id, Photo.id, Photo.s3_key, Photo.original_key)
    shown = (col(Photo.original_missing), col(Photo.etag), _HAS_VIEWS, *_VIEW_COLUMNS)
    ids = bindparam("photo_ids", type_=ARRAY(BigInteger))
    event_ids = bindparam("event_ids", type_=ARRAY(Integer))
    return query.add_columns(*shown).where(
        col(Photo.id) == func.any(ids),
        col(Photo.event_id) == func.any(event_ids),
        col(Photo.status).in_(VISIBLE),
    )


def list_face_boxes(session: Session, photo_id: int) -> list[tuple[float, float, float, float]]:
    """Corners x1, y1, x2, y2 of a photo's faces, as shares of its width and height."""
    corners: Select[Any] = select(Face.x1, Face.y1, Face.x2, Face.y2)
    rows = session.execute(corners.where(col(Face.photo_id) == photo_id))
    return [(x1, y1, x2, y2) for x1, y1, x2, y2 in rows]


@dataclass(frozen=True)
class PhotoPlace:
    """The place of a photo in its gallery: its number, from 1, and its neighbours' ids."""

    number: int
    previous_id: int | None = None
    next_id: int | None = None


def place_gallery_photo(
    session: Session, event_id: int, clock: EventClock, photo_id: int
) -> PhotoPlace | None:
    """The place of a photo among those that guests see; None where it is none of them."""
    order, photo = clock.order(), col(Photo.id)
    ranked = (
        select(photo.label("id"), func.row_number().over(order_by=order).label("number"))
        .add_columns(func.lag(photo).over(order_by=order).label("previous_id"))
        .add_columns(func.lead(photo).over(order_by=order).label("next_id"))
        .where(*_list_visible(event_id))
        .subquery()
    )
    places: Select[Any] = select(ranked.c.number, ranked.c.previous_id, ranked.c.next_id)
    row = session.execute(places.where(ranked.c.id == photo_id)).one_or_none()
    return None if row is None else PhotoPlace(*row)


def _list_visible(event_id: int) -> list[ColumnElement[bool]]:
    """The conditions under which guests see a photo of the event."""
    return [col(Photo.event_id) == event_id, col(Photo.status).in_(VISIBLE)]
