"""Automations on the real Prefect server: an operator's own, and those that are installed."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml

from deployments.automations import install
from deployments.names import SYNC_DEPLOYMENT
from models.settings import Settings
from models.vocabulary import PrefectEvent
from tests.support.documents import read_block
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_sample, vary
from tests.support.rest_api import RestApi
from tests.support.waiting import wait_until
from tests.support.webhook_receiver import WebhookReceiver, receive_webhooks

TEMPLATE = Path(__file__).parents[3] / "deployments/automations/sync_failures.yaml"
AUTOMATION = yaml.safe_load(TEMPLATE.read_text("utf-8"))
NAME = "Свадьба Анны и Ёжи"


@pytest.fixture
def operator(
    joined_stack: dict[str, str], prefect: httpx.Client, tmp_path: Path
) -> Iterator[WebhookReceiver]:
    """What the documents tell an operator to do, with a receiver on this machine."""
    with receive_webhooks() as receiver:
        block_id = save_block(receiver.url)
        file = tmp_path / TEMPLATE.name
        file.write_text(TEMPLATE.read_text("utf-8").replace("BLOCK_DOCUMENT_ID", block_id), "utf-8")
        try:
            create_automation(file, joined_stack)
            yield receiver
        finally:
            for automation in prefect.post("/automations/filter").raise_for_status().json():
                if automation["name"] == AUTOMATION["name"]:
                    prefect.delete(f"/automations/{automation['id']}").raise_for_status()
            prefect.delete(f"/block_documents/{block_id}").raise_for_status()


def save_block(url: str) -> str:
    """Run the documents' Python, with another address; the block's id, which it prints."""
    printed: list[object] = []
    code = read_block("operations.md", "python", "CustomWebhookNotificationBlock")
    exec(code.replace("https://studio.example.com/alarms", url), {"print": printed.append})
    return str(printed[0])


def create_automation(file: Path, settings: dict[str, str]) -> None:
    command = [sys.executable, "-m", "prefect", "automation", "create", "--from-file", str(file)]
    done = subprocess.run(
        command, env=os.environ | settings, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Created automation" in done.stdout


def add_run(prefect: httpx.Client, name: str, tags: list[str]) -> str:
    """A run of the sync's deployment that no worker takes up today."""
    deployment = prefect.get(f"/deployments/name/{SYNC_DEPLOYMENT}").json()
    state = {
        "type": "SCHEDULED",
        "state_details": {"scheduled_time": "2999-01-01T00:00:00Z"},
    }
    if tags:
        path, target = f"/deployments/{deployment['id']}/create_flow_run", {}
    else:  # a stranger's: no deployment of ours
        path, target = "/flow_runs/", {"flow_id": deployment["flow_id"]}
    body: dict[str, Any] = {"name": name, "tags": tags, "state": state, **target}
    run = prefect.post(path, json=body).raise_for_status().json()
    return str(run["id"])


def set_state(prefect: httpx.Client, run_id: str, type_: str, name: str, message: str) -> None:
    body = {"state": {"type": type_, "name": name, "message": message}, "force": True}
    answer = prefect.post(f"/flow_runs/{run_id}/set_state", json=body).raise_for_status()
    assert answer.json()["status"] == "ACCEPT"


def test_an_operator_hears_of_our_runs_that_ended_badly_and_of_no_others(
    operator: WebhookReceiver, prefect: httpx.Client
) -> None:
    mark = uuid4().hex[:8]
    stranger = add_run(prefect, f"чужой {mark}", [])
    crashed = add_run(prefect, f"{NAME} {mark} 1", ["event:1"])
    final = add_run(prefect, f"{NAME} {mark} 2", ["event:1"])
    well = add_run(prefect, f"{NAME} {mark} 3", ["event:1"])
    try:
        set_state(prefect, stranger, "CRASHED", "Crashed", "not ours")
        set_state(prefect, well, "COMPLETED", "Completed: 1 new, 0 skipped", "fine")
        set_state(prefect, crashed, "CRASHED", "Crashed", "the worker died")
        # How a sync ends that no retry heals.
        set_state(prefect, final, "FAILED", "Failed", "The bucket is not there.")
        wait_until(lambda: len(operator.received) >= 2)
    finally:
        for run_id in (stranger, crashed, final, well):
            prefect.delete(f"/flow_runs/{run_id}").raise_for_status()

    told = {call.message["subject"]: call.message["text"] for call in operator.received}
    assert told.keys() == {f"Crashed: {NAME} {mark} 1", f"Failed: {NAME} {mark} 2"}
    text = told[f"Failed: {NAME} {mark} 2"]
    assert text.startswith("sync_event_photos: The bucket is not there.\n")
    assert f"/runs/flow-run/{final}" in text


# --- those that are installed ---

INSTALLED = [
    "FacePass Sync · a run is late",
    "FacePass Sync · many photos failed",
    "FacePass Sync · many photos without a face",
    "FacePass Sync · the resync is silent",
]


def list_automations(prefect: httpx.Client) -> dict[str, dict[str, Any]]:
    found = prefect.post("/automations/filter").raise_for_status().json()
    return {automation["name"]: automation for automation in found}


def list_events(prefect: httpx.Client, name: str, resource: str) -> list[dict[str, Any]]:
    """What Prefect's event feed shows."""
    body = {"filter": {"event": {"name": [name]}, "resource": {"id": [resource]}}, "limit": 50}
    return list(prefect.post("/events/filter", json=body).raise_for_status().json()["events"])


def has_fired(prefect: httpx.Client, automation_id: str) -> bool:
    resource = f"prefect.automation.{automation_id}"
    return bool(list_events(prefect, "prefect.automation.triggered", resource))


@pytest.fixture
def hurry(prefect: httpx.Client) -> Iterator[Callable[[str], str]]:
    """Copies of installed automations that wait for ten seconds instead of hours; their ids."""
    made: list[str] = []

    def copy(name: str) -> str:
        text = (install.FOLDER / f"{name}.yaml").read_text("utf-8")
        definition = yaml.safe_load(text.replace(install.BLOCK, str(uuid4())))
        definition |= {"name": f"hurried {name}", "actions": [{"type": "do-nothing"}]}
        definition["trigger"]["within"] = 10
        answer = prefect.post("/automations/", json=definition).raise_for_status()
        made.append(answer.json()["id"])
        return made[-1]

    yield copy
    for automation_id in made:
        prefect.delete(f"/automations/{automation_id}").raise_for_status()


def test_the_stack_has_installed_them_and_what_a_person_did_stays(prefect: httpx.Client) -> None:
    before = list_automations(prefect)
    assert {*INSTALLED, install.TRIGGERED} <= before.keys()
    off = before[INSTALLED[1]]
    prefect.patch(f"/automations/{off['id']}", json={"enabled": False}).raise_for_status()
    try:
        install.install_automations(prefect, Settings())
        after = list_automations(prefect)
        assert {name: item["id"] for name, item in after.items()} == {
            name: item["id"] for name, item in before.items()
        }
        assert after[INSTALLED[1]]["enabled"] is False
    finally:
        prefect.patch(f"/automations/{off['id']}", json={"enabled": True}).raise_for_status()


def test_a_new_definition_reaches_the_server_once(
    prefect: httpx.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = list_automations(prefect)
    for file in install.FOLDER.glob("*.yaml"):
        text = file.read_text("utf-8").replace("description: ", "description: New. ")
        (tmp_path / file.name).write_text(text, "utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(install, "FOLDER", tmp_path)
        for _ in range(2):
            install.install_automations(prefect, Settings())
            after = list_automations(prefect)
            assert {after[name]["id"] for name in INSTALLED} == {
                before[name]["id"] for name in INSTALLED
            }
            assert all(after[name]["description"].startswith("New. ") for name in INSTALLED)
    install.install_automations(prefect, Settings())
    again = list_automations(prefect)
    assert not any(again[name]["description"].startswith("New. ") for name in INSTALLED)


def test_a_sync_tells_of_itself_and_of_its_many_failed_photos(
    event: EventBox, prefect: httpx.Client
) -> None:
    photo = read_sample("astronaut.png")
    event.put("good.jpg", vary(photo, 1))
    for index in range(5):
        event.put(f"bad{index}.jpg", vary(photo, index)[:3000])
    event.sync()
    resource = f"facepass.event.{event.uuid}"
    wait_until(lambda: list_events(prefect, PrefectEvent.FAILED, resource))
    (synced,) = list_events(prefect, PrefectEvent.SYNCED, resource)
    (failed,) = list_events(prefect, PrefectEvent.FAILED, resource)
    for told in (synced, failed):
        assert told["payload"]["event_name"] == event.name
        assert (told["payload"]["failed"], told["payload"]["new_photos"]) == (5, 1)
        assert told["resource"]["facepass.failed"] == "many"
        assert told["resource"]["facepass.no-face"] == "none"
    automation = list_automations(prefect)[INSTALLED[1]]
    wait_until(lambda: has_fired(prefect, automation["id"]))


def test_what_emits_an_event_gets_a_sync_and_the_apis_own_none(
    event: EventBox, rest: RestApi, prefect: httpx.Client
) -> None:
    event.put("1.jpg", encode_jpeg(read_sample("astronaut.png")))
    resource = {"prefect.resource.id": f"facepass.event.{event.uuid}"}
    told = {
        "event": "facepass.photos.uploaded",
        "occurred": datetime.now(UTC).isoformat(),
        "id": str(uuid4()),
        "resource": {**resource, "facepass.sync": "wanted"},
        "payload": {"event_id": event.id, "s3_prefix": event.prefix},
    }
    prefect.post("/events", json=[told]).raise_for_status()
    wait_until(lambda: event.face_counts() == {"1.jpg": 1}, limit_s=180)

    task_id = rest.start_sync(event)
    wait_until(lambda: rest.read_sync(task_id)["state"] == "completed", limit_s=180)

    def list_wishes() -> set[str]:
        uploaded = list_events(prefect, PrefectEvent.UPLOADED, resource["prefect.resource.id"])
        return {item["resource"]["facepass.sync"] for item in uploaded}

    # The API's own goes out behind its answer.
    wait_until(lambda: list_wishes() == {"wanted", "asked"})
    (runs,) = event.query("SELECT count(*) FROM sync_run WHERE event_id = :event")
    assert runs[0] == 2


def test_a_silent_resync_and_a_run_that_waits_are_told(
    prefect: httpx.Client, hurry: Callable[[str], str]
) -> None:
    silent, late = hurry("resync_silent"), hurry("run_late")
    wait_until(lambda: has_fired(prefect, silent), limit_s=180)
    assert not has_fired(prefect, late)
    begun, waiting = (add_run(prefect, f"late {number}", ["facepass"]) for number in (1, 2))
    try:
        for run_id in (begun, waiting):
            # Of a day that no worker waits for.
            details = {"scheduled_time": "2999-01-01T00:00:00Z"}
            state = {"type": "SCHEDULED", "name": "Late", "state_details": details}
            body = {"state": state, "force": True}
            prefect.post(f"/flow_runs/{run_id}/set_state", json=body).raise_for_status()
        set_state(prefect, begun, "RUNNING", "Running", "")
        wait_until(lambda: has_fired(prefect, late), limit_s=180)
        resource = f"prefect.automation.{late}"
        fired = list_events(prefect, "prefect.automation.triggered", resource)
        assert len(fired) == 1
    finally:
        for run_id in (begun, waiting):
            prefect.delete(f"/flow_runs/{run_id}").raise_for_status()
