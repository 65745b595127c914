"""When a run that Prefect calls alive is dead: heartbeats, queues and time to start."""

from datetime import timedelta
from typing import cast
from uuid import uuid4

import pytest

from api.reconcile import START_LIMIT, SyncView, _describe_live_run, _is_lost
from deployments.orchestrator import Orchestrator, RunPhase, RunReport
from models.queries.runs import HEARTBEAT_LIMIT
from models.tables import SyncRun, utc_now
from models.vocabulary import SyncState

FRESH = timedelta(seconds=1)
STALE = HEARTBEAT_LIMIT + timedelta(seconds=1)
LONG_AGO = START_LIMIT + timedelta(seconds=1)


def is_lost(
    state: SyncState,
    beat: timedelta | None,
    phase: RunPhase,
    due: timedelta,
    *,
    queued: bool,
    waiting: bool = False,
) -> bool:
    run = SyncRun(
        flow_run_id=uuid4(),
        event_id=1,
        s3_prefix="events/1/previews/",
        state=state,
    )
    run.state = state.value  # type: ignore[assignment]  # as it comes from the database
    report = RunReport(phase, due=utc_now() - due, is_queued=queued, is_waiting=waiting)
    return _is_lost(run, report, beat)


@pytest.mark.parametrize("beat", [None, FRESH, STALE])
def test_a_run_in_the_queue_is_never_lost(beat: timedelta | None) -> None:
    assert not is_lost(SyncState.PENDING, beat, RunPhase.PENDING, LONG_AGO, queued=True)


@pytest.mark.parametrize("phase", [RunPhase.RUNNING, RunPhase.RETRYING, RunPhase.PENDING])
def test_a_heartbeat_is_a_sign_of_life_whatever_the_phase(phase: RunPhase) -> None:
    assert not is_lost(SyncState.RUNNING, FRESH, phase, LONG_AGO, queued=False)


@pytest.mark.parametrize(
    ("state", "phase"),
    [(SyncState.RUNNING, RunPhase.RUNNING), (SyncState.RETRYING, RunPhase.RETRYING)],
)
def test_a_run_that_stopped_beating_is_lost(state: SyncState, phase: RunPhase) -> None:
    # The worker and the flow's process were killed together: Prefect knows nothing of it.
    assert is_lost(state, STALE, phase, FRESH, queued=False)


def test_a_run_retried_by_hand_gets_time_to_start() -> None:
    assert not is_lost(SyncState.RUNNING, STALE, RunPhase.RETRYING, FRESH, queued=False)
    assert is_lost(SyncState.RUNNING, STALE, RunPhase.RETRYING, LONG_AGO, queued=False)


@pytest.mark.parametrize("phase", [RunPhase.RUNNING, RunPhase.PENDING])
def test_a_run_that_died_before_its_first_heartbeat_is_lost_in_the_end(phase: RunPhase) -> None:
    assert not is_lost(SyncState.PENDING, None, phase, FRESH, queued=False)
    assert is_lost(SyncState.PENDING, None, phase, LONG_AGO, queued=False)


def test_a_run_whose_record_is_behind_is_lost_as_soon_as_any_other() -> None:
    # PostgreSQL was restarted, so that the attempt's failure is not in the record; then worker and
    # process were killed while the process waited for the next attempt.
    assert is_lost(SyncState.RUNNING, STALE, RunPhase.RETRYING, FRESH, queued=False, waiting=True)
    assert not is_lost(
        SyncState.RUNNING, FRESH, RunPhase.RETRYING, FRESH, queued=False, waiting=True
    )
    # Killed after its first sign of life and before it had the event.
    assert is_lost(SyncState.PENDING, STALE, RunPhase.RUNNING, STALE, queued=False)
    assert not is_lost(SyncState.PENDING, STALE, RunPhase.RUNNING, FRESH, queued=False)


def test_a_run_whose_process_starts_waits_for_no_worker() -> None:
    run = SyncRun(flow_run_id=uuid4(), event_id=1, s3_prefix="events/1/previews/")
    report = RunReport(RunPhase.PENDING, due=utc_now(), is_queued=False)
    nobody = cast("Orchestrator", None)  # who would be asked whether a worker is online
    assert _describe_live_run(run, report, nobody) == SyncView(
        SyncState.PENDING, "a worker has taken it up and starts its process"
    )
