"""By what an event's faces are found: its profile from the next sync on, or its model at once.

Starting the making of an event's previews.
"""

import logging
from functools import partial
from uuid import UUID

import anyio.from_thread
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from api.deps import EventUuid, OrchestratorDep
from api.errors import describe_errors
from api.reconcile import settle_run
from deployments.orchestrator import Orchestrator
from models.errors import EventBusyError, UnknownPackError
from models.keys import build_previews_name, event_folder
from models.queries.erasures import require_syncable
from models.queries.events import extend_activity, find_event, lock_event
from models.queries.reembeds import is_reembedding
from models.queries.runs import ensure_run, find_active_run, lock_requests
from models.session import open_session
from models.settings import get_settings
from models.tables import Event
from models.vocabulary import ProfileName

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/api/v1/events", tags=["events"])


class EventChange(BaseModel):
    """What an event is to be from now on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"profile": "groups"}]})
    profile: ProfileName


class EventChangeAnswer(BaseModel):
    """What the event is now, and what happens next."""

    event_id: int
    profile: ProfileName
    message: str


class ReembedRequest(BaseModel):
    """By what the event's faces are to be found; what is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model_pack": "opencv_zoo", "profile": "groups"}]},
    )
    model_pack: str | None = None
    profile: ProfileName | None = None


class ReembedAnswer(BaseModel):
    """The run that was started; GET /api/v1/faces/sync-s3/{task_id} tells how it goes."""

    task_id: UUID
    event_id: int
    message: str


@router.patch("/{event_uuid}", responses=describe_errors(400, 404, 409, 503))
def change_event(event_uuid: EventUuid, body: EventChange) -> EventChangeAnswer:
    """Change an event's profile: its next sync reads every photo anew.

    Until then guests' searches are answered with `needs_sync`; POST …/reembed with the profile
    changes it without that.
    """
    with open_session() as session:
        event = lock_event(session, find_event(session, event_uuid).id or 0)
        if event.profile == body.profile:
            message = f"Event {event.name} has the profile {body.profile.value} already"
        else:
            if is_reembedding(session, event.id or 0):
                raise EventBusyError(
                    f"The model of event {event.name} is being changed: "
                    "ask again when that has ended."
                )
            event.profile = body.profile
            session.add(event)
            message = f"The next sync reads every photo of event {event.name} anew"
    logger.info("Event %d: profile %s", event.id, body.profile.value)
    return EventChangeAnswer(event_id=event.id or 0, profile=body.profile, message=message)


@router.post("/{event_uuid}/reembed", responses=describe_errors(400, 404, 409, 503))
def start_reembedding(
    event_uuid: EventUuid, body: ReembedRequest, orchestrator: OrchestratorDep
) -> ReembedAnswer:
    """Find an event's faces by another model pack or profile; answers at once.

    Guests go on finding themselves by the old faces until all new ones are there. Syncs asked for
    meanwhile follow. 409 while a sync of the event runs.
    """
    _check_pack(body.model_pack)
    with open_session() as session:
        event = find_event(session, event_uuid)
        require_syncable(event)
        event_id = event.id or 0
        lock_requests(session, event_id)
        running = find_active_run(session, event_id)
        if running is not None and settle_run(session, running, orchestrator).is_alive:
            raise EventBusyError(
                f"Event {event.name} is held by the task {running.flow_run_id}: "
                "ask again when that has ended."
            )
        extend_activity(session, event)
        task_id = _start_run(orchestrator, event, body)
        prefix = event_folder(event_id)
        ensure_run(session, flow_run_id=task_id, event_id=event_id, s3_prefix=prefix)
    logger.info("Event %d: change of model %s started", event_id, task_id)
    return ReembedAnswer(
        task_id=task_id, event_id=event_id, message=f"The model of event {event.name} is changed"
    )


def _check_pack(name: str | None) -> None:
    """Names alone: a path would tell what is on the server's disk, and could name any file."""
    from tasks.packs.registry import is_pack_known

    if name is not None and not is_pack_known(get_settings(), name):
        raise UnknownPackError(
            "There is no model pack of this name here: name opencv_zoo, one of InsightFace's, or "
            "the folder of one in models/ under FACEPASS_MODEL_ROOT."
        )


def _start_run(orchestrator: Orchestrator, event: Event, body: ReembedRequest) -> UUID:
    async def start() -> UUID:
        return await orchestrator.start_change(
            event_id=event.id or 0,
            model_pack=body.model_pack,
            profile=body.profile and body.profile.value,
            run_name=f"{event.name} · {body.model_pack or body.profile or 'same model'}",
        )

    return anyio.from_thread.run(start)


previews_router = APIRouter(prefix="/api/v1/events/{event_uuid}", tags=["previews"])


class PreviewsAnswer(BaseModel):
    """The flow run that makes the previews; Prefect's UI shows how it goes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "task_id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
                    "event_id": 1,
                    "message": "Previews are being made for event Свадьба; its sync follows",
                }
            ]
        }
    )
    task_id: UUID
    event_id: int
    message: str


@previews_router.post("/previews", responses=describe_errors(400, 404, 409, 503))
def make_previews(event_uuid: EventUuid, orchestrator: OrchestratorDep) -> PreviewsAnswer:
    """Make the previews that an event's originals lack, then sync the event; answers at once.

    For photographers who upload only originals. A call that finds another one's run not begun
    yet gets its task_id. The photographer's own previews stay as they are.
    """
    with open_session() as session:
        event = find_event(session, event_uuid)
        require_syncable(event)
        event_id, name = event.id or 0, event.name
        lock_requests(session, event_id)
        extend_activity(session, event)
        start = partial(
            orchestrator.start_previews, event_id=event_id, run_name=build_previews_name(name)
        )
        task_id = anyio.from_thread.run(start)
    logger.info("Event %d: previews %s started", event_id, task_id)
    return PreviewsAnswer(
        task_id=task_id,
        event_id=event_id,
        message=f"Previews are being made for event {name}; its sync follows",
    )
