"""Queries for an event's photos: counts and pages for the photographer, the gallery for guests.

Guests see only photos that were read, with or without faces.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import false, func, or_, update
from sqlalchemy.sql.expression import ColumnElement
from sqlmodel import Session, col, select

from models.keys import derive_original_key
from models.queries.events import extend_activity, lock_event, read_event
from models.tables import Face, Photo
from models.vocabulary import PhotoReason, PhotoStatus

# Faces that a change of the model makes ready are no photo's yet. A photo that waits to be read
# again names no pack, and its faces of before count.
_IN_SERVICE = col(Face.pack_id) == func.coalesce(Photo.pack_id, Face.pack_id)


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


def list_photos(
    session: Session,
    event_id: int,
    *,
    status: PhotoStatus | None,
    original_missing: bool | None = None,
    after: int,
    limit: int,
) -> Sequence[tuple[Photo, int]]:
    """Photos with their numbers of faces, by id, those after `after`."""
    faces = (
        select(func.count())
        .select_from(Face)
        .where(Face.photo_id == Photo.id, _IN_SERVICE)
        .correlate(Photo)
        .scalar_subquery()
    )
    query = select(Photo, faces).where(Photo.event_id == event_id, col(Photo.id) > after)
    if status is not None:
        query = query.where(Photo.status == status)
    if original_missing is not None:
        query = query.where(Photo.original_missing == original_missing)
    return session.exec(query.order_by(col(Photo.id)).limit(limit)).all()


def requeue_photos(session: Session, event_id: int, *, reason: PhotoReason | None) -> int:
    """Have the next plan take an event's failed photos up again; returns how many.

    Their ETag is forgotten, so that the next listing finds them changed. Until then they stay
    `failed`, and a run under way counts them as it did. `attempts` stays too: what was cached of
    the last look has another key.
    """
    # The event first: a plan has it while it waits for these rows.
    extend_activity(session, lock_event(session, event_id))
    failed = [col(Photo.event_id) == event_id, col(Photo.status) == PhotoStatus.FAILED]
    if reason is not None:
        failed.append(col(Photo.reason) == reason)
    requeued = session.execute(update(Photo).where(*failed).values(etag=""))
    return int(requeued.rowcount)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class GalleryPhoto:
    """A photo as guests see it."""

    id: int
    s3_key: str
    original_key: str
    original_missing: bool

    @property
    def name(self) -> str:
        """The name of its file."""
        return self.s3_key.rpartition("/")[2]


def count_gallery_photos(session: Session, event_id: int) -> int:
    """How many photos a guest can look at."""
    query = select(func.count()).select_from(Photo).where(*_list_visible(event_id))
    return session.exec(query).one()


def list_gallery_photos(
    session: Session, event_id: int, *, after: int, limit: int
) -> list[GalleryPhoto]:
    """Photos by their keys, which cameras count up; those after the photo `after`, 0 for all."""
    conditions = []
    if after:
        last = select(Photo.s3_key).where(Photo.id == after, Photo.event_id == event_id)
        conditions.append(col(Photo.s3_key) > last.scalar_subquery())
    return _read_gallery_photos(session, event_id, conditions, limit)


def find_gallery_photos(
    session: Session, event_id: int, photo_ids: Sequence[int]
) -> list[GalleryPhoto]:
    """Those of the asked photos that are this event's and can be looked at, by their keys."""
    return _read_gallery_photos(session, event_id, [col(Photo.id).in_(photo_ids)])


def _list_visible(event_id: int) -> list[ColumnElement[bool]]:
    """The conditions under which guests see a photo of the event."""
    read = (PhotoStatus.INDEXED, PhotoStatus.NO_FACE)
    return [col(Photo.event_id) == event_id, col(Photo.status).in_(read)]


def _read_gallery_photos(
    session: Session,
    event_id: int,
    conditions: list[ColumnElement[bool]],
    limit: int | None = None,
) -> list[GalleryPhoto]:
    folder = read_event(session, event_id).folder
    query = select(Photo.id, Photo.s3_key, Photo.original_key, Photo.original_missing)
    conditions = [*_list_visible(event_id), *conditions]
    rows = session.execute(query.where(*conditions).order_by(col(Photo.s3_key)).limit(limit))
    return [
        GalleryPhoto(photo_id, key, original or derive_original_key(key, folder), missing)
        for photo_id, key, original, missing in rows
    ]
