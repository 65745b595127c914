"""The function that starts a flow run for an event, used for syncs, previews and reembeddings.

Requests for one event are handled one at a time, so a second request finds the run that the first
one started.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import anyio.from_thread
from sqlmodel import Session

from api.reconcile import reconcile_run
from deployments.orchestrator import Orchestrator
from models.queries.events import extend_activity
from models.queries.runs import ensure_run, find_active_run, lock_requests
from models.tables import Event, SyncRun


@dataclass(frozen=True)
class BegunRun:
    """The run that serves a request: a new one, or `joined`, the event's live run."""

    task_id: UUID
    joined: SyncRun | None = None


def begin_run(
    session: Session,
    event: Event,
    start: Callable[[], Coroutine[Any, Any, UUID]],
    *,
    orchestrator: Orchestrator,
    s3_prefix: str | None = None,
    join: Callable[[UUID], bool] | None = None,
) -> BegunRun:
    """Start a flow run for an event, unless its live run takes the request.

    start: asks Prefect for the run and gives its id. s3_prefix: what the new run is recorded
    under; None for a run that has no record. join: asked with the id of the event's live run,
    whether that run takes the request; it may refuse by an error. None asks nothing.

    Raises OrchestratorUnavailableError.
    """
    event_id = event.id or 0
    lock_requests(session, event_id)
    extend_activity(session, event)
    if join is not None:
        running = find_active_run(session, event_id)
        if (
            running is not None
            and reconcile_run(session, running, orchestrator).is_alive
            and join(running.flow_run_id)
        ):
            return BegunRun(running.flow_run_id, running)
    task_id = anyio.from_thread.run(start)
    if s3_prefix is not None:
        ensure_run(session, flow_run_id=task_id, event_id=event_id, s3_prefix=s3_prefix)
    return BegunRun(task_id)
