"""Queries for guests' consents to be searched for, and for their requests about photos.

Neither says anything of the guest. Consents are kept when faces are erased: they are the
photographer's proof that searches were allowed.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from models.errors import GuestRequestNotFoundError, PhotoNotFoundError
from models.queries.photos import PageCursor, list_gallery_photos
from models.queries.webhooks import add_request_delivery
from models.tables import Consent, Event, GuestRequest, Photo, utc_now
from models.vocabulary import GuestRequestKind


def add_consent(session: Session, event: Event, *, version: str, language: str) -> UUID:
    """Record that a guest agrees to the text of this version; returns the consent's id."""
    consent = Consent(event_id=event.id or 0, text_version=version, language=language)
    session.add(consent)
    return consent.id


def count_consents(session: Session, event_id: int) -> int:
    """How many consents an event's guests have given."""
    query = select(func.count()).select_from(Consent).where(Consent.event_id == event_id)
    return session.exec(query).one()


def add_request(session: Session, event: Event, photo_id: int, kind: GuestRequestKind) -> bool:
    """Record a guest's request, and have it told; False where the same one is open already.

    Raises PhotoNotFoundError for a photo that the event's guests do not see.
    """
    event_id = event.id or 0
    photos = list_gallery_photos(
        session, event_id, after=PageCursor(), limit=1, photo_ids=[photo_id]
    )
    if not photos:
        raise PhotoNotFoundError("This photo is not in this gallery.")
    values = {"event_id": event_id, "photo_id": photo_id, "kind": kind, "created_at": utc_now()}
    # Two guests may ask for the same at once: the index of open requests tells which came first.
    added = insert(GuestRequest).values(values).on_conflict_do_nothing().returning(GuestRequest)
    request = session.scalars(added).one_or_none()
    if request is not None:
        add_request_delivery(session, event, request, photos[0].s3_key)
    return request is not None


def list_requests(
    session: Session, event_id: int, *, settled: bool, after: int, limit: int
) -> Sequence[tuple[GuestRequest, str]]:
    """An event's requests behind this id, the oldest first, each with its photo's S3 key."""
    state = col(GuestRequest.settled_at)
    query = (
        select(GuestRequest, Photo.s3_key)
        .join(Photo, col(Photo.id) == GuestRequest.photo_id)
        .where(GuestRequest.event_id == event_id, col(GuestRequest.id) > after)
        .where(state.is_not(None) if settled else state.is_(None))
    )
    return session.exec(query.order_by(col(GuestRequest.id)).limit(limit)).all()


def count_open_requests(session: Session, event_id: int) -> int:
    """How many of an event's requests wait for the photographer."""
    query = select(func.count()).where(
        GuestRequest.event_id == event_id, col(GuestRequest.settled_at).is_(None)
    )
    return session.exec(query).one()


def settle_request(session: Session, event_id: int, request_id: int) -> tuple[GuestRequest, str]:
    """Record that the photographer has dealt with a request; settling twice is harmless.

    Returns it with its photo's S3 key. Raises GuestRequestNotFoundError.
    """
    query = (
        select(GuestRequest, Photo.s3_key)
        .join(Photo, col(Photo.id) == GuestRequest.photo_id)
        .where(GuestRequest.id == request_id, GuestRequest.event_id == event_id)
        .with_for_update(of=GuestRequest)
    )
    found = session.exec(query).one_or_none()
    if found is None:
        raise GuestRequestNotFoundError(
            "This event has no such request: GET /api/v1/events/{event_uuid}/requests lists them."
        )
    request, key = found
    request.settled_at = request.settled_at or utc_now()
    session.add(request)
    return request, key
