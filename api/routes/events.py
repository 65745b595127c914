"""Events and their photos.

Upkeep of an event: another try for its failed photos, another link for its guests.
"""

import logging
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from api.deps import EventUuid
from api.errors import describe_errors
from api.schemas import (
    EventAnswer,
    EventCreate,
    EventDetails,
    LastSync,
    PhotoAnswer,
    PhotoPage,
)
from models.keys import default_prefix
from models.queries.events import (
    create_event,
    extend_activity,
    find_event,
    list_events,
    rotate_gallery_token,
)
from models.queries.photos import count_faces, count_photos, list_photos, requeue_photos
from models.queries.runs import find_last_run
from models.session import open_session
from models.settings import get_settings
from models.tables import Event
from models.vocabulary import PhotoReason, PhotoStatus

router = APIRouter(prefix="/api/v1/events", tags=["events"])

PAGE_LIMIT = 500


@router.post("", status_code=201, responses=describe_errors(400, 409, 503))
def add_event(body: EventCreate, request: Request) -> EventAnswer:
    """Add an event; its answer says where its previews go and which link its guests get."""
    with open_session() as session:
        event = create_event(
            session,
            name=body.name,
            event_uuid=body.event_uuid,
            event_id=body.event_id,
            profile=body.profile,
        )
        return EventAnswer(**_describe_event(event, request))


@router.get("", responses=describe_errors(503))
def read_events(request: Request) -> list[EventAnswer]:
    """All events, the newest first."""
    with open_session() as session:
        return [EventAnswer(**_describe_event(event, request)) for event in list_events(session)]


@router.get("/{event_uuid}", responses=describe_errors(400, 404, 503))
def read_event_details(event_uuid: EventUuid, request: Request) -> EventDetails:
    """One event: its photos by status, its faces, its newest sync."""
    with open_session() as session:
        event = find_event(session, event_uuid)
        event_id = event.id or 0
        run = find_last_run(session, event_id)
        return EventDetails(
            **_describe_event(event, request),
            photos=count_photos(session, event_id),
            faces=count_faces(session, event_id),
            active_until=event.active_until,
            erased_at=event.erased_at,
            last_sync=run
            and LastSync(task_id=run.flow_run_id, state=run.state, finished_at=run.finished_at),
        )


@router.get("/{event_uuid}/photos", responses=describe_errors(400, 404, 503))
def read_photos(
    event_uuid: EventUuid,
    status: PhotoStatus | None = None,
    original_missing: bool | None = None,
    cursor: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT)] = 100,
) -> PhotoPage:
    """What became of each photo, and why; in the order in which they were first seen."""
    with open_session() as session:
        event = find_event(session, event_uuid)
        rows = list_photos(
            session,
            event.id or 0,
            status=status,
            original_missing=original_missing,
            after=cursor,
            limit=limit,
        )
    photos = [
        PhotoAnswer(**photo.model_dump(), photo_id=photo.id, faces=faces) for photo, faces in rows
    ]
    more = len(photos) == limit
    return PhotoPage(photos=photos, next_cursor=photos[-1].photo_id if more else None)


def build_gallery_url(event: Event, request: Request) -> str:
    """The guests' link to an event."""
    base = (get_settings().public_url or str(request.base_url)).rstrip("/")
    return f"{base}/gallery/{event.gallery_token}"


def _describe_event(event: Event, request: Request) -> dict[str, object]:
    return {
        "event_id": event.id,
        "event_uuid": event.uuid,
        "name": event.name,
        "s3_prefix": default_prefix(event.id or 0),
        "gallery_url": build_gallery_url(event, request),
        "profile": event.profile,
        "model_pack": event.model_pack,
    }


logger = logging.getLogger(__name__)


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
