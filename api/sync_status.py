"""A sync's state: its own record, corrected by what Prefect knows of the process behind it."""

from dataclasses import dataclass

import anyio.from_thread
from sqlmodel import Session

from deployments.orchestrator import Orchestrator, RunPhase, RunReport
from models.runs import HEARTBEAT_LIMIT, end_run
from models.tables import SyncRun, SyncState, utc_now

_LOST = "The process of this sync died without a word; start the sync again."
_UNKNOWN = "Prefect no longer knows this run; start the sync again."
_ENDED = {
    RunPhase.COMPLETED: (SyncState.CRASHED, "The run ended without a result; start it again."),
    RunPhase.FAILED: (SyncState.FAILED, "The sync failed; Prefect's log of the run says why."),
    RunPhase.CRASHED: (SyncState.CRASHED, "The worker died during the sync; start it again."),
    RunPhase.CANCELLED: (SyncState.CANCELLED, "Cancelled in Prefect; start the sync again."),
}


@dataclass(frozen=True)
class SyncView:
    """A sync's state and what to say of it."""

    state: SyncState
    detail: str | None


def settle_run(session: Session, run: SyncRun, orchestrator: Orchestrator) -> SyncView:
    """The truth about a sync; a record whose process is gone is closed on the way.

    Raises OrchestratorUnavailableError when the record alone cannot tell.
    """
    if run.finished_at is not None:
        return SyncView(run.state, run.detail)
    report = anyio.from_thread.run(orchestrator.read_run, run.flow_run_id)
    # The flow may have ended between the two looks: its record has the last word.
    session.refresh(run)
    if run.finished_at is not None:
        return SyncView(run.state, run.detail)
    if report is None:
        return _close_run(session, run, SyncState.CRASHED, _UNKNOWN)
    if report.phase in _ENDED:
        state, detail = _ENDED[report.phase]
        return _close_run(session, run, state, run.detail or detail)
    if _is_lost(run, report):
        anyio.from_thread.run(orchestrator.crash_run, run.flow_run_id, _LOST)
        return _close_run(session, run, SyncState.CRASHED, _LOST)
    return _describe_live_run(run, report, orchestrator)


def _is_lost(run: SyncRun, report: RunReport) -> bool:
    """Whether a run that Prefect calls alive has stopped giving signs of life.

    A run that was retried by hand waits for a worker, and has no process to beat for it yet.
    """
    by_hand = report.phase is RunPhase.RETRYING and run.state != SyncState.RETRYING
    if run.heartbeat_at is None or report.phase is RunPhase.PENDING or by_hand:
        return False
    return utc_now() - run.heartbeat_at > HEARTBEAT_LIMIT


def _close_run(session: Session, run: SyncRun, state: SyncState, detail: str) -> SyncView:
    end_run(session, run.flow_run_id, state, detail=detail)
    session.refresh(run)
    return SyncView(run.state, run.detail)


def _describe_live_run(run: SyncRun, report: RunReport, orchestrator: Orchestrator) -> SyncView:
    match report.phase:
        case RunPhase.PENDING:
            return SyncView(SyncState.PENDING, anyio.from_thread.run(orchestrator.explain_wait))
        case RunPhase.RETRYING:
            reason = (run.detail or "The last attempt failed").rstrip(".")
            when = f", next try {run.next_try_at:%H:%M} UTC" if run.next_try_at else ""
            return SyncView(SyncState.RETRYING, f"{reason}{when}")
        case _:
            return SyncView(SyncState.RUNNING, None)
