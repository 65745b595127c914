"""Starting a sync and asking how it goes."""

import logging
from typing import Annotated
from uuid import UUID

import anyio.from_thread
from fastapi import APIRouter, HTTPException
from fastapi import Path as PathParameter

from api.deps import OrchestratorDep, parse_uuid
from api.errors import describe_errors
from api.reconcile import settle_run
from api.schemas import Progress, SyncAnswer, SyncRequest, SyncStatus
from deployments.orchestrator import Orchestrator
from models.keys import build_run_name, check_prefix
from models.queries.erasures import require_syncable
from models.queries.events import extend_activity, find_event
from models.queries.runs import (
    count_progress,
    ensure_run,
    find_active_run,
    is_reembed,
    lock_requests,
    remember_prefix,
)
from models.session import open_session
from models.tables import Event, SyncRun

logger = logging.getLogger(__name__)

router = APIRouter(prefix="/api/v1/faces", tags=["sync"])


@router.post("/sync-s3", responses=describe_errors(400, 404, 409, 503))
def start_sync(request: SyncRequest, orchestrator: OrchestratorDep) -> SyncAnswer:
    """Sync an event's previews from S3; answers at once, the work goes on in the background.

    While a sync of the event is running its id is given back, and it looks at this prefix once
    more before it ends.
    """
    event_uuid = parse_uuid(request.event_uuid)
    with open_session() as session:
        event = find_event(session, event_uuid)
        require_syncable(event)
        event_id, name = event.id or 0, event.name
        s3_prefix = check_prefix(request.s3_prefix, event_id)
        lock_requests(session, event_id)
        extend_activity(session, event)
        running = find_active_run(session, event_id)
        if running is not None:
            view = settle_run(session, running, orchestrator)
            if view.is_alive and remember_prefix(session, running.flow_run_id, event_id, s3_prefix):
                return SyncAnswer(
                    task_id=running.flow_run_id,
                    event_id=event_id,
                    s3_prefix=s3_prefix,
                    message=f"The model of event {name} is being changed; the sync follows"
                    if is_reembed(running)
                    else f"Sync already running for event {name}",
                )
        task_id = _start_run(orchestrator, event, s3_prefix)
        ensure_run(session, flow_run_id=task_id, event_id=event_id, s3_prefix=s3_prefix)
    logger.info("Event %d: sync %s started", event_id, task_id)
    return SyncAnswer(
        task_id=task_id,
        event_id=event_id,
        s3_prefix=s3_prefix,
        message=f"Sync task started for event {name}",
    )


def _start_run(orchestrator: Orchestrator, event: Event, s3_prefix: str) -> UUID:
    async def start() -> UUID:
        return await orchestrator.start_sync(
            event_id=event.id or 0,
            s3_prefix=s3_prefix,
            run_name=build_run_name(event.name, s3_prefix),
        )

    return anyio.from_thread.run(start)


@router.get("/sync-s3/{task_id}", responses=describe_errors(404, 503))
def read_sync(
    task_id: Annotated[str, PathParameter(examples=["a1b2c3d4-e5f6-7890-abcd-ef1234567890"])],
    orchestrator: OrchestratorDep,
) -> SyncStatus:
    """How a sync goes: its state in one word, live progress, and its result once it is over."""
    with open_session() as session:
        run = session.get(SyncRun, _parse_task_id(task_id))
        if run is None:
            raise HTTPException(404, "Sync task not found")
        view = settle_run(session, run, orchestrator)
        processed, total = count_progress(session, run)
        return SyncStatus(
            task_id=run.flow_run_id,
            event_id=run.event_id,
            state=view.state,
            progress=Progress(processed=processed, total=total),
            result=run.result,
            detail=view.detail,
        )


def _parse_task_id(task_id: str) -> UUID:
    try:
        return UUID(task_id)
    except ValueError as error:
        raise HTTPException(404, "Sync task not found") from error
