"""REST routes that start a sync, previews or a reembedding of an event, and show a sync's state."""

import logging
from typing import Annotated
from uuid import UUID

import anyio.from_thread
from fastapi import APIRouter, Path, Request

from api.bulkheads.threads import Kind, in_threads
from api.deps import EventUuid, OrchestratorDep, parse_uuid
from api.errors import ApiError, describe_errors
from api.reconcile import reconcile_run
from api.schemas import (
    PreviewsAnswer,
    ReembedAnswer,
    ReembedRequest,
    SyncAnswer,
    SyncRequest,
    SyncStatus,
)
from api.starts import begin_run, begin_sync
from models.errors import EventBusyError, UnknownPackError
from models.keys import build_previews_name, build_reembed_prefix, check_prefix
from models.queries.erasures import find_syncable_event
from models.queries.runs import count_progress, find_run, is_reembed
from models.session import open_session
from models.settings import get_settings
from models.vocabulary import ErrorCode

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/api/v1")


@router.post("/faces/sync-s3", tags=["sync"], responses=describe_errors(400, 404, 409, 503))
@in_threads(Kind.PREFECT)
def start_sync(body: SyncRequest, request: Request, orchestrator: OrchestratorDep) -> SyncAnswer:
    """Sync an event's previews from S3; answers at once, the work goes on in the background.

    While a sync of the event is running its id is given back, and it looks at this prefix once
    more before it ends.
    """
    with open_session() as session:
        event = find_syncable_event(session, parse_uuid(body.event_uuid))
    event_id, name = event.id or 0, event.name
    s3_prefix = check_prefix(body.s3_prefix, event.folder)
    run = begin_sync(event, s3_prefix, orchestrator)
    anyio.from_thread.run_sync(request.app.state.uploads.announce, event, s3_prefix)
    if run.joined is None:
        logger.info("Event %d: sync %s started", event_id, run.task_id)
        message = f"Sync task started for event {name}"
    elif is_reembed(run.joined):
        message = f"The model of event {name} is being changed; the sync follows"
    else:
        message = f"Sync already running for event {name}"
    return SyncAnswer(task_id=run.task_id, event_id=event_id, s3_prefix=s3_prefix, message=message)


@router.get("/faces/sync-s3/{task_id}", tags=["sync"], responses=describe_errors(404, 503))
@in_threads(Kind.PREFECT)
def read_sync(
    task_id: Annotated[str, Path(examples=["a1b2c3d4-e5f6-7890-abcd-ef1234567890"])],
    orchestrator: OrchestratorDep,
) -> SyncStatus:
    """How a sync goes: its state in one word, live progress, and its result once it is over."""
    with open_session() as session:
        run = find_run(session, _parse_task_id(task_id))
        if run is None:
            raise ApiError(404, "Sync task not found", ErrorCode.SYNC_NOT_FOUND)
        view = reconcile_run(session, run, orchestrator)
        processed, total = count_progress(session, run)
        return SyncStatus.from_row(run, view, processed=processed, total=total)


@router.post(
    "/events/{event_uuid}/previews",
    name="make_previews",
    tags=["previews"],
    responses=describe_errors(400, 404, 409, 503),
)
@in_threads(Kind.PREFECT)
def start_previews(event_uuid: EventUuid, orchestrator: OrchestratorDep) -> PreviewsAnswer:
    """Make the previews that an event's originals lack, then sync the event; answers at once.

    For photographers who upload only originals. A call that finds another one's run not begun
    yet gets its task_id. The photographer's own previews stay as they are.
    """
    with open_session() as session:
        event = find_syncable_event(session, event_uuid)
    event_id, name = event.id or 0, event.name
    run = begin_run(
        event,
        # Needs no key: a run that has not begun is found by itself.
        lambda _: orchestrator.start_previews(
            event_id=event_id, run_name=build_previews_name(name)
        ),
        orchestrator=orchestrator,
    )
    logger.info("Event %d: previews %s started", event_id, run.task_id)
    return PreviewsAnswer(
        task_id=run.task_id,
        event_id=event_id,
        message=f"Previews are being made for event {name}; its sync follows",
    )


@router.post(
    "/events/{event_uuid}/reembed",
    tags=["events"],
    responses=describe_errors(400, 404, 409, 503),
)
@in_threads(Kind.PREFECT)
def start_reembedding(
    event_uuid: EventUuid, body: ReembedRequest, orchestrator: OrchestratorDep
) -> ReembedAnswer:
    """Find an event's faces by another model pack or profile; answers at once.

    Guests go on finding themselves by the old faces until all new ones are there. Syncs asked for
    meanwhile follow. 409 while a sync of the event runs.
    """
    _check_pack(body.model_pack)
    with open_session() as session:
        event = find_syncable_event(session, event_uuid)
    event_id, name = event.id or 0, event.name

    def refuse(_: object, task_id: UUID) -> bool:
        raise EventBusyError(
            f"Event {name} is held by the task {task_id}: ask again when that has ended."
        )

    run = begin_run(
        event,
        lambda key: orchestrator.start_reembed(
            event_id=event_id,
            model_pack=body.model_pack,
            profile=body.profile and body.profile.value,
            run_name=f"{name} · {body.model_pack or body.profile or 'same model'}",
            request_key=f"{key}: {body.model_pack} {body.profile}",
        ),
        orchestrator=orchestrator,
        s3_prefix=build_reembed_prefix(event_id),
        join=refuse,
    )
    logger.info("Event %d: change of model %s started", event_id, run.task_id)
    return ReembedAnswer(
        task_id=run.task_id,
        event_id=event_id,
        message=f"The model of event {name} is changed",
    )


def _parse_task_id(task_id: str) -> UUID:
    try:
        return UUID(task_id)
    except ValueError as error:
        raise ApiError(404, "Sync task not found", ErrorCode.SYNC_NOT_FOUND) from error


def _check_pack(name: str | None) -> None:
    """Names alone: a path would tell what is on the server's disk, and could name any file."""
    from tasks.packs.registry import is_pack_known

    if name is not None and not is_pack_known(get_settings(), name):
        raise UnknownPackError(
            "There is no model pack of this name here: name opencv_zoo, one of InsightFace's, or "
            "the folder of one in models/ under FACEPASS_MODEL_ROOT."
        )
