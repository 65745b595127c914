"""The automation for failed runs, as an operator makes it, on the real Prefect server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml

from deployments.names import SYNC_DEPLOYMENT
from tests.support.documents import read_block
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
        set_state(prefect, final, "CRASHED", "Failed", "The bucket is not there.")
        wait_until(lambda: len(operator.received) >= 2)
    finally:
        for run_id in (stranger, crashed, final, well):
            prefect.delete(f"/flow_runs/{run_id}").raise_for_status()

    told = {call.message["subject"]: call.message["text"] for call in operator.received}
    assert told.keys() == {f"Crashed: {NAME} {mark} 1", f"Failed: {NAME} {mark} 2"}
    text = told[f"Failed: {NAME} {mark} 2"]
    assert text.startswith("sync_event_photos: The bucket is not there.\n")
    assert f"/runs/flow-run/{final}" in text
