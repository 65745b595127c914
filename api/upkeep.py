"""Upkeep of an event: another try for its failed photos, another link for its guests."""

import logging

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.deps import EventUuid
from api.errors import describe_errors
from api.events import build_gallery_url
from models.queries.events import extend_activity, find_event, rotate_gallery_token
from models.queries.photos import requeue_photos
from models.session import open_session
from models.vocabulary import PhotoReason

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/api/v1/events", tags=["events"])


class RequeueAnswer(BaseModel):
    """How many failed photos the next sync takes up again."""

    requeued: int = Field(examples=[3])
    message: str = Field(examples=["3 failed photos wait for the next sync"])


class GalleryLink(BaseModel):
    """The link an event's guests get from now on."""

    gallery_url: str = Field(examples=["http://127.0.0.1:8000/gallery/3q2-7wAAAAAAAAAAAAAAAAAA"])


@router.post("/{event_uuid}/photos/requeue", responses=describe_errors(400, 404, 503))
def requeue_failed_photos(
    event_uuid: EventUuid, reason: PhotoReason | None = None
) -> RequeueAnswer:
    """Have the next sync read the failed photos again; all of them, or those of one reason."""
    with open_session() as session:
        event = find_event(session, event_uuid)
        requeued = requeue_photos(session, event.id or 0, reason=reason)
        extend_activity(session, event)
    logger.info("Event %d: %d failed photos requeued", event.id, requeued)
    return RequeueAnswer(
        requeued=requeued, message=f"{requeued} failed photos wait for the next sync"
    )


@router.post("/{event_uuid}/gallery-token", responses=describe_errors(400, 404, 503))
def change_gallery_link(event_uuid: EventUuid, request: Request) -> GalleryLink:
    """Give the event's guests a new link; the old one ends at once."""
    with open_session() as session:
        event = find_event(session, event_uuid)
        rotate_gallery_token(session, event)
    logger.info("Event %d: new gallery link", event.id)
    return GalleryLink(gallery_url=build_gallery_url(event, request))
