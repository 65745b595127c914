"""Queries that change an event's looks, its logo, and who may see it."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from sqlalchemy import delete
from sqlmodel import Session, col, select

from models.errors import PhotoNotFoundError
from models.queries.photos import PageCursor, list_gallery_photos
from models.tables import Event, EventLogo


def change_looks(session: Session, event: Event, values: Mapping[str, Any]) -> None:
    """Set these columns of an event, whose row the caller holds.

    Raises PhotoNotFoundError for a `cover_photo_id` of no photo that its guests see.
    """
    cover = values.get("cover_photo_id")
    if cover is not None and not list_gallery_photos(
        session, event.id or 0, after=PageCursor(), limit=1, photo_ids=[cover]
    ):
        raise PhotoNotFoundError(
            "cover_photo_id is none of this event's photos: "
            "GET /api/v1/events/{event_uuid}/photos lists them."
        )
    for name, value in values.items():
        setattr(event, name, value)
    session.add(event)


def find_logo(session: Session, event_id: int) -> EventLogo | None:
    """The logo of an event; None where it has none."""
    return session.get(EventLogo, event_id)


def has_logo(session: Session, event_id: int) -> bool:
    """Whether an event has a logo; its bytes are not read."""
    query = select(EventLogo.etag).where(EventLogo.event_id == event_id)
    return session.exec(query).one_or_none() is not None


def put_logo(session: Session, event: Event, content: bytes) -> None:
    """Keep a logo, WebP, instead of the one of before; the caller holds the event's row."""
    etag = sha256(content).hexdigest()[:32]
    session.merge(EventLogo(event_id=event.id or 0, content=content, etag=etag))


def delete_logo(session: Session, event_id: int) -> None:
    """Have an event show no logo."""
    session.execute(delete(EventLogo).where(col(EventLogo.event_id) == event_id))
