"""REST routes for events: they add, list and change them, their photos, cameras and links."""

import logging
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from api.bulkheads.threads import Kind, in_threads
from api.deps import EventUuid, build_gallery_url, read_base_url
from api.errors import describe_errors
from api.gallery.access import hash_pin
from api.report.links import sign_report
from api.schemas import (
    PAGE_LIMIT,
    CameraAnswer,
    CameraShift,
    EventAnswer,
    EventChange,
    EventChangeAnswer,
    EventCreate,
    EventDetails,
    GalleryLink,
    LastSync,
    ListedEvent,
    PhotoPage,
    ReportLinkAnswer,
    RequeueAnswer,
)
from models.errors import EventBusyError
from models.queries.events import (
    MAX_EVENT_ID,
    EventFilter,
    count_events,
    create_event,
    extend_activity,
    find_event,
    list_events,
    lock_event,
    rotate_gallery_token,
)
from models.queries.guests.looks import change_looks, has_logo
from models.queries.guests.openings import count_openings
from models.queries.guests.wishes import count_consents, count_open_requests
from models.queries.packs import read_false_rate
from models.queries.photos import (
    EventClock,
    PageCursor,
    count_faces,
    count_lying_previews,
    count_photos,
    list_cameras,
    list_photos,
    requeue_photos,
    shift_camera,
)
from models.queries.reembeds import is_reembedding
from models.queries.runs import find_last_run
from models.session import open_session
from models.vocabulary import PhotoReason, PhotoStatus, ProfileName

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/api/v1/events", tags=["events"])

CameraId = Annotated[str, Path(description="as GET …/cameras names it", pattern="^[0-9a-f]{8}$")]


@router.post("", status_code=201, responses=describe_errors(400, 409, 503))
@in_threads(Kind.EVENTS)
def add_event(body: EventCreate, request: Request) -> EventAnswer:
    """Add an event; its answer says where its previews go and which link its guests get."""
    with open_session() as session:
        event = create_event(
            session,
            name=body.name,
            event_uuid=body.event_uuid,
            event_id=body.event_id,
            profile=body.profile,
            s3_prefix=body.s3_prefix,
        )
        change_looks(session, event, _list_columns(body))
        return EventAnswer.from_row(event, build_gallery_url(event.gallery_token, request))


@router.get("", name="list_events", responses=describe_errors(503))
@in_threads(Kind.EVENTS)
def read_events(
    request: Request,
    response: Response,
    name: Annotated[str | None, Query(description="a part of the name, in any case")] = None,
    held_from: Annotated[date | None, Query(description="the first day of `held_on`")] = None,
    held_to: Annotated[date | None, Query(description="the last day of `held_on`")] = None,
    active: Annotated[
        bool | None, Query(description="whether the hourly resync looks at it")
    ] = None,
    limit: Annotated[int | None, Query(ge=1, le=PAGE_LIMIT, description="left out: all")] = None,
    after: Annotated[
        int | None, Query(ge=1, le=MAX_EVENT_ID, description="the last event_id of the page before")
    ] = None,
) -> list[ListedEvent]:
    """Events, the newest first, with their days and counts; all, or a page of those asked for.

    A header `Link: <…>; rel="next"` leads to the next page where there is one.
    """
    wanted = EventFilter(name, held_from, held_to, active, after)
    with open_session() as session:
        events = list_events(session, wanted, None if limit is None else limit + 1)
        if limit is not None and len(events) > limit:
            events = events[:limit]
            query = request.url.include_query_params(after=events[-1].id).query
            url = f"{read_base_url(request)}{router.prefix}?{query}"
            response.headers["Link"] = f'<{url}>; rel="next"'
        ids = [event.id or 0 for event in events]
        counts = count_events(session, ids) if len(ids) <= PAGE_LIMIT else {}
        return [
            ListedEvent.from_counts(
                event,
                build_gallery_url(event.gallery_token, request),
                counts.get(event.id or 0),
            )
            for event in events
        ]


@router.get("/{event_uuid}", name="read_event", responses=describe_errors(400, 404, 503))
@in_threads(Kind.EVENTS)
def read_event_details(event_uuid: EventUuid, request: Request) -> EventDetails:
    """One event: its photos by status, its faces, how alike its people look, its newest sync."""
    with open_session() as session:
        event = find_event(session, event_uuid)
        event_id = event.id or 0
        run, rate = find_last_run(session, event_id), read_false_rate(session, event_id)
        return EventDetails.from_row(
            event,
            build_gallery_url(event.gallery_token, request),
            photos=count_photos(session, event_id),
            faces=count_faces(session, event_id),
            last_sync=run and LastSync.from_row(run),
            lying_previews=count_lying_previews(session, event_id, [event.folder]),
            false_rate=rate and asdict(rate),
            has_pin=event.pin_hash is not None,
            has_logo=has_logo(session, event_id),
            consents=count_consents(session, event_id),
            open_requests=count_open_requests(session, event_id),
        )


@router.patch("/{event_uuid}", responses=describe_errors(400, 404, 409, 503))
@in_threads(Kind.EVENTS)
def change_event(event_uuid: EventUuid, body: EventChange) -> EventChangeAnswer:
    """Change an event: its profile, its name, how its gallery looks, who may see it.

    After a change of the profile the next sync reads every photo anew; until then guests' searches
    are answered with `needs_sync`. POST …/reembed with the profile changes it without that.
    """
    with open_session() as session:
        event = lock_event(session, find_event(session, event_uuid).id or 0)
        changes = _list_columns(body)
        change_looks(session, event, changes)
        if body.profile is None:
            message = f"Event {event.name} is changed: {', '.join(changes)}"
        elif event.profile == body.profile:
            message = f"Event {event.name} has the profile {body.profile.value} already"
        else:
            if is_reembedding(session, event.id or 0):
                raise EventBusyError(
                    f"The model of event {event.name} is being changed: "
                    "ask again when that has ended."
                )
            event.profile = body.profile
            extend_activity(session, event)  # where nobody starts that sync, the resync does
            message = f"The next sync reads every photo of event {event.name} anew"
    logger.info("Event %d: changed: %s", event.id, ", ".join(sorted(body.model_fields_set)))
    profile = ProfileName(event.profile)
    return EventChangeAnswer(event_id=event.id or 0, profile=profile, message=message)


@router.get("/{event_uuid}/photos", name="list_photos", responses=describe_errors(400, 404, 503))
@in_threads(Kind.EVENTS)
def read_photos(
    event_uuid: EventUuid,
    status: PhotoStatus | None = None,
    original_missing: bool | None = None,
    opened: Annotated[bool | None, Query(description="whether a guest has opened it")] = None,
    cursor: Annotated[str, Query(description="an answer's next_cursor; 0: the first page")] = "0",
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT)] = 100,
) -> PhotoPage:
    """What became of each photo, and why; in the order of taking, then of natural names.

    Photos whose time is not known come last. All pages of a list are in the order of its first one.
    """
    with open_session() as session:
        event = find_event(session, event_uuid)
        first = PageCursor(EventClock.from_row(event))
        after = first if cursor == "0" else PageCursor.decode(cursor)
        rows = list_photos(
            session,
            event.id or 0,
            status=status,
            original_missing=original_missing,
            opened=opened,
            after=after,
            limit=limit,
        )
        openings = count_openings(session, [row[0].id or 0 for row in rows])
    return PhotoPage.from_rows(rows, openings, after, limit)


@router.get("/{event_uuid}/cameras", name="list_cameras", responses=describe_errors(400, 404, 503))
@in_threads(Kind.EVENTS)
def read_cameras(event_uuid: EventUuid) -> list[CameraAnswer]:
    """The cameras that took an event's photos, as far as these tell a time."""
    with open_session() as session:
        cameras = list_cameras(session, find_event(session, event_uuid))
    return [CameraAnswer.model_validate(vars(camera)) for camera in cameras]


@router.put("/{event_uuid}/cameras/{camera}", responses=describe_errors(400, 404, 503))
@in_threads(Kind.EVENTS)
def change_camera(event_uuid: EventUuid, camera: CameraId, body: CameraShift) -> CameraAnswer:
    """Correct the clock of a camera; the gallery's order follows at once."""
    with open_session() as session:
        event = lock_event(session, find_event(session, event_uuid).id or 0)
        shifted = shift_camera(session, event, camera, body.shift_seconds)
    logger.info("Event %d: a camera's clock is shifted by %d s", event.id, body.shift_seconds)
    return CameraAnswer.model_validate(vars(shifted))


@router.post("/{event_uuid}/photos/requeue", responses=describe_errors(400, 404, 503))
@in_threads(Kind.BULK)
def requeue_failed_photos(
    event_uuid: EventUuid, reason: PhotoReason | None = None
) -> RequeueAnswer:
    """Have the next sync read the failed photos again; all of them, or those of one reason."""
    with open_session() as session:
        event = find_event(session, event_uuid)
        requeued = requeue_photos(session, event.id or 0, reason=reason)
    logger.info("Event %d: %d failed photos requeued", event.id, requeued)
    return RequeueAnswer(
        requeued=requeued, message=f"{requeued} failed photos wait for the next sync"
    )


@router.post("/{event_uuid}/gallery-token", responses=describe_errors(400, 404, 503))
@in_threads(Kind.EVENTS)
def change_gallery_link(event_uuid: EventUuid, request: Request) -> GalleryLink:
    """Give the event's guests a new link; the old one ends at once."""
    with open_session() as session:
        event = find_event(session, event_uuid)
        rotate_gallery_token(session, event)
    logger.info("Event %d: new gallery link", event.id)
    return GalleryLink(gallery_url=build_gallery_url(event.gallery_token, request))


@router.post("/{event_uuid}/report-link", responses=describe_errors(400, 404, 503))
@in_threads(Kind.EVENTS)
def make_report_link(event_uuid: EventUuid, request: Request) -> ReportLinkAnswer:
    """Make a link to the event's report, for a browser; it ends after an hour.

    Whoever has it may do what the page's buttons do: it is no link for guests.
    """
    with open_session() as session:
        link = sign_report(find_event(session, event_uuid))
    url = f"{read_base_url(request)}/report/{link.token}"
    return ReportLinkAnswer(report_url=url, expires_at=link.expires_at)


def _list_columns(body: EventCreate | EventChange) -> dict[str, Any]:
    """What was given of an event's looks, by its column; of a PIN what is stored of it."""
    changes = body.list_changes()
    if "pin" in changes:
        pin = changes.pop("pin")
        changes["pin_hash"] = None if pin is None else hash_pin(pin)
    return changes
