"""Runs that a stop cut short: which of them wait for the next start, and as what."""

import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from deployments.stack.runs import SENTENCE, is_cut_short, stop_runs


@pytest.mark.parametrize(
    ("kind", "name", "waits"),
    [
        ("RUNNING", "Running", True),
        ("RUNNING", "Retrying", True),
        ("PENDING", "Pending", True),
        ("SCHEDULED", "AwaitingRetry", True),
        ("CRASHED", "Crashed", True),  # a process that is asked to stop says so
        ("FAILED", "Failed", False),
        ("COMPLETED", "Completed: 3 new", False),
        ("CANCELLED", "Cancelled", False),
        ("CANCELLING", "Cancelling", False),
        ("PAUSED", "Suspended", False),
        ("SCHEDULED", "Scheduled", False),
        ("SCHEDULED", "Late", False),
    ],
)
def test_what_had_more_to_do_waits(kind: str, name: str, waits: bool) -> None:
    assert is_cut_short({"type": kind, "name": name}) is waits


def test_each_gets_its_state_and_a_cancelled_one_is_not_brought_back() -> None:
    run, cancelled, done, deleted, untold = (str(UUID(int=number)) for number in range(1, 6))
    states = {
        run: {"type": "RUNNING", "name": "Running"},
        cancelled: {"type": "CANCELLING", "name": "Cancelling"},
        done: {"type": "COMPLETED", "name": "Completed"},
        untold: {"type": "RUNNING", "name": "Running"},  # its sync was done, Prefect not told yet
    }
    written: dict[str, Any] = {}
    policies: dict[str, Any] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        asked = request.url.path.split("/")[3]
        if asked == deleted:
            return httpx.Response(404)
        if request.method == "GET":
            policy = {"retries": 3, "retry_type": "in_process"}
            found = {"id": asked, "state": states[asked], "empirical_policy": policy}
            return httpx.Response(200, json=found)
        if request.method == "PATCH":
            policies[asked] = json.loads(request.content)["empirical_policy"]
            return httpx.Response(204)
        written[asked] = json.loads(request.content)
        return httpx.Response(201, json={"status": "ACCEPT"})

    transport = httpx.MockTransport(answer)
    with httpx.Client(transport=transport, base_url="http://prefect/api/") as client:
        assert stop_runs(client, {deleted, *states}, {done, untold}) == [UUID(run)]
    assert written.keys() == {run, cancelled, untold}
    assert written[untold]["state"]["type"] == "COMPLETED"
    assert policies == {run: {"retries": 3, "retry_type": "reschedule"}}
    assert written[run]["force"]
    assert written[run]["state"] == {"type": "SCHEDULED", "name": "Stopped", "message": SENTENCE}
    assert written[cancelled]["state"]["type"] == "CANCELLED"
