"""Queries for the records of flow runs (`SyncRun`): attempts, heartbeats, counts and ends.

A sync's counts come from the photo rows, so they are exact after any number of retries. A fresh
heartbeat means that the run's process is alive, whatever state Prefect shows.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from psycopg2.errors import LockNotAvailable
from sqlalchemy import Connection, NullPool, case, func, or_, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from models.errors import TooBusyError
from models.keys import build_reembed_prefix
from models.queries.events import lock_event
from models.queries.webhooks import add_deliveries, prepare_delivery
from models.session import build_engine, map_database_errors, open_session
from models.settings import get_settings
from models.tables import Event, Installation, Photo, SyncRun, utc_now
from models.vocabulary import ErrorKind, PhotoStatus, SyncState

REQUEST_LOCK_CLASS = 0x46_52  # "FR": first half of the advisory lock's key
REQUEST_TURN_S = 8  # that a request waits for the one before it, of the same event
HEARTBEAT_INTERVAL_S = 10
# A run without a heartbeat for longer is dead, whatever Prefect still says of it: five beats, so
# that a loaded machine is not called dead, and below the minute in which an operator looks again.
HEARTBEAT_LIMIT = timedelta(seconds=50)
# Under which a re-embedding keeps its work in `tallies`: photos, batches done, photos left out.
REEMBED = "change"


def find_installation() -> UUID:
    """The database's own id, which its runs carry on a Prefect server; read once a process.

    Raises DatabaseUnavailableError and DatabaseOutdatedError.
    """
    return _read_installation(get_settings().database_url)


@lru_cache(maxsize=4)
def _read_installation(_database_url: str | None) -> UUID:
    with open_session() as session:
        return session.exec(select(Installation.id)).one()


def ensure_run(session: Session, *, flow_run_id: UUID, event_id: int, s3_prefix: str) -> SyncRun:
    """A run's record; made here, as not started, unless it is there."""
    fresh = SyncRun(
        flow_run_id=flow_run_id, event_id=event_id, s3_prefix=s3_prefix, state=SyncState.PENDING
    )
    # A run may start before the request that created it has been committed.
    session.execute(insert(SyncRun).values(fresh.model_dump()).on_conflict_do_nothing())
    return session.get_one(SyncRun, flow_run_id, with_for_update=True)


def announce_attempt(
    session: Session, event: Event, *, flow_run_id: UUID, s3_prefix: str
) -> SyncRun:
    """Record that a process is there for the run, before it knows whether the event is free.

    event: locked. An event that was erased gets no more than a record.

    Retrying a finished run from Prefect's UI looks at S3 again; one that failed or crashed goes on
    with the plan it has.
    """
    run = ensure_run(session, flow_run_id=flow_run_id, event_id=event.id or 0, s3_prefix=s3_prefix)
    if event.erased_at is not None:
        return run
    if run.state in {SyncState.COMPLETED, SyncState.SKIPPED}:
        run.planned, run.tallies, run.gone = False, {}, 0
    if run.finished_at is not None:
        run.started_at = run.finished_at = run.result = run.held_by = None
    run.state, run.detail, run.error_kind, run.next_try_at = SyncState.PENDING, None, None, None
    run.heartbeat_at = utc_now()
    session.flush()
    return run


def start_attempt(session: Session, event: Event, flow_run_id: UUID) -> SyncRun:
    """Record that the run has the event and works.

    event: locked. Its epoch is raised, so that every older attempt's store transactions stop.
    """
    event.sync_epoch += 1
    session.add(event)
    run = session.get_one(SyncRun, flow_run_id, with_for_update=True)
    run.state = SyncState.RUNNING
    run.started_at = run.started_at or utc_now()
    session.flush()
    return run


def keep_to_pack(session: Session, run: SyncRun, pack_id: int) -> bool:
    """Note the pack of a sync's attempt; False where the run's plan was made for another one.

    Such a plan is forgotten, and all that was listed waits to be listed again: no run finds its
    photos by two packs.
    """
    if run.pack_id in (None, pack_id):
        run.pack_id = pack_id
        return True
    event = lock_event(session, run.event_id)
    others = [prefix for prefix in run.tallies if prefix != run.s3_prefix]
    event.pending_prefixes = [*event.pending_prefixes, *others]
    run.planned, run.tallies, run.pack_id = False, {}, pack_id
    return False


def raise_epoch(session: Session, event_id: int) -> int:
    """Make every older attempt's store transactions stop; the new epoch."""
    event = lock_event(session, event_id)
    event.sync_epoch += 1
    session.add(event)
    return event.sync_epoch


def find_run(session: Session, flow_run_id: UUID) -> SyncRun | None:
    """A run's record; None where there is none."""
    return session.get(SyncRun, flow_run_id)


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
    prepare_delivery(session, flow_run_id)
    session.execute(
        update(SyncRun)
        .where(col(SyncRun.flow_run_id) == flow_run_id)
        .values(
            state=SyncState.COMPLETED,
            detail=result["message"],
            error_kind=None,
            result=result,
            next_try_at=None,
            finished_at=func.now(),
        )
    )
    add_deliveries(session, [flow_run_id])


def end_run(
    session: Session,
    flow_run_id: UUID,
    state: SyncState,
    *,
    detail: str | None = None,
    error_kind: ErrorKind | None = None,
    held_by: UUID | None = None,
) -> bool:
    """Finish a run's record, once: False when it was finished already."""
    prepare_delivery(session, flow_run_id)
    has_ended = _change_unfinished(
        session,
        flow_run_id,
        state=state,
        detail=detail,
        error_kind=error_kind,
        held_by=held_by,
        next_try_at=None,
        finished_at=func.now(),
    )
    add_deliveries(session, [flow_run_id] if has_ended else [])
    return has_ended


def mark_retrying(
    session: Session,
    flow_run_id: UUID,
    *,
    detail: str,
    error_kind: ErrorKind,
    next_try_at: datetime,
) -> None:
    """Record that an attempt failed and when the next one starts."""
    _change_unfinished(
        session,
        flow_run_id,
        state=SyncState.RETRYING,
        detail=detail,
        error_kind=error_kind,
        next_try_at=next_try_at,
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
    # One that is listed just now waits among them until that listing is kept. What came after it,
    # the second that covers a prefix, has its listing still to come.
    if sum(map(s3_prefix.startswith, event.pending_prefixes)) < 2:
        event.pending_prefixes = [*event.pending_prefixes, s3_prefix]
        session.add(event)
    return True


def merge_requests(prefixes: Sequence[str]) -> list[str]:
    """Requests as a listing finds them: each prefix once, and none that lies in another one."""
    widest: list[str] = []
    for prefix in sorted(set(prefixes)):  # what lies in a prefix comes right behind it
        if not widest or not prefix.startswith(widest[-1]):
            widest.append(prefix)
    return [prefix for prefix in dict.fromkeys(prefixes) if prefix in set(widest)]


def lock_requests(session: Session, event_id: int) -> None:
    """Let one request for an event be answered at a time, until the transaction ends.

    No row is locked: a sync stores on while the request waits for Prefect. Raises TooBusyError
    when the request before takes long.
    """
    session.execute(text(f"SET LOCAL lock_timeout = '{REQUEST_TURN_S}s'"))
    try:
        session.execute(
            text("SELECT pg_advisory_xact_lock(:lock_class, :event_id)"),
            {"lock_class": REQUEST_LOCK_CLASS, "event_id": event_id},
        )
    except OperationalError as error:
        if not isinstance(error.orig, LockNotAvailable):
            raise
        raise TooBusyError(
            "An earlier request for this event still waits for Prefect: try again in a moment."
        ) from error


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


_COUNT_RUN = text("""
SELECT count(*) FILTER (WHERE change = 'new' AND status IN ('indexed', 'no_face')) AS new_photos,
       count(*) FILTER (WHERE change = 'updated' AND status IN ('indexed', 'no_face')) AS updated,
       count(*) FILTER (WHERE status = 'failed') AS failed,
       count(*) FILTER (WHERE status = 'no_face') AS no_face,
       count(*) FILTER (WHERE status = 'erased') AS erased,
       count(*) FILTER (WHERE status = 'pending') AS pending,
       (SELECT count(*) FROM face JOIN photo AS owner ON owner.id = face.photo_id
        WHERE owner.sync_run_id = :run AND face.pack_id = owner.pack_id) AS faces_found
FROM photo WHERE sync_run_id = :run
""")


def count_run(session: Session, run: UUID) -> dict[str, int]:
    """What the ledger says of a run's photos; exact after any number of retries."""
    return dict(session.execute(_COUNT_RUN, {"run": run}).mappings().one())


def count_progress(session: Session, run: SyncRun) -> tuple[int, int]:
    """Photos accounted for and photos found so far; exact, since the ledger itself is counted.

    A change of the event's model keeps count in its record: the ledger shows nothing of it yet.
    """
    if (change := run.tallies.get(REEMBED)) is not None:
        return run.processed, change["photos"]
    query = select(
        func.count(), func.count().filter(col(Photo.status) == PhotoStatus.PENDING)
    ).where(Photo.sync_run_id == run.flow_run_id)
    work, pending = session.exec(query).one()
    resting = sum(tally["skipped"] + tally["resting"] for tally in run.tallies.values())
    total = resting + work
    return total - pending, total


def touch_heartbeat(session: Session, flow_run_id: UUID) -> bool:
    """Say that the run's process lives; False once the run is finished."""
    return _change_unfinished(session, flow_run_id, heartbeat_at=func.now())


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


def is_reembed(run: SyncRun) -> bool:
    """Whether a run re-embeds its event: its prefix is above every sync's."""
    return run.s3_prefix == build_reembed_prefix(run.event_id)


def find_completed(database_url: str, flow_run_ids: Collection[str]) -> set[str]:
    """Those of these runs whose work is done, whatever Prefect knows of it.

    For a caller outside the configured database. Raises DatabaseUnavailableError.
    """
    done = select(SyncRun.flow_run_id).where(
        col(SyncRun.flow_run_id).in_(list(map(UUID, flow_run_ids))),
        SyncRun.state == SyncState.COMPLETED,
    )
    with _connect_to(database_url) as connection:
        return {str(flow_run_id) for flow_run_id in connection.execute(done).scalars()}


def shelve_runs(database_url: str, flow_run_ids: Sequence[UUID], detail: str) -> None:
    """Record that these runs, if unfinished, wait for another process, as before their first one.

    For a caller outside the configured database. A heartbeat of the former process would make the
    next one look dead from its start. Raises DatabaseUnavailableError.
    """
    with _connect_to(database_url) as connection:
        connection.execute(
            update(SyncRun)
            .where(col(SyncRun.flow_run_id).in_(flow_run_ids), col(SyncRun.finished_at).is_(None))
            .values(
                state=SyncState.PENDING,
                detail=detail,
                error_kind=None,
                heartbeat_at=None,
                next_try_at=None,
            )
        )


@contextmanager
def _connect_to(database_url: str) -> Iterator[Connection]:
    """A transaction in a database that the settings do not name."""
    settings = get_settings().model_copy(update={"database_url": database_url})
    engine = build_engine(settings.require_database_url(), poolclass=NullPool)
    with map_database_errors(), engine.begin() as connection:
        yield connection


def _change_unfinished(session: Session, flow_run_id: UUID, **values: object) -> bool:
    changed = session.execute(
        update(SyncRun)
        .where(col(SyncRun.flow_run_id) == flow_run_id, col(SyncRun.finished_at).is_(None))
        .values(**values)
    )
    return bool(changed.rowcount)  # type: ignore[attr-defined]  # a cursor's, which SQLModel hides
