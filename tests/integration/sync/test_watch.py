"""Runs whose worker and process died together: closed within a minute, though nobody asks."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import anyio
import anyio.to_thread
import httpx
import pytest
from sqlalchemy import text

from api.reconcile import _close_record, free_pool_slots
from deployments.names import WORK_POOL
from deployments.orchestrator import open_orchestrator
from models.keys import ListedPreview
from models.queries.plans import Listing, copy_listing
from models.queries.runs import HEARTBEAT_LIMIT, ensure_run, list_silent_runs, measure_silence
from models.session import open_session
from models.tables import Event, SyncRun, utc_now
from models.vocabulary import SyncState
from tests.support.event_box import EventBox
from tests.support.photos import read_group, vary
from tests.support.rest_api import RestApi
from tests.support.waiting import wait_until


@pytest.fixture
def no_worker(prefect: httpx.Client) -> Iterator[None]:
    """The pool paused, so that a run is left to the process that the test starts for it."""
    pool = f"/work_pools/{WORK_POOL}"
    prefect.patch(pool, json={"is_paused": True}).raise_for_status()
    yield
    prefect.patch(pool, json={"is_paused": False}).raise_for_status()


def read_record(task_id: str) -> SyncRun:
    with open_session() as session:
        return session.get_one(SyncRun, UUID(task_id))


def begin_sync(event: EventBox, rest: RestApi) -> "tuple[str, subprocess.Popen[bytes]]":
    """A sync of 24 group photos in what a worker starts, without the worker to report its death."""
    for index in range(24):
        event.put(f"{index:02}.jpg", vary(read_group(), index))
    task_id = rest.start_sync(event)
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect.engine"],
        env={**os.environ, "PREFECT__FLOW_RUN_ID": task_id},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return task_id, process


def age_heartbeat(event: EventBox) -> None:
    """As if most of the time had gone by after which a silent run is dead."""
    back = f"heartbeat_at - interval '{HEARTBEAT_LIMIT.seconds - 2} seconds'"
    event.query(f"UPDATE sync_run SET heartbeat_at = {back} WHERE event_id = :event RETURNING 1")


def test_a_run_whose_worker_and_process_died_is_closed_by_itself(
    event: EventBox, rest: RestApi, prefect: httpx.Client, no_worker: None
) -> None:
    task_id, process = begin_sync(event, rest)
    try:
        wait_until(lambda: read_record(task_id).state == SyncState.RUNNING)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def read_prefect() -> Any:
        return prefect.get(f"/flow_runs/{task_id}").json()["state"]["type"]

    assert read_prefect() == "RUNNING"  # nobody has told it
    age_heartbeat(event)
    wait_until(lambda: read_record(task_id).state == SyncState.CRASHED)
    assert read_prefect() == "CRASHED"
    assert "start the sync again" in (read_record(task_id).detail or "")
    # The event is free at once.
    assert event.sync().result["total_found"] == 24
    assert set(event.face_counts().values()) == {6}


def test_a_process_that_stands_still_loses_the_event_and_stores_nothing_when_it_goes_on(
    event: EventBox, rest: RestApi, no_worker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It keeps its connections, and with one of them the event's lock.
    monkeypatch.setattr("tasks.sync.hold.PATIENCE", 1)
    task_id, process = begin_sync(event, rest)
    try:
        wait_until(lambda: read_record(task_id).state == SyncState.RUNNING)
        os.killpg(process.pid, signal.SIGSTOP)
        age_heartbeat(event)
        wait_until(lambda: read_record(task_id).state == SyncState.CRASHED, 240)

        assert event.sync().result["total_found"] == 24
        stored = event.query("SELECT id, photo_id FROM face WHERE event_id = :event ORDER BY id")
        assert len(stored) == 24 * 6

        os.killpg(process.pid, signal.SIGCONT)
        process.wait(120)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    kept = event.query("SELECT id, photo_id FROM face WHERE event_id = :event ORDER BY id")
    assert kept == stored
    assert read_record(task_id).state == SyncState.CRASHED


def test_a_run_that_died_after_its_work_was_done_leaves_the_pool(
    event: EventBox, rest: RestApi, prefect: httpx.Client, no_worker: None
) -> None:
    def read_prefect(flow_run_id: str) -> dict[str, Any]:
        state: dict[str, Any] = prefect.get(f"/flow_runs/{flow_run_id}").json()["state"]
        return state

    def leave_running(ended_as: SyncState, ago: str, state_type: str = "RUNNING") -> str:
        """A run as it looks when worker and process died right after its record was finished."""
        task_id = rest.start_sync(event)
        event.query(
            f"UPDATE sync_run SET state = '{ended_as}', finished_at = now() - interval '{ago}' "
            f"WHERE flow_run_id = '{task_id}' RETURNING 1"
        )
        answer = prefect.post(
            f"/flow_runs/{task_id}/set_state",
            json={"state": {"type": state_type}, "force": True},
        )
        answer.raise_for_status()
        return task_id

    done = leave_running(SyncState.COMPLETED, "2 minutes")
    failed = leave_running(SyncState.FAILED, "2 minutes")
    unheard = leave_running(SyncState.CANCELLED, "2 minutes", "CANCELLING")
    ending = leave_running(SyncState.COMPLETED, "1 second")

    async def sweep() -> None:
        async with open_orchestrator() as orchestrator:
            await anyio.to_thread.run_sync(free_pool_slots, orchestrator, timedelta())

    anyio.run(sweep)
    assert [read_prefect(task_id)["type"] for task_id in (done, failed, unheard, ending)] == [
        "COMPLETED",
        "CRASHED",
        "CANCELLED",
        "RUNNING",  # its process may be saying so this very moment
    ]
    prefect.post(f"/flow_runs/{ending}/set_state", json={"state": {"type": "CANCELLED"}})


def add_run(event: EventBox, *, beat: timedelta | None, state: SyncState) -> UUID:
    flow_run_id = uuid4()
    with open_session() as session:
        run = ensure_run(
            session, flow_run_id=flow_run_id, event_id=event.id, s3_prefix=event.prefix
        )
        run.state = state
        run.heartbeat_at = None if beat is None else utc_now() - beat
        session.add(run)
    return flow_run_id


def test_two_who_close_one_run_raise_the_epoch_once(event: EventBox) -> None:
    # The second must not stop a newer run that began in between.
    flow_run_id = add_run(event, beat=timedelta(), state=SyncState.RUNNING)
    with open_session() as late:
        seen_late = late.get_one(SyncRun, flow_run_id)
        with open_session() as first:
            run = first.get_one(SyncRun, flow_run_id)
            _close_record(first, run, SyncState.CRASHED, "it died")
        _close_record(late, seen_late, SyncState.FAILED, "it failed")
        assert (seen_late.state, seen_late.detail) == (SyncState.CRASHED, "it died")
        assert late.get_one(Event, event.id).sync_epoch == 1


def test_silence_is_counted_from_the_databases_start(event: EventBox) -> None:
    # While it was down no process could beat: none of those runs is dead for that.
    day = timedelta(days=1)
    old = add_run(event, beat=day, state=SyncState.RUNNING)
    fresh = add_run(event, beat=timedelta(), state=SyncState.RUNNING)
    never = add_run(event, beat=None, state=SyncState.PENDING)
    with open_session() as session:
        (uptime,) = event.query("SELECT clock_timestamp() - pg_postmaster_start_time() AS age")
        silence = measure_silence(session, old)
        assert silence is not None
        assert uptime.age <= silence < uptime.age + timedelta(seconds=30) < day
        assert (measure_silence(session, fresh) or day) < HEARTBEAT_LIMIT
        assert measure_silence(session, never) is None


def test_the_watch_looks_at_silent_runs_and_at_those_that_beat_once_first(event: EventBox) -> None:
    old = add_run(event, beat=2 * HEARTBEAT_LIMIT, state=SyncState.RUNNING)
    never = add_run(event, beat=None, state=SyncState.PENDING)
    fresh = add_run(event, beat=timedelta(), state=SyncState.RUNNING)
    with open_session() as session:
        silent = list_silent_runs(session, 1000)
        assert fresh not in silent
        # The stack's own watch may have closed them meanwhile: Prefect does not know them.
        assert [run for run in silent if run in (old, never)] in ([old, never], [never], [])


def test_no_transaction_stands_still_for_long_but_one_that_waits_for_s3(event: EventBox) -> None:
    def read_limit() -> str:
        return str(session.execute(text("SHOW idle_in_transaction_session_timeout")).scalar_one())

    def list_nothing() -> Iterator[list[ListedPreview]]:
        limits.append(read_limit())
        yield []

    limits = []
    with open_session() as session:
        limits.append(read_limit())
        copy_listing(
            session,
            Listing(event.id, event.folder, event.prefix, list_nothing(), [], "https://s3/b"),
        )
        limits.append(read_limit())
    assert limits == ["3min", "0", "3min"]
