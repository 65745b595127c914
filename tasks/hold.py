"""Holding an event for a sync, or for a change of its model: who may, and how it ends.

The advisory lock keeps two syncs of an event apart; the epoch, raised by every attempt, keeps an
attempt that only seems dead from storing anything after a newer one has begun.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from uuid import UUID

from prefect import get_run_logger
from prefect.runtime import flow_run

from models.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    EventErasedError,
    EventNotFoundError,
    FacePassError,
    InvalidPrefixError,
    S3AccessError,
    SyncSupersededError,
)
from models.keys import check_prefix, event_folder
from models.packs import PackChoice, register_pack
from models.queries.events import read_event
from models.queries.outcomes import check_epoch
from models.queries.runs import (
    announce_attempt,
    end_run,
    find_active_run,
    mark_retrying,
    raise_epoch,
    start_attempt,
)
from models.session import EventLock, open_event_lock, open_session
from models.settings import get_settings
from models.tables import utc_now
from models.vocabulary import ProfileName, SyncState
from tasks.artifacts import publish_failure, start_progress
from tasks.console import outlive_worker
from tasks.heartbeat import start_heartbeat, stop_heartbeat
from tasks.leftovers import end_lost_tasks
from tasks.packs import ModelPack, describe_pack, resolve_pack
from tasks.ticket import HeldSync, PackChange, Ticket, read_common_settings
from tasks.turns import wait_for_turn, wait_until_free

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
