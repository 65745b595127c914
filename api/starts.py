"""The function that starts a flow run for an event, used for syncs, previews and reembeddings.

Requests for one event are handled one at a time, so a second request finds the run that the first
one started. While Prefect is waited for, no row is locked: a sync under way stores on.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import anyio.from_thread
from sqlmodel import Session

from api.reconcile import reconcile_run
from deployments.orchestrator import Orchestrator
from models.keys import build_run_name
from models.queries.events import extend_activity, read_event
from models.queries.runs import (
    ensure_run,
    find_active_run,
    find_last_run,
    lock_requests,
    remember_prefix,
)
from models.session import open_session
from models.tables import Event, SyncRun


@dataclass(frozen=True)
class BegunRun:
    """The run that serves a request: a new one, or `joined`, the event's live run."""

    task_id: UUID
    joined: SyncRun | None = None


def begin_run(
    event: Event,
    start: Callable[[str], Coroutine[Any, Any, UUID]],
    *,
    orchestrator: Orchestrator,
    s3_prefix: str | None = None,
    join: Callable[[Session, UUID], bool] | None = None,
) -> BegunRun:
    """Start a flow run for an event, unless its live run takes the request.

    start: asks Prefect for the run and gives its id. Its key stays the same until a new run of the
    event has a record: where an answer of Prefect's is lost, the next request gets that run.
    s3_prefix: what the new run is recorded under; None for a run that has no record. join: asked
    with the id of the event's live run, whether that run takes the request; it may refuse by an
    error. None asks nothing.

    Raises OrchestratorUnavailableError and TooBusyError.
    """
    event_id = event.id or 0
    with open_session() as turn:
        lock_requests(turn, event_id)
        with open_session() as session:  # of its own: it locks the event's row
            extend_activity(session, read_event(session, event_id))
        if join is not None and (running := _join_run(event_id, join, orchestrator)) is not None:
            return BegunRun(running.flow_run_id, running)
        with open_session() as session:
            last = find_last_run(session, event_id)
        follows = last.flow_run_id if last else "nothing"
        task_id = anyio.from_thread.run(start, f"{event.uuid} {s3_prefix} after {follows}")
        if s3_prefix is not None:
            with open_session() as session:
                ensure_run(session, flow_run_id=task_id, event_id=event_id, s3_prefix=s3_prefix)
        return BegunRun(task_id)


def begin_sync(event: Event, s3_prefix: str, orchestrator: Orchestrator) -> BegunRun:
    """Start a sync of a prefix, or leave the request with the event's live run.

    Raises OrchestratorUnavailableError and TooBusyError.
    """
    event_id = event.id or 0
    return begin_run(
        event,
        lambda key: orchestrator.start_sync(
            event_id=event_id,
            s3_prefix=s3_prefix,
            run_name=build_run_name(event.name, s3_prefix),
            request_key=key,
        ),
        orchestrator=orchestrator,
        s3_prefix=s3_prefix,
        join=lambda session, task_id: remember_prefix(session, task_id, event_id, s3_prefix),
    )


def _join_run(
    event_id: int, join: Callable[[Session, UUID], bool], orchestrator: Orchestrator
) -> SyncRun | None:
    """The event's live run, if it takes the request."""
    with open_session() as session:
        running = find_active_run(session, event_id)
        if running is None or not reconcile_run(session, running, orchestrator).is_alive:
            return None
    with open_session() as session:
        return running if join(session, running.flow_run_id) else None
