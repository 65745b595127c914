"""REST routes by which a photographer deals with guests: the gallery's logo, guests' requests."""

import logging
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response

from api.bulkheads.threads import Kind, get_bulkhead, in_threads
from api.deps import EventUuid
from api.errors import ApiError, describe_errors
from api.middleware import MAX_LOGO_BYTES
from api.schemas import PAGE_LIMIT, GuestRequestAnswer
from models.errors import PhotoUnavailableError
from models.queries.events import find_event, lock_event
from models.queries.guests.looks import delete_logo, put_logo
from models.queries.guests.wishes import list_requests, settle_request
from models.session import open_session
from models.vocabulary import ErrorCode

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/api/v1/events/{event_uuid}", tags=["guests"])

RequestId = Annotated[int, Path(ge=1, le=2**63 - 1, description="request_id of the list")]
_LOGO_BODY = {
    "requestBody": {
        "required": True,
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.put(
    "/logo",
    status_code=204,
    responses=describe_errors(400, 404, 503),
    openapi_extra=_LOGO_BODY,
)
async def change_logo(event_uuid: EventUuid, request: Request) -> Response:
    """Have the gallery show a studio's logo: the body is a picture of at most a megabyte.

    It is kept as WebP of at most 400 pixels, transparent where it was.
    """
    content = await request.body()
    await get_bulkhead(Kind.BULK).run(partial(_keep_logo, event_uuid, content))
    return Response(status_code=204)


def _keep_logo(event_uuid: UUID, content: bytes) -> None:
    from tasks.images.views import make_logo

    with open_session() as session:
        event_id = find_event(session, event_uuid).id or 0
    try:
        logo = make_logo(content)
    except PhotoUnavailableError as error:
        raise ApiError(
            422,
            f"The logo cannot be read ({error.reason}): send a PNG, a JPEG or a WebP of at most "
            f"{MAX_LOGO_BYTES} bytes.",
            ErrorCode.INVALID_LOGO,
        ) from error
    with open_session() as session:
        put_logo(session, lock_event(session, event_id), logo)
    logger.info("Event %d: new logo", event_id)


@router.delete("/logo", status_code=204, responses=describe_errors(400, 404, 503))
@in_threads(Kind.EVENTS)
def remove_logo(event_uuid: EventUuid) -> Response:
    """Have the gallery show no logo any more."""
    with open_session() as session:
        delete_logo(session, find_event(session, event_uuid).id or 0)
    return Response(status_code=204)


@router.get("/requests", name="list_guest_requests", responses=describe_errors(400, 404, 503))
@in_threads(Kind.EVENTS)
def read_requests(
    event_uuid: EventUuid,
    settled: bool = False,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="the last request_id seen")] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT)] = 100,
) -> list[GuestRequestAnswer]:
    """Guests' requests about photos that wait, or those that are settled; the oldest first."""
    with open_session() as session:
        event_id = find_event(session, event_uuid).id or 0
        found = list_requests(session, event_id, settled=settled, after=after, limit=limit)
        return [GuestRequestAnswer.from_row(request, key) for request, key in found]


@router.post("/requests/{request_id}/settle", responses=describe_errors(400, 404, 503))
@in_threads(Kind.EVENTS)
def settle_guest_request(event_uuid: EventUuid, request_id: RequestId) -> GuestRequestAnswer:
    """Note that a request is dealt with; what was asked for is done by other calls.

    The same guest may ask again.
    """
    with open_session() as session:
        event_id = find_event(session, event_uuid).id or 0
        request, key = settle_request(session, event_id, request_id)
        return GuestRequestAnswer.from_row(request, key)
