"""Whose turn it is: one sync an event, and no request lost between two of them."""

import time
from uuid import UUID

from sqlmodel import Session

from models.errors import SyncIncompleteError
from models.queries.runs import HEARTBEAT_LIMIT, find_active_run, measure_silence, remember_prefix
from models.session import EventLock, open_session
from models.tables import SyncRun
from models.vocabulary import SyncState

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
