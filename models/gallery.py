"""What a guest's link opens: those of the event's photos that can be looked at."""

from collections.abc import Sequence

from sqlalchemy import func
from sqlmodel import Session, col, select

from models.tables import Photo, PhotoStatus

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
