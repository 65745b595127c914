"""What a photographer does for an event that is there: failed photos again, a new guests' link."""

from fastapi import APIRouter, Request

from api.deps import EventUuid
from api.errors import describe_errors
from api.events import describe_event
from api.schemas import EventAnswer, RequeueAnswer
from models.events import find_event, rotate_gallery_token
from models.requeue import requeue_photos
from models.session import open_session
from models.tables import PhotoReason

router = APIRouter(prefix="/api/v1/events/{event_uuid}", tags=["events"])


@router.post("/photos/requeue", responses=describe_errors(400, 404, 503))
def requeue_failed_photos(
    event_uuid: EventUuid, reason: PhotoReason | None = None
) -> RequeueAnswer:
    """Have the next sync read failed photos again: all, or those that failed for one reason."""
    with open_session() as session:
        event_id = find_event(session, event_uuid).id or 0
        return RequeueAnswer(event_id=event_id, requeued=requeue_photos(session, event_id, reason))


@router.post("/gallery-token", responses=describe_errors(400, 404, 503))
def rotate_gallery_link(event_uuid: EventUuid, request: Request) -> EventAnswer:
    """Give the event a new guests' link; the old one opens nothing any more."""
    with open_session() as session:
        event = find_event(session, event_uuid)
        rotate_gallery_token(session, event)
        return EventAnswer(**describe_event(event, request))
