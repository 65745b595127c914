"""A sync dies: nothing is lost, doubled or computed twice, and the truth is told."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from deployments import names
from tasks.sync.states import SYNC_RETRIES
from tests.support.event_box import EventBox
from tests.support.photos import read_group, read_sample, vary
from tests.support.rest_api import RestApi
from tests.support.waiting import wait_until

# What Prefect's UI sends for its Retry button.
RETRY = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}

# Runs a sync in a process of its own that kills itself where KILL_AT says, writing down first
# which photos have been computed and which batch reached its store.
DOOMED = """
import os, signal, sys
from pathlib import Path
from flows.sync_event_photos import sync_event_photos
from tasks.sync import batch, embed

kill_at, notes, event_id, prefix = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def note(name, keys):
    with notes.open("a") as file:
        file.writelines(f"{name} {key}\\n" for key in keys)

embed_photos, store_slice, store_outcomes = (
    embed.embed_photos, batch.store_slice, batch.store_outcomes
)

def embed_and_note(photos, *args, **named):
    product = embed_photos(photos, *args, **named)
    note("computed", [photo.s3_key for photo in photos])
    return product

def store_slice_or_die(sync, found, logger):
    note("safe", [photo.s3_key for photo, _ in found])
    if kill_at == "between embedding and storing":
        die()
    store_slice(sync, found, logger)
    if kill_at == "after the first store":
        die()

def store_or_die(session, outcomes, **values):
    result = store_outcomes(session, outcomes, **values)
    if kill_at == "inside the transaction":
        session.flush()
        die()
    return result

embed.embed_photos = embed_and_note
batch.store_slice = store_slice_or_die
batch.store_outcomes = store_or_die
sync_event_photos(event_id, prefix)
"""
KILL_POINTS = ["between embedding and storing", "inside the transaction", "after the first store"]


def read_notes(notes: Path, name: str) -> set[str]:
    lines = [line.split(" ", 1) for line in notes.read_text().splitlines()]
    return {key for kind, key in lines if kind == name}


@pytest.mark.parametrize("kill_at", KILL_POINTS)
def test_a_killed_run_is_finished_by_the_next_without_computing_twice(
    event: EventBox,
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    kill_at: str,
) -> None:
    configure(batch_size=4)
    for index in range(12):
        event.put(f"{index:02}.jpg", vary(read_sample("astronaut.png"), index))
    notes = tmp_path / "notes"
    doomed = subprocess.run(
        [sys.executable, "-c", DOOMED, kill_at, str(notes), str(event.id), event.prefix],
        env=dict(os.environ),
        check=False,
        capture_output=True,
    )
    assert doomed.returncode == -signal.SIGKILL, doomed.stderr[-2000:]
    (dead,) = event.query("SELECT flow_run_id FROM sync_run WHERE event_id = :event")

    from tasks.sync import embed

    computed: set[str] = set()
    embed_photos = embed.embed_photos

    def embed_and_note(photos: Any, *args: Any, **named: Any) -> bytes:
        computed.update(photo.s3_key for photo in photos)
        return embed_photos(photos, *args, **named)

    monkeypatch.setattr(embed, "embed_photos", embed_and_note)
    result = event.sync().result

    assert set(event.face_counts().values()) == {1}
    assert len(event.face_counts()) == 12
    assert result["total_found"] == result["new_photos"] + result["skipped"] == 12
    safe = read_notes(notes, "safe")
    if kill_at != "after the first store":
        # The same batches: what was embedded came from result storage.
        assert safe
        assert not computed & safe
    (run,) = event.query(
        f"SELECT state FROM sync_run WHERE flow_run_id = '{dead.flow_run_id}' AND event_id = :event"
    )
    assert run.state == "crashed"
    assert event.sync().result["skipped"] == 12


def test_a_killed_worker_process_is_told_and_the_run_can_be_retried(
    event: EventBox, rest: RestApi, prefect: httpx.Client
) -> None:
    for index in range(40):
        event.put(f"{index:02}.jpg", vary(read_group(), index))
    task_id = rest.start_sync(event)

    def read_status() -> dict[str, Any]:
        return rest.read_sync(task_id)

    wait_until(lambda: read_status()["progress"]["total"] == 40)
    find_flow_process(task_id).send_signal(signal.SIGKILL)
    wait_until(lambda: read_status()["state"] == "crashed")
    assert "start it again" in read_status()["detail"]

    # The same run goes on with its plan. A worker reports a crash twice, and the second report may
    # crash the retry: then one presses again.
    def press_retry_until_taken_up() -> bool:
        run = prefect.get(f"/flow_runs/{task_id}").json()
        if run["state"]["type"] == "CRASHED":
            prefect.post(f"/flow_runs/{task_id}/set_state", json={"state": RETRY, "force": True})
        return bool(run["run_count"] == 2)

    wait_until(press_retry_until_taken_up)
    wait_until(lambda: read_status()["state"] == "completed")

    assert read_status()["result"]["new_photos"] == 40
    assert set(event.face_counts().values()) == {6}
    # What the dead attempt left does not run on for ever in Prefect's UI.
    unfinished = {"type": {"any_": ["RUNNING", "PENDING"]}}
    mine = {"flow_runs": {"id": {"any_": [task_id]}}, "task_runs": {"state": unfinished}}
    wait_until(lambda: prefect.post("/task_runs/filter", json=mine).json() == [], 15)
    assert rest.start_sync(event) != task_id


def test_what_no_retry_heals_fails_at_once_and_can_be_retried_by_hand(
    make_event: Callable[..., EventBox], prefect: httpx.Client
) -> None:
    name = f"Крестины {uuid4().hex[:8]}"
    known = prefect.get(f"/deployments/name/{names.SYNC_DEPLOYMENT}").raise_for_status().json()
    form = {"parameters": {"event_id": name}}
    made = prefect.post(f"/deployments/{known['id']}/create_flow_run", json=form)
    run_id = made.raise_for_status().json()["id"]

    def read_run() -> dict[str, Any]:
        run: dict[str, Any] = prefect.get(f"/flow_runs/{run_id}").raise_for_status().json()
        return run

    wait_until(lambda: read_run()["state"]["type"] == "FAILED")
    failed = read_run()
    assert (failed["state"]["name"], failed["run_count"]) == ("Failed", 1)
    assert failed["state"]["message"].startswith(f"No event is called {name}")

    event = make_event(name)
    event.put("a.jpg", vary(read_group(), 0))
    prefect.post(f"/flow_runs/{run_id}/set_state", json={"state": RETRY, "force": True})
    wait_until(lambda: read_run()["state"]["type"] == "COMPLETED")
    assert set(event.face_counts().values()) == {6}
    assert read_run()["empirical_policy"]["retries"] == SYNC_RETRIES  # a later outage is waited out


def test_a_cancelled_run_is_told_and_the_event_is_free_at_once(
    event: EventBox, rest: RestApi, prefect: httpx.Client
) -> None:
    photos = 150  # enough that the sync is still under way when the worker hears of it
    for index in range(photos):
        event.put(f"{index:03}.jpg", vary(read_group(), index))
    task_id = rest.start_sync(event)
    wait_until(lambda: rest.read_sync(task_id)["state"] == "running")
    state = {"type": "CANCELLING", "name": "Cancelling"}
    prefect.post(f"/flow_runs/{task_id}/set_state", json={"state": state})
    wait_until(lambda: rest.read_sync(task_id)["state"] == "cancelled")

    again = rest.start_sync(event)
    assert again != task_id
    wait_until(lambda: rest.read_sync(again)["state"] == "completed")
    assert set(event.face_counts().values()) == {6}
    assert len(event.face_counts()) == photos

    # Retry takes a cancelled run up as well.
    prefect.post(f"/flow_runs/{task_id}/set_state", json={"state": RETRY, "force": True})
    wait_until(lambda: rest.read_sync(task_id)["state"] == "completed")


def find_flow_process(flow_run_id: str) -> psutil.Process:
    """The engine's process of a flow run; Prefect hands it the id in its environment."""
    for process in psutil.process_iter():
        try:
            if process.environ().get("PREFECT__FLOW_RUN_ID") == flow_run_id:
                return process
        except psutil.Error:
            continue
    pytest.fail("The flow run has no process.")
