"""Queries about an event's photos.

What a guest's link opens: those of the event's photos that can be looked at.
"""

from collections.abc import Sequence

from sqlalchemy import func, update
from sqlmodel import Session, col, select

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
    failed = [col(Photo.event_id) == event_id, col(Photo.status) == PhotoStatus.FAILED]
    if reason is not None:
        failed.append(col(Photo.reason) == reason)
    requeued = session.execute(update(Photo).where(*failed).values(etag=""))
    return int(requeued.rowcount)  # type: ignore[attr-defined]


# What was read once is there to be looked at, with faces or without.
VISIBLE = (PhotoStatus.INDEXED, PhotoStatus.NO_FACE)


def count_gallery_photos(session: Session, event_id: int) -> int:
    """How many photos a guest can look at."""
    query = (
        select(func.count())
        .select_from(Photo)
        .where(Photo.event_id == event_id, col(Photo.status).in_(VISIBLE))
    )
    return session.exec(query).one()


def list_gallery_photos(
    session: Session, event_id: int, *, after: int, limit: int
) -> Sequence[Photo]:
    """Photos by their keys, which cameras count up; those after the photo `after`, 0 for all."""
    query = select(Photo).where(Photo.event_id == event_id, col(Photo.status).in_(VISIBLE))
    if after:
        last = select(Photo.s3_key).where(Photo.id == after, Photo.event_id == event_id)
        query = query.where(col(Photo.s3_key) > last.scalar_subquery())
    return session.exec(query.order_by(col(Photo.s3_key)).limit(limit)).all()


def find_gallery_photos(
    session: Session, event_id: int, photo_ids: Sequence[int]
) -> Sequence[Photo]:
    """Those of the asked photos that are this event's and can be looked at, by their keys."""
    query = select(Photo).where(
        Photo.event_id == event_id,
        col(Photo.status).in_(VISIBLE),
        col(Photo.id).in_(photo_ids),
    )
    return session.exec(query.order_by(col(Photo.s3_key))).all()
