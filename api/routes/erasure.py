"""REST routes that erase an event's or a photo's faces, delete an event, or allow syncs again."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.bulkheads.threads import Kind, in_threads
from api.deps import EventUuid
from api.errors import describe_errors
from api.schemas import DeletionAnswer, ErasureAnswer, ReturnAnswer
from models.errors import EventNotFoundError
from models.queries.erasures import restore_photo, resume_event
from models.queries.events import find_event
from models.session import open_session
from models.vocabulary import StoredObjects
from tasks.results.deletion import delete_event
from tasks.results.erasure import erase_event_faces, erase_photo_faces

router = APIRouter(prefix="/api/v1/events/{event_uuid}", tags=["erasure"])

PhotoId = Annotated[int, Path(ge=1, le=2**63 - 1, description="photo_id of the photos' list")]


@router.delete("/faces", name="erase_faces", responses=describe_errors(400, 404, 503))
@in_threads(Kind.BULK)
def delete_event_faces(event_uuid: EventUuid) -> ErasureAnswer:
    """Erase every face of an event, cached ones too; it takes no syncs until it is resumed.

    A sync under way is stopped and stores nothing more. 503 when a part could not be reached:
    send the call again, it is safe.
    """
    receipt = erase_event_faces(_find_event_id(event_uuid))
    if receipt is None:
        raise EventNotFoundError("Event not found")
    return ErasureAnswer.model_validate(receipt, from_attributes=True)


@router.delete("", name="delete_event", responses=describe_errors(400, 404, 409, 503))
@in_threads(Kind.BULK)
def delete_whole_event(
    event_uuid: EventUuid,
    objects: Annotated[
        StoredObjects, Query(description="what becomes of its photos in S3; keep: they stay there")
    ] = StoredObjects.KEEP,
) -> DeletionAnswer:
    """Delete an event and all that is known of it: faces, cached results, photos, guests' wishes.

    A sync under way is stopped. The event's row goes last: after an error, or an answer that was
    lost, send the call again; 404 says that it is deleted.
    """
    receipt = delete_event(_find_event_id(event_uuid), objects)
    return DeletionAnswer.model_validate(receipt, from_attributes=True)


@router.post("/resume", responses=describe_errors(400, 404, 503))
@in_threads(Kind.BULK)
def resume_syncs(event_uuid: EventUuid) -> ReturnAnswer:
    """Let an erased event sync again; its next sync reads every photo anew.

    Photos that were erased by themselves stay erased.
    """
    with open_session() as session:
        event = resume_event(session, find_event(session, event_uuid).id or 0)
        return ReturnAnswer(
            event_id=event.id or 0,
            message=f"Event {event.name} takes syncs; what was erased is read by the next one",
        )


@router.delete("/photos/{photo_id}", responses=describe_errors(400, 404, 503))
@in_threads(Kind.BULK)
def erase_photo(event_uuid: EventUuid, photo_id: PhotoId) -> ErasureAnswer:
    """Erase one photo's faces, for good: no sync reads this key again, even with a new file.

    All of the event's cached results go with it, since they hold many photos' faces each.
    """
    receipt = erase_photo_faces(_find_event_id(event_uuid), photo_id)
    return ErasureAnswer.model_validate(receipt, from_attributes=True)


@router.post("/photos/{photo_id}/restore", responses=describe_errors(400, 404, 503))
@in_threads(Kind.BULK)
def restore_erased_photo(event_uuid: EventUuid, photo_id: PhotoId) -> ReturnAnswer:
    """Take back the erasure of one photo: the next sync reads it again."""
    event_id = _find_event_id(event_uuid)
    with open_session() as session:
        photo = restore_photo(session, event_id, photo_id)
        return ReturnAnswer(event_id=event_id, message=f"The next sync reads {photo.s3_key}")


def _find_event_id(event_uuid: EventUuid) -> int:
    with open_session() as session:
        return find_event(session, event_uuid).id or 0
