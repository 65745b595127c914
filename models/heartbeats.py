"""Heartbeats: how a run's process is known to live, whatever Prefect says of it."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import case, func, or_, update
from sqlmodel import Session, col, select

from models.tables import SyncRun, SyncState

HEARTBEAT_INTERVAL_S = 10
# A run without a heartbeat for longer is dead, whatever Prefect still says of it: five beats, so
# that a loaded machine is not called dead, and below the minute in which an operator looks again.
HEARTBEAT_LIMIT = timedelta(seconds=50)


def touch_heartbeat(session: Session, flow_run_id: UUID) -> bool:
    """Say that the run's process lives; False once the run is finished."""
    changed = session.execute(
        update(SyncRun)
        .where(col(SyncRun.flow_run_id) == flow_run_id, col(SyncRun.finished_at).is_(None))
        .values(heartbeat_at=func.now())
    )
    return bool(changed.rowcount)  # type: ignore[attr-defined]


def measure_silence(session: Session, flow_run_id: UUID) -> timedelta | None:
    """How long a run's process has given no sign of life; None before its first.

    By the database's clock, and from its start at the earliest: while it was down nobody could
    leave a sign, and none of those runs is dead for that.
    """
    since = func.greatest(col(SyncRun.heartbeat_at), func.pg_postmaster_start_time())
    silence = func.clock_timestamp() - since
    query = select(case((col(SyncRun.heartbeat_at).is_not(None), silence))).where(
        SyncRun.flow_run_id == flow_run_id
    )
    answer: timedelta | None = session.exec(query).one()
    return answer


def list_silent_runs(session: Session, limit: int) -> list[UUID]:
    """Unfinished runs without a fresh heartbeat; those that had one come first.

    The others wait for a worker, most of them; which come first is left to chance, so that a long
    queue hides none for ever.
    """
    beat = col(SyncRun.heartbeat_at)
    silent = or_(beat.is_(None), beat < func.now() - HEARTBEAT_LIMIT)
    query = select(SyncRun.flow_run_id).where(col(SyncRun.finished_at).is_(None), silent)
    return list(session.exec(query.order_by(beat.nulls_last(), func.random()).limit(limit)))


def read_ends(session: Session, flow_run_ids: Sequence[UUID]) -> dict[UUID, SyncState | None]:
    """How each of these runs ended, by its record; None: too recently to tell, or not yet.

    Runs without a record are left out.
    """
    long_ago = func.now() - col(SyncRun.finished_at) > HEARTBEAT_LIMIT
    query = select(SyncRun.flow_run_id, case((long_ago, col(SyncRun.state)))).where(
        col(SyncRun.flow_run_id).in_(flow_run_ids)
    )
    return {flow_run_id: state and SyncState(state) for flow_run_id, state in session.exec(query)}
