"""Queries for openings of photos by guests: counts by day, of nobody in particular."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import func, text
from sqlmodel import Session, col, select

from models.keys import derive_original_key
from models.queries.photos import VISIBLE, EventClock
from models.tables import Event, Photo, PhotoOpening

# In the order of the key, so that two processes that write at once wait for each other, and no
# more; photos that were deleted meanwhile are left out, and none is deleted until this is written.
_ADD = text("""
INSERT INTO photo_opening (photo_id, day, opened)
SELECT photo_id, day, opened
FROM unnest(CAST(:photo_ids AS bigint[]), CAST(:days AS date[]), CAST(:counts AS integer[]))
     AS counted (photo_id, day, opened)
JOIN photo ON photo.id = counted.photo_id
ORDER BY photo_id, day
FOR KEY SHARE OF photo
ON CONFLICT (photo_id, day) DO UPDATE SET opened = photo_opening.opened + excluded.opened
""")


def add_openings(session: Session, counts: Mapping[tuple[int, date], int]) -> None:
    """Add to the openings of photos on days."""
    values = {
        "photo_ids": [photo_id for photo_id, _ in counts],
        "days": [day for _, day in counts],
        "counts": list(counts.values()),
    }
    session.execute(_ADD, values)


def count_openings(session: Session, photo_ids: Sequence[int]) -> dict[int, int]:
    """How often guests opened these photos; those that were never opened are left out."""
    query = (
        select(PhotoOpening.photo_id, func.sum(PhotoOpening.opened))
        .where(col(PhotoOpening.photo_id).in_(photo_ids))
        .group_by(col(PhotoOpening.photo_id))
    )
    return {photo_id: int(opened) for photo_id, opened in session.execute(query)}


@dataclass(frozen=True)
class PhotoOpenings:
    """A photo that guests see, by its original, and how often they opened it."""

    photo_id: int
    original_key: str
    opened: int


def list_openings(session: Session, event: Event) -> list[PhotoOpenings]:
    """The photos that an event's guests see, in the order of taking."""
    opened = (
        select(func.coalesce(func.sum(PhotoOpening.opened), 0))
        .where(PhotoOpening.photo_id == Photo.id)
        .correlate(Photo)
        .scalar_subquery()
    )
    query = (
        select(Photo.id, Photo.s3_key, Photo.original_key, opened)
        .where(Photo.event_id == event.id, col(Photo.status).in_(VISIBLE))
        .order_by(*EventClock.from_row(event).order())
    )
    return [
        PhotoOpenings(photo_id, original or derive_original_key(key, event.folder), int(count))
        for photo_id, key, original, count in session.execute(query)
    ]
