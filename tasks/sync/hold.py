"""Holding an event for a sync, or for a change of its model: who may, and how it ends.

The advisory lock keeps two syncs of an event apart; the epoch, raised by every attempt, keeps an
attempt that only seems dead from storing anything after a newer one has begun.

A run's log lines on its worker's console, when the worker is no longer there.

A flow run's process writes to a pipe that its worker reads. Once the worker has been killed, Rich,
through which Prefect logs, ends the process at the next line: a sync that could go on would die
of its own log. Prefect's server has the lines anyway.

A run's heartbeat: says that its process lives, also while it waits for its next attempt.

Task runs that a dead attempt left in Prefect: its UI would show them running for ever.

Whose turn it is: one sync an event, and no request lost between two of them.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
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
from prefect.client.schemas.objects import StateType
from prefect.exceptions import PrefectException
from prefect.logging.handlers import PrefectConsoleHandler
from prefect.runtime import flow_run
from prefect.states import Crashed
from rich.console import Console
from sqlmodel import Session

from models.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    EventErasedError,
    EventNotFoundError,
    FacePassError,
    InvalidPrefixError,
    S3AccessError,
    SyncIncompleteError,
    SyncSupersededError,
)
from models.keys import check_prefix, event_folder
from models.packs import PackChoice
from models.queries.events import read_event
from models.queries.outcomes import check_epoch
from models.queries.packs import register_pack
from models.queries.runs import (
    HEARTBEAT_INTERVAL_S,
    HEARTBEAT_LIMIT,
    announce_attempt,
    end_run,
    find_active_run,
    mark_retrying,
    measure_silence,
    raise_epoch,
    remember_prefix,
    start_attempt,
    touch_heartbeat,
)
from models.session import EventLock, open_event_lock, open_session
from models.settings import get_settings
from models.tables import SyncRun, utc_now
from models.vocabulary import ProfileName, SyncState
from tasks.packs.registry import ModelPack, describe_pack, resolve_pack
from tasks.sync.artifacts import publish_failure, start_progress
from tasks.sync.context import HeldSync, PackChange, Ticket, read_common_settings


def outlive_worker() -> None:
    """Have this process log to nobody, rather than end, once nobody reads its console."""
    loggers = [logging.getLogger(), *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, PrefectConsoleHandler):
                keep_alive(handler.console)


def keep_alive(console: Console) -> None:
    """Replace what Rich does for a pipe that nobody reads: it raises SystemExit."""
    console.on_broken_pipe = partial(_fall_silent, console)  # type: ignore[method-assign]


def _fall_silent(console: Console) -> None:
    console.quiet = True


logger = logging.getLogger(__name__)


class Heartbeat(threading.Thread):
    """Touches a run's record until the run is finished; dies with the process."""

    def __init__(self, flow_run_id: UUID, interval_s: float) -> None:
        super().__init__(name=f"heartbeat-{flow_run_id}", daemon=True)
        self.flow_run_id = flow_run_id
        self.over = threading.Event()
        self._interval_s = interval_s

    def run(self) -> None:
        """Touch, wait, and again; a finished record ends it."""
        while not self.over.is_set() and _touch(self.flow_run_id):
            self.over.wait(self._interval_s)


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
    except DatabaseUnavailableError:
        logger.warning("The heartbeat of run %s could not be recorded; going on.", flow_run_id)
        return True


UNFINISHED = [StateType.PENDING, StateType.RUNNING]
MESSAGE = "The process died with this; the next attempt does it again."


def end_lost_tasks(flow_run_id: UUID) -> None:
    """Mark what an earlier attempt of this run left unfinished as crashed.

    For the beginning of an attempt, before it has task runs of its own. Only people read these
    states: a sync goes on when they cannot be written.
    """
    try:
        with get_client(sync_client=True) as client:
            lost = client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])),
                task_run_filter=TaskRunFilter(
                    state=TaskRunFilterState(type=TaskRunFilterStateType(any_=UNFINISHED))
                ),
            )
            for task_run in lost:
                client.set_task_run_state(task_run.id, Crashed(message=MESSAGE), force=True)
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("A dead attempt's tasks could not be ended: %s", type(error).__name__)


LOCK_TRIES, LOCK_PAUSE_S = 60, 1.0
# A lock that no living run answers for is taken from its holder after so many tries: a run that
# has ended holds it for a moment, a process that stands still for ever.
PATIENCE = 20


def wait_for_turn(lock: EventLock, flow_run_id: UUID, event_id: int, s3_prefix: str) -> UUID | None:
    """Take the event's lock, or leave the request with the run that has the event; its id then.

    A run that has finished its work holds the lock a moment longer: that moment is waited for,
    since its listing may be older than this request.
    """
    for attempt in range(LOCK_TRIES):
        locked = lock.try_take()
        with open_session() as session:
            rival = find_active_run(session, event_id, but=flow_run_id)
            if (
                rival is not None
                and _is_alive(session, rival, locked=locked)
                and remember_prefix(session, rival.flow_run_id, event_id, s3_prefix)
            ):
                return rival.flow_run_id
        if locked:
            return None
        if attempt == PATIENCE:
            lock.take_from_holder()
        time.sleep(LOCK_PAUSE_S)
    raise SyncIncompleteError(f"Event {event_id} is held by a run that does not end.")


def wait_until_free(lock: EventLock, flow_run_id: UUID, event_id: int) -> UUID | None:
    """Take the event's lock, or tell which run keeps the event for longer than a minute.

    Nothing is left with that run: what wants the event for itself is no request for a listing.
    """
    for attempt in range(LOCK_TRIES):
        locked = lock.try_take()
        with open_session() as session:
            rival = find_active_run(session, event_id, but=flow_run_id)
            has_rival = rival is not None and _is_alive(session, rival, locked=locked)
        if locked and not has_rival:
            return None
        if locked:
            break  # it waits for its next attempt, which needs the lock
        if attempt == PATIENCE and not has_rival:
            lock.take_from_holder()
        time.sleep(LOCK_PAUSE_S)
    if rival is None:
        raise SyncIncompleteError(f"Event {event_id} is held by a run that does not end.")
    return rival.flow_run_id


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


SYNC_RETRIES = 3
TAKEN_OVER = "The process of this sync died; a newer sync has taken the event over."
# What no later attempt heals: retrying would burn fifteen minutes to say the same.
FINAL_ERRORS = (ConfigurationError, EventNotFoundError, InvalidPrefixError, S3AccessError)


@contextmanager
def hold_event(event_id: int, s3_prefix: str) -> Iterator[HeldSync]:
    """Hold the event while the block runs, if nobody else does, and record how it ends.

    Errors that no retry heals end the sync quietly as failed; others are recorded and raised, so
    that Prefect tries again.
    """
    with _hold(HeldSync(_read_run_id(), event_id, s3_prefix)) as sync:
        yield sync


@contextmanager
def hold_for_change(
    event_id: int, model_pack: str | None, profile: str | None
) -> Iterator[HeldSync]:
    """Hold the event as a sync does, to find its faces by another pack or profile from now on.

    Syncs that are asked for meanwhile wait until it is over.
    """
    change = PackChange(model_pack, ProfileName(profile) if profile else None)
    # No sync has this prefix, which is above every previews' folder.
    prefix = event_folder(event_id)
    with _hold(HeldSync(_read_run_id(), event_id, prefix, change=change)) as sync:
        yield sync


def _read_run_id() -> UUID:
    return UUID(str(flow_run.get_id()))


@contextmanager
def _hold(sync: HeldSync) -> Iterator[HeldSync]:
    outlive_worker()
    with ExitStack() as stack:
        with _record_errors(sync):
            _begin(sync, stack)
        with _record_errors(sync):
            yield sync
        if sync.over:
            stop_heartbeat(sync.flow_run_id)


def _begin(sync: HeldSync, stack: ExitStack) -> None:
    prefix = sync.s3_prefix if sync.change else check_prefix(sync.s3_prefix, sync.event_id)
    with open_session() as session:
        name = read_event(session, sync.event_id).name
        is_wanted = announce_attempt(
            session, flow_run_id=sync.flow_run_id, event_id=sync.event_id, s3_prefix=prefix
        )
    if not is_wanted:
        raise EventErasedError
    # From here on somebody answers for this run, however long the pack takes to arrive.
    start_heartbeat(sync.flow_run_id)
    _find_pack(sync)
    if not _take_turn(sync, stack.enter_context(open_event_lock(sync.event_id)), prefix):
        return
    # Again: its model may have been changed until now.
    choice, pack = _find_pack(sync)
    get_run_logger().info(describe_pack(pack))
    epoch, pack_id = _take_over(sync, pack)
    if flow_run.get_run_count() > 1:
        end_lost_tasks(sync.flow_run_id)
    sync.ticket_or_none = Ticket(
        flow_run_id=sync.flow_run_id,
        event_id=sync.event_id,
        event_name=name,
        s3_prefix=prefix,
        epoch=epoch,
        pack_id=pack_id,
        pack=pack.identity,
        choice=choice,
        progress_id=start_progress(name),
        common_settings=read_common_settings(),
    )


def _find_pack(sync: HeldSync) -> tuple[PackChoice, ModelPack]:
    with open_session() as session:
        choice = sync.choose_pack(read_event(session, sync.event_id))
    return choice, resolve_pack(get_settings(), choice.model_pack, choice.det_size)


def _take_turn(sync: HeldSync, lock: EventLock, prefix: str) -> bool:
    """Whether the event is this run's; if not, the run has ended as skipped."""
    if sync.change:
        holder = wait_until_free(lock, sync.flow_run_id, sync.event_id)
        advice = "start this again when that has ended"
    else:
        holder = wait_for_turn(lock, sync.flow_run_id, sync.event_id, prefix)
        advice = "which does this too"
    if holder is not None:
        message = f"Event {sync.event_id} is being synced by run {holder}: {advice}."
        sync.end(SyncState.SKIPPED, message, holder)
    return holder is None


def _take_over(sync: HeldSync, pack: ModelPack) -> tuple[int, int]:
    """Begin the attempt; a run that died with the event in its hands is recorded as crashed."""
    with open_session() as session:
        epoch = raise_epoch(session, sync.event_id)
        check_epoch(session, sync.event_id, epoch)  # erased since the attempt was announced?
        rival = find_active_run(session, sync.event_id, but=sync.flow_run_id)
        if rival is not None and rival.state != SyncState.PENDING:
            end_run(session, rival.flow_run_id, SyncState.CRASHED, detail=TAKEN_OVER)
        start_attempt(session, sync.flow_run_id)
        return epoch, register_pack(session, pack.identity, pack.licence)


@contextmanager
def _record_errors(sync: HeldSync) -> Iterator[None]:
    try:
        yield
    except EventErasedError as error:
        # An erasure has ended the record of a sync that was under way: as cancelled.
        sync.end(SyncState.CANCELLED if sync.began else SyncState.SKIPPED, str(error))
    except SyncSupersededError as error:
        sync.end(SyncState.SKIPPED, str(error))
    except FINAL_ERRORS as error:
        sync.end(SyncState.FAILED, str(error))
        publish_failure(sync.event_id, str(error), sync.word)
    except Exception as error:
        _record_failure(sync, error)
        raise


def _record_failure(sync: HeldSync, error: Exception) -> None:
    # A foreign error's text may hold anything; its kind is enough, Prefect's log has the rest.
    known = isinstance(error, FacePassError)
    sentence = str(error) if known else f"Unexpected {type(error).__name__}; the log says more."
    is_last = flow_run.get_run_count() > SYNC_RETRIES
    next_try_at = utc_now() + timedelta(seconds=get_settings().retry_delay_s)
    try:
        with open_session() as session:
            if is_last:
                end_run(session, sync.flow_run_id, SyncState.FAILED, detail=sentence)
                publish_failure(sync.event_id, sentence, sync.word)
            else:
                mark_retrying(session, sync.flow_run_id, detail=sentence, next_try_at=next_try_at)
    except DatabaseUnavailableError:
        get_run_logger().warning("The failure could not be recorded: the database is away.")
    if is_last:
        stop_heartbeat(sync.flow_run_id)
