"""The hold on an event: only one run works on it at a time, and how the run ends is recorded.

An advisory lock keeps two runs apart. Each attempt raises the event's epoch (a fencing token), so
an older attempt can store nothing more; a heartbeat shows that the run's process is alive.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import PrefectException
from prefect.logging.handlers import PrefectConsoleHandler
from prefect.runtime import flow_run
from prefect.states import Crashed
from rich.console import Console
from sqlmodel import Session

from models.errors import (
    EVENT_DELETED,
    ConfigurationError,
    DatabaseUnavailableError,
    EventErasedError,
    EventNotFoundError,
    FacePassError,
    SyncIncompleteError,
    SyncSkippedError,
)
from models.keys import build_reembed_prefix, check_prefix
from models.packs import PackChoice, choose_pack
from models.queries.events import lock_event, read_event
from models.queries.packs import list_pack_ids, register_pack
from models.queries.runs import (
    HEARTBEAT_INTERVAL_S,
    HEARTBEAT_LIMIT,
    announce_attempt,
    end_run,
    find_active_run,
    keep_to_pack,
    mark_retrying,
    measure_silence,
    remember_prefix,
    start_attempt,
    touch_heartbeat,
)
from models.session import EventLock, open_event_lock, open_session
from models.settings import get_settings
from models.tables import Event, SyncRun, utc_now
from models.vocabulary import ErrorKind, ProfileName, SyncState
from tasks.packs.registry import describe_pack, resolve_pack
from tasks.sync.artifacts import publish_failure, start_progress
from tasks.sync.context import ListingRequest, SyncContext
from tasks.sync.plan import find_request
from tasks.sync.runner import read_common_settings
from tasks.sync.states import SYNC_RETRIES, find_end

logger = logging.getLogger(__name__)

NOT_RECORDED = "The run's end could not be recorded: the database takes nothing now."
TAKEN_OVER = "The process of this sync died; a newer sync has taken the event over."
LOCK_TRIES, LOCK_PAUSE_S = 60, 1.0
# A lock that no living run answers for is taken from its holder after so many tries: a run that
# has ended holds it for a moment, a process that stands still for ever.
PATIENCE = 20
# What a transaction raises that the database does not take: it is away, or lets nobody in.
NOT_TAKEN = (DatabaseUnavailableError, ConfigurationError)


@dataclass(frozen=True)
class Claimant:
    """A run that wants an event: for a sync of `s3_prefix`, or to re-embed its photos."""

    flow_run_id: UUID
    event_id: int
    s3_prefix: str
    reembeds: bool = False
    model_pack: str | None = None  # of a re-embedding; None: as it is
    profile: ProfileName | None = None  # the same

    @property
    def work(self) -> str:
        """The run's work, in a sentence."""
        return "change of model" if self.reembeds else "sync"


@dataclass(frozen=True)
class Claim:
    """An event that a run has just got, as its row and the run's record were then."""

    event_name: str
    folder: str
    s3_prefix: str
    epoch: int
    choice: PackChoice
    request: ListingRequest


def hold_event(event_id: int, s3_prefix: str) -> AbstractContextManager[SyncContext]:
    """Hold the event for a sync while the block runs, and record how it ends.

    Raises SyncSkippedError where another run has the event, with which the request is left, and
    where the event's faces were erased. What the block raises is recorded and raised again.
    """
    return _hold(Claimant(_read_run_id(), event_id, s3_prefix))


def hold_event_to_reembed(
    event_id: int, model_pack: str | None, profile: str | None
) -> AbstractContextManager[SyncContext]:
    """Hold the event as a sync does, to find its faces by another pack or profile from now on.

    Syncs that are asked for meanwhile wait until it is over. Raises as `hold_event` does.
    """
    return _hold(
        Claimant(
            _read_run_id(),
            event_id,
            build_reembed_prefix(event_id),
            reembeds=True,
            model_pack=model_pack,
            profile=ProfileName(profile) if profile else None,
        )
    )


def _read_run_id() -> UUID:
    return UUID(str(flow_run.get_id()))


@contextmanager
def _hold(claimant: Claimant) -> Iterator[SyncContext]:
    outlive_worker()
    # The lock is let go of last: nobody may find the event free and the run's end not recorded.
    with ExitStack() as held, _record_end(claimant):
        try:
            lock = held.enter_context(open_event_lock(claimant.event_id))
            sync = _begin(claimant, claim_event(lock, claimant))
        except EventErasedError as error:
            raise SyncSkippedError(str(error)) from error
        try:
            yield sync
        except Exception as error:
            if _is_deleted(claimant.event_id):  # whatever it stumbled over first
                raise EventErasedError(EVENT_DELETED) from error
            raise


def _is_deleted(event_id: int) -> bool:
    try:
        with open_session() as session:
            read_event(session, event_id)
    except EventNotFoundError:
        return True
    except NOT_TAKEN:
        return False
    return False


def _begin(claimant: Claimant, claim: Claim) -> SyncContext:
    pack = resolve_pack(get_settings(), claim.choice.model_pack, claim.choice.det_size)
    get_run_logger().info(describe_pack(pack))
    request = claim.request
    with open_session() as session:
        pack_id = register_pack(session, pack.identity, pack.licence)
        pack_ids = list_pack_ids(session, [pack.identity, pack.former_identity])
        if not claimant.reembeds:
            run = session.get_one(SyncRun, claimant.flow_run_id)
            if not keep_to_pack(session, run, pack_id):
                get_run_logger().info("The event's model was changed: all is listed anew")
                request = find_request(run, lock_event(session, claimant.event_id))
    if flow_run.get_run_count() > 1:
        end_stale_task_runs(claimant.flow_run_id)
    return SyncContext(
        flow_run_id=claimant.flow_run_id,
        event_id=claimant.event_id,
        event_name=claim.event_name,
        s3_prefix=claim.s3_prefix,
        epoch=claim.epoch,
        pack_id=pack_id,
        pack=pack.identity,
        folder=claim.folder,
        choice=claim.choice,
        pack_ids=pack_ids,
        request=request,
        progress_id=start_progress(claim.event_name),
        common_settings=read_common_settings(),
    )


# --- the lock ---


def claim_event(lock: EventLock, claimant: Claimant) -> Claim:
    """Take the event, in one transaction where it is free; else wait for it up to a minute.

    A run that has finished its work holds the lock a moment longer: that moment is waited for,
    since its listing may be older than this request. Raises SyncSkippedError for an event that
    another run keeps, EventErasedError, and SyncIncompleteError for a lock that nobody frees.
    """
    for attempt in range(LOCK_TRIES):
        with open_session() as session:
            answer = _try_to_claim(session, lock, claimant, attempt)
        if attempt == 0:
            # From here on somebody answers for this run, however long it waits.
            start_heartbeat(claimant.flow_run_id)
        if isinstance(answer, Claim):
            return answer
        if answer is not None:
            raise answer
        time.sleep(LOCK_PAUSE_S)
    raise SyncIncompleteError(f"Event {claimant.event_id} is held by a run that does not end.")


def _try_to_claim(
    session: Session, lock: EventLock, claimant: Claimant, attempt: int
) -> Claim | FacePassError | None:
    """The claim; the error to raise once this transaction is kept; None: the event is held."""
    event = lock_event(session, claimant.event_id)
    if not claimant.reembeds:
        s3_prefix = check_prefix(claimant.s3_prefix, event.folder)
        claimant = replace(claimant, s3_prefix=s3_prefix)
    if attempt == 0:
        announce_attempt(
            session, event, flow_run_id=claimant.flow_run_id, s3_prefix=claimant.s3_prefix
        )
    if event.erased_at is not None:
        return EventErasedError()
    locked = lock.try_take()
    rival = find_active_run(session, claimant.event_id, but=claimant.flow_run_id)
    is_held = rival is not None and _is_alive(session, rival, locked=locked)
    if claimant.reembeds:
        # Nothing is left with the rival: what wants the event for itself is no request for a
        # listing. One that has no lock waits for its next attempt, which needs it.
        if rival is not None and (attempt == LOCK_TRIES - 1 or (locked and is_held)):
            return _build_skip(claimant, rival)
    elif rival is not None and is_held:
        if remember_prefix(session, rival.flow_run_id, claimant.event_id, claimant.s3_prefix):
            return _build_skip(claimant, rival)
        is_held = False  # it has just ended
    if locked:
        return _take_over(session, event, claimant, rival)
    if attempt == PATIENCE and not (claimant.reembeds and is_held):
        lock.take_from_holder()
    return None


def _build_skip(claimant: Claimant, rival: SyncRun) -> SyncSkippedError:
    advice = "start this again when that has ended" if claimant.reembeds else "which does this too"
    return SyncSkippedError(
        f"Event {claimant.event_id} is being synced by run {rival.flow_run_id}: {advice}.",
        held_by=rival.flow_run_id,
    )


def _is_alive(session: Session, rival: SyncRun, *, locked: bool) -> bool:
    """Whether another unfinished run has the event.

    A running one holds the lock. One that waits for its next attempt does not, but its process
    beats; were it dead, the event would be free.
    """
    if rival.state == SyncState.RUNNING:
        return not locked
    silence = measure_silence(session, rival.flow_run_id)
    fresh = silence is not None and silence < HEARTBEAT_LIMIT
    return rival.state == SyncState.RETRYING and fresh


def _take_over(session: Session, event: Event, claimant: Claimant, rival: SyncRun | None) -> Claim:
    """Begin the attempt; a run that died with the event in its hands is recorded as crashed."""
    if rival is not None and rival.state != SyncState.PENDING:
        end_run(session, rival.flow_run_id, SyncState.CRASHED, detail=TAKEN_OVER)
    run = start_attempt(session, event, claimant.flow_run_id)
    return Claim(
        event_name=event.name,
        folder=event.folder,
        s3_prefix=claimant.s3_prefix,
        epoch=event.sync_epoch,
        choice=choose_pack(event, claimant.model_pack, claimant.profile),
        request=ListingRequest(None) if claimant.reembeds else find_request(run, event),
    )


# --- the end ---


@contextmanager
def _record_end(claimant: Claimant) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        end = find_end(error)
        if end is None:
            _record_failure(claimant, error)
        else:
            _record_for_good(claimant, end, error)
        raise
    stop_heartbeat(claimant.flow_run_id)


def _record_for_good(claimant: Claimant, end: SyncState, error: Exception) -> None:
    """Record the end of a run that no later attempt heals; an erasure has done so already."""
    is_failed = end is SyncState.FAILED
    try:
        with open_session() as session:
            end_run(
                session,
                claimant.flow_run_id,
                end,
                detail=str(error),
                error_kind=_read_kind(error) if is_failed else None,
                held_by=error.held_by if isinstance(error, SyncSkippedError) else None,
            )
    except ConfigurationError:  # an outage is raised: another attempt may record this end
        get_run_logger().warning(NOT_RECORDED)
    if is_failed:
        publish_failure(claimant.event_id, str(error), claimant.work)
    stop_heartbeat(claimant.flow_run_id)


def _record_failure(claimant: Claimant, error: Exception) -> None:
    """Record that an attempt failed: when the next one comes, or that it was the last."""
    # A foreign error's text may hold anything; its kind is enough, Prefect's log has the rest.
    known = isinstance(error, FacePassError)
    sentence = str(error) if known else f"Unexpected {type(error).__name__}; the log says more."
    is_last = flow_run.get_run_count() > SYNC_RETRIES
    try:
        with open_session() as session:
            if is_last:
                end_run(
                    session,
                    claimant.flow_run_id,
                    SyncState.FAILED,
                    detail=sentence,
                    error_kind=_read_kind(error),
                )
                publish_failure(claimant.event_id, sentence, claimant.work)
            else:
                mark_retrying(
                    session,
                    claimant.flow_run_id,
                    detail=sentence,
                    error_kind=_read_kind(error),
                    next_try_at=utc_now() + timedelta(seconds=get_settings().retry_delay_s),
                )
    except NOT_TAKEN:
        get_run_logger().warning(NOT_RECORDED)
    if is_last:
        stop_heartbeat(claimant.flow_run_id)


def _read_kind(error: Exception) -> ErrorKind:
    return error.kind if isinstance(error, FacePassError) else ErrorKind.OTHER


# --- the heartbeat ---


class Heartbeat(threading.Thread):
    """Touches a run's record until the run is finished; dies with the process."""

    def __init__(self, flow_run_id: UUID, interval_s: float) -> None:
        super().__init__(name=f"heartbeat-{flow_run_id}", daemon=True)
        self.flow_run_id = flow_run_id
        self.over = threading.Event()
        self._interval_s = interval_s

    def run(self) -> None:
        """Wait, touch, and again; a finished record ends it."""
        while not self.over.wait(self._interval_s) and _touch(self.flow_run_id):
            pass


def start_heartbeat(flow_run_id: UUID, interval_s: float = HEARTBEAT_INTERVAL_S) -> None:
    """Begin a run's heartbeat; attempts of one run in one process share that of the first."""
    if not _find_heartbeats(flow_run_id):
        Heartbeat(flow_run_id, interval_s).start()


def stop_heartbeat(flow_run_id: UUID) -> None:
    """End a run's heartbeat now rather than at its next beat."""
    for heartbeat in _find_heartbeats(flow_run_id):
        heartbeat.over.set()


def _find_heartbeats(flow_run_id: UUID) -> list[Heartbeat]:
    return [
        thread
        for thread in threading.enumerate()
        if isinstance(thread, Heartbeat)
        and thread.flow_run_id == flow_run_id
        and not thread.over.is_set()
    ]


def _touch(flow_run_id: UUID) -> bool:
    try:
        with open_session() as session:
            return touch_heartbeat(session, flow_run_id)
    except NOT_TAKEN:
        logger.warning("The heartbeat of run %s could not be recorded; going on.", flow_run_id)
        return True


# --- what an earlier attempt, or a dead worker, left ---


def end_stale_task_runs(flow_run_id: UUID) -> None:
    """Mark task runs that an earlier attempt of this run left unfinished as crashed.

    For the beginning of an attempt, before it has task runs of its own: Prefect's UI would show
    the old ones running for ever. Only people read these states: a sync goes on when they cannot
    be written.
    """
    unfinished = TaskRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING])
    try:
        with get_client(sync_client=True) as client:
            stale = client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])),
                task_run_filter=TaskRunFilter(state=TaskRunFilterState(type=unfinished)),
            )
            crashed: State[Any] = Crashed(
                message="The process died with this; the next attempt does it again."
            )
            for task_run in stale:
                client.set_task_run_state(task_run.id, crashed, force=True)
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("A dead attempt's tasks could not be ended: %s", type(error).__name__)


def outlive_worker() -> None:
    """Have this process log to nobody, rather than end, once nobody reads its console.

    A flow run's process writes to a pipe that its worker reads. Once the worker has been killed,
    Rich, through which Prefect logs, ends the process at the next line: a sync that could go on
    would die of its own log. Prefect's server has the lines anyway.
    """
    loggers = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
    for each in loggers:
        for handler in getattr(each, "handlers", ()):
            if isinstance(handler, PrefectConsoleHandler):
                keep_alive(handler.console)


def keep_alive(console: Console) -> None:
    """Replace what Rich does for a pipe that nobody reads: it raises SystemExit."""
    console.on_broken_pipe = partial(_fall_silent, console)  # type: ignore[method-assign]  # Rich has no other way


def _fall_silent(console: Console) -> None:
    console.quiet = True
