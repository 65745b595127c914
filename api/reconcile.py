"""Functions that compare a run's record in PostgreSQL with Prefect and close runs that are dead.

A dead run is closed when somebody asks for it, and by a loop in every API process. It is closed in
Prefect too, so that it frees its slot in the Prefect work pool.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from itertools import count

import anyio
import anyio.from_thread
import anyio.to_thread
from sqlmodel import Session

from deployments.orchestrator import Orchestrator, RunPhase, RunReport
from models.errors import FacePassError
from models.queries.events import lock_event
from models.queries.runs import (
    HEARTBEAT_LIMIT,
    end_run,
    find_run,
    list_silent_runs,
    measure_silence,
    raise_epoch,
    read_ends,
)
from models.session import open_session
from models.tables import SyncRun, utc_now
from models.vocabulary import SyncState

logger = logging.getLogger(__name__)

START_LIMIT = timedelta(minutes=5)
# With the heartbeat's limit of 50 s: a dead run is closed within a minute.
RECONCILE_INTERVAL_S = 8
RUNS_A_ROUND = 50
# Rounds over unfinished records for one over what Prefect calls running, which asks Prefect.
ROUNDS_A_SWEEP = 2
# Prunings and the like have no record; none of them takes so long.
LONGEST_RUN = timedelta(days=1)
_LOST = "The process of this sync died without a word; start the sync again."
_STARTING = "a worker has taken it up and starts its process"
_UNKNOWN = "Prefect no longer knows this run; start the sync again."
_ENDED = {
    RunPhase.COMPLETED: (SyncState.CRASHED, "The run ended without a result; start it again."),
    RunPhase.FAILED: (SyncState.FAILED, "The sync failed; Prefect's log of the run says why."),
    RunPhase.CRASHED: (SyncState.CRASHED, "The worker died during the sync; start it again."),
    RunPhase.CANCELLED: (SyncState.CANCELLED, "Cancelled in Prefect; start the sync again."),
}
_DONE = "The work was done; the process died before it said so."
_DEAD = "The process of this run died without a word."


@dataclass(frozen=True)
class SyncView:
    """A sync's state and what to say of it."""

    state: SyncState
    detail: str | None

    @property
    def is_alive(self) -> bool:
        """Whether it still has the event, or will."""
        return self.state in {SyncState.PENDING, SyncState.RUNNING, SyncState.RETRYING}


def reconcile_run(session: Session, run: SyncRun, orchestrator: Orchestrator) -> SyncView:
    """A sync's true state; a record whose process is gone is closed on the way.

    Raises OrchestratorUnavailableError when the record alone cannot tell.
    """
    report = close_dead_run(session, run, orchestrator)
    if report is None:
        return SyncView(run.state, run.detail)
    return _describe_live_run(run, report, orchestrator)


def close_dead_run(session: Session, run: SyncRun, orchestrator: Orchestrator) -> RunReport | None:
    """Close the record of a run that ended without a word; Prefect's report of one that lives.

    None when the record is closed, now or before. Raises OrchestratorUnavailableError.
    """
    if run.finished_at is not None:
        return None
    report = anyio.from_thread.run(orchestrator.read_run, run.flow_run_id)
    # The flow may have ended between the two looks: its record has the last word.
    session.refresh(run)
    if run.finished_at is not None:
        return None
    if report is None:
        _close_record(session, run, SyncState.CRASHED, _UNKNOWN)
        return None
    if report.phase in _ENDED:
        state, detail = _ENDED[report.phase]
        _close_record(session, run, state, report.said or run.detail or detail)
        return None
    if _is_lost(run, report, measure_silence(session, run.flow_run_id)):
        anyio.from_thread.run(orchestrator.crash_run, run.flow_run_id, _LOST)
        _close_record(session, run, SyncState.CRASHED, _LOST)
        return None
    return report


async def reconcile_runs(orchestrator: Orchestrator) -> None:
    """Close dead runs again and again, until cancelled; an outage is waited out."""
    for turn in count(1):
        await anyio.sleep(RECONCILE_INTERVAL_S)
        try:
            await anyio.to_thread.run_sync(close_silent_runs, orchestrator)
            if turn % ROUNDS_A_SWEEP == 0:
                await anyio.to_thread.run_sync(free_pool_slots, orchestrator)
        except FacePassError as error:
            logger.warning("Runs cannot be watched for now: %s", error)
        except Exception:
            logger.exception("A look at the runs failed; the next one follows.")


def close_silent_runs(orchestrator: Orchestrator) -> None:
    """Close the unfinished runs that are dead.

    Raises OrchestratorUnavailableError and DatabaseUnavailableError.
    """
    with open_session() as session:
        silent = list_silent_runs(session, RUNS_A_ROUND)
    for flow_run_id in silent:
        with open_session() as session:
            run = find_run(session, flow_run_id)
            if run is not None and close_dead_run(session, run, orchestrator) is None:
                logger.info("Sync run %s of event %d: %s", flow_run_id, run.event_id, run.detail)


def free_pool_slots(orchestrator: Orchestrator, still_for: timedelta = HEARTBEAT_LIMIT) -> None:
    """End in Prefect the runs whose process died after their record was finished.

    still_for: how long Prefect must have called a run running.

    Raises OrchestratorUnavailableError and DatabaseUnavailableError.
    """
    running = anyio.from_thread.run(orchestrator.list_running, still_for)
    if not running:
        return
    with open_session() as session:
        ends = read_ends(session, [run.flow_run_id for run in running])
    oldest = utc_now() - LONGEST_RUN
    for run in running:
        ended_as = ends.get(run.flow_run_id)
        if ended_as is SyncState.COMPLETED:
            anyio.from_thread.run(orchestrator.complete_run, run.flow_run_id, _DONE)
        elif ended_as is not None or (
            run.is_tagged and run.flow_run_id not in ends and run.since < oldest
        ):
            end = orchestrator.cancel_run if run.is_cancelling else orchestrator.crash_run
            anyio.from_thread.run(end, run.flow_run_id, _DEAD)


def _is_lost(run: SyncRun, report: RunReport, silence: timedelta | None) -> bool:
    """Whether a run that Prefect calls alive has no process that gives signs of life.

    One that waits in the queue needs none. One that is starting, or was retried by hand, gets
    time to start: its last heartbeat may be that of a process before.
    """
    if report.is_queued:
        return False
    if silence is not None and silence < HEARTBEAT_LIMIT:
        return False
    if utc_now() - report.due > START_LIMIT:
        return True
    if silence is None:
        return False
    # The record may be behind: what a run did while the database was away is not in it.
    must_beat = str(run.state) == str(report.phase) or report.is_waiting
    return must_beat or (
        report.phase is RunPhase.RUNNING and utc_now() - report.due > HEARTBEAT_LIMIT
    )


def _close_record(session: Session, run: SyncRun, state: SyncState, detail: str) -> None:
    """End the record, and raise the epoch: whatever is left of the run stores nothing any more.

    Two processes that close the same run take turns at the event's row. The second must not raise
    the epoch again: it may be that of a newer run by then.
    """
    lock_event(session, run.event_id)
    session.refresh(run)
    if run.finished_at is not None:
        return
    raise_epoch(session, run.event_id)
    end_run(session, run.flow_run_id, state, detail=detail)
    session.refresh(run)


def _describe_live_run(run: SyncRun, report: RunReport, orchestrator: Orchestrator) -> SyncView:
    match report.phase:
        case RunPhase.PENDING if report.is_queued:
            waits = anyio.from_thread.run(orchestrator.explain_wait)
            return SyncView(SyncState.PENDING, " ".join(filter(None, [report.said, waits])))
        case RunPhase.PENDING:
            return SyncView(SyncState.PENDING, _STARTING)
        case RunPhase.RETRYING:
            reason = (run.detail or "The last attempt failed").rstrip(".")
            when = f", next try {run.next_try_at:%H:%M} UTC" if run.next_try_at else ""
            return SyncView(SyncState.RETRYING, f"{reason}{when}")
        case _:
            return SyncView(SyncState.RUNNING, None)
