"""Records of syncs: one `SyncRun` a flow run, and how one ends for good."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from models.events import lock_event
from models.tables import Event, SyncRun, SyncState, utc_now
from models.webhooks import add_notices, prepare_notice

REQUEST_LOCK_CLASS = 0x46_52  # "FR": first half of the advisory lock's key


def ensure_run(session: Session, *, flow_run_id: UUID, event_id: int, s3_prefix: str) -> SyncRun:
    """A run's record; made here, as not started, unless it is there."""
    fresh = SyncRun(
        flow_run_id=flow_run_id, event_id=event_id, s3_prefix=s3_prefix, state=SyncState.PENDING
    )
    # A run may start before the request that created it has been committed.
    session.execute(insert(SyncRun).values(fresh.model_dump()).on_conflict_do_nothing())
    return session.get_one(SyncRun, flow_run_id, with_for_update=True)


def announce_attempt(session: Session, *, flow_run_id: UUID, event_id: int, s3_prefix: str) -> bool:
    """Record that a process is there for the run, before it knows whether the event is free.

    False, and no more than a record, for an event that was erased.

    Retrying a finished run from Prefect's UI looks at S3 again; one that failed or crashed goes on
    with the plan it has.
    """
    event = lock_event(session, event_id)
    run = ensure_run(session, flow_run_id=flow_run_id, event_id=event_id, s3_prefix=s3_prefix)
    if event.erased_at is not None:
        return False
    if run.state in {SyncState.COMPLETED, SyncState.SKIPPED}:
        run.planned, run.tallies, run.gone = False, {}, 0
    if run.finished_at is not None:
        run.started_at = run.finished_at = run.result = run.held_by = None
    run.state, run.detail, run.next_try_at = SyncState.PENDING, None, None
    run.heartbeat_at = utc_now()
    session.flush()
    return True


def start_attempt(session: Session, flow_run_id: UUID) -> None:
    """Record that the run has the event and works."""
    run = session.get_one(SyncRun, flow_run_id, with_for_update=True)
    run.state = SyncState.RUNNING
    run.started_at = run.started_at or utc_now()
    session.flush()


def raise_epoch(session: Session, event_id: int) -> int:
    """Make every older attempt's store transactions stop; returns the new epoch."""
    event = lock_event(session, event_id)
    event.sync_epoch += 1
    session.add(event)
    return event.sync_epoch


def find_active_run(session: Session, event_id: int, *, but: UUID | None = None) -> SyncRun | None:
    """The event's unfinished run, other than `but`: one that has begun, or else the newest."""
    has_begun = col(SyncRun.state).in_((SyncState.RUNNING, SyncState.RETRYING))
    query = select(SyncRun).where(
        SyncRun.event_id == event_id,
        col(SyncRun.finished_at).is_(None),
        SyncRun.flow_run_id != but,
    )
    order = (has_begun.desc(), col(SyncRun.created_at).desc())
    return session.exec(query.order_by(*order).limit(1)).first()


def find_last_run(session: Session, event_id: int) -> SyncRun | None:
    """The event's newest run."""
    query = select(SyncRun).where(SyncRun.event_id == event_id)
    return session.exec(query.order_by(col(SyncRun.created_at).desc()).limit(1)).first()


def complete_run(session: Session, flow_run_id: UUID, result: dict[str, Any]) -> None:
    """Finish a run's record with its result; also one that was taken for dead meanwhile."""
    prepare_notice(session, flow_run_id)
    session.execute(
        update(SyncRun)
        .where(col(SyncRun.flow_run_id) == flow_run_id)
        .values(
            state=SyncState.COMPLETED,
            detail=result["message"],
            result=result,
            next_try_at=None,
            finished_at=func.now(),
        )
    )
    add_notices(session, [flow_run_id])


def end_run(
    session: Session,
    flow_run_id: UUID,
    state: SyncState,
    *,
    detail: str | None = None,
    held_by: UUID | None = None,
) -> bool:
    """Finish a run's record, once: False when it was finished already."""
    prepare_notice(session, flow_run_id)
    changed = session.execute(
        update(SyncRun)
        .where(col(SyncRun.flow_run_id) == flow_run_id, col(SyncRun.finished_at).is_(None))
        .values(
            state=state,
            detail=detail,
            held_by=held_by,
            next_try_at=None,
            finished_at=func.now(),
        )
    )
    has_ended = bool(changed.rowcount)  # type: ignore[attr-defined]
    add_notices(session, [flow_run_id] if has_ended else [])
    return has_ended


def mark_retrying(
    session: Session, flow_run_id: UUID, *, detail: str, next_try_at: datetime
) -> None:
    """Record that an attempt failed and when the next one starts."""
    session.execute(
        update(SyncRun)
        .where(col(SyncRun.flow_run_id) == flow_run_id, col(SyncRun.finished_at).is_(None))
        .values(state=SyncState.RETRYING, detail=detail, next_try_at=next_try_at)
    )


def remember_prefix(session: Session, flow_run_id: UUID, event_id: int, s3_prefix: str) -> bool:
    """Leave a request with the run under way; False when it has just ended.

    The event's row is locked first, then the run is read anew: a run that is ending holds the
    same lock while it looks for requests, so none falls between the two.
    """
    event = lock_event(session, event_id)
    finished = session.exec(
        select(SyncRun.finished_at).where(SyncRun.flow_run_id == flow_run_id)
    ).one()
    if finished is not None:
        return False
    event.pending_prefixes = [*event.pending_prefixes, s3_prefix]
    session.add(event)
    return True


def lock_requests(session: Session, event_id: int) -> None:
    """Let one request for an event be answered at a time, until the transaction ends."""
    session.execute(
        text("SELECT pg_advisory_xact_lock(:lock_class, :event_id)"),
        {"lock_class": REQUEST_LOCK_CLASS, "event_id": event_id},
    )


def drop_requests(session: Session, event: Event, seen: list[str], s3_prefix: str) -> None:
    """Forget the requests that a listing of `s3_prefix` has answered.

    `seen` is what waited before the listing began; what came later waits for another one.
    """
    event.pending_prefixes = [
        prefix
        for position, prefix in enumerate(event.pending_prefixes)
        if position >= len(seen) or not prefix.startswith(s3_prefix)
    ]
    session.add(event)
