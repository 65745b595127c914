"""Following a sync: to its end, through an API that is away for a moment."""

from typing import Any

import httpx
import pytest

from deployments.push import event as module
from deployments.push.event import resolve_event, sync_event
from models.errors import ApiUnavailableError
from tests.support.fake_api import OTHER_UUID, FakeApi, describe_event


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is the test's: each look at it is ten seconds later."""
    clock = iter(range(0, 100_000, 10))
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))


def tell(state: str) -> dict[str, Any]:
    return {
        "state": state,
        "progress": {"processed": 1, "total": 2},
        "detail": None,
        "result": None,
    }


def follow(fake: FakeApi) -> tuple[dict[str, Any], list[str]]:
    api, seen = fake.open(), []
    event = resolve_event(api, "Свадьба", None)
    status = sync_event(api, event, lambda status, _: seen.append(status["state"]))
    return status, seen


@pytest.mark.parametrize("end", ["completed", "failed", "crashed", "cancelled"])
def test_a_sync_is_followed_to_its_end(end: str) -> None:
    states = ["pending", "running", "retrying", "running", end]
    fake = FakeApi([describe_event("Свадьба", OTHER_UUID)], statuses=[tell(s) for s in states])
    status, seen = follow(fake)
    assert (status["state"], seen) == (end, states)


def test_a_sync_that_was_skipped_is_asked_for_again() -> None:
    states = ["running", "skipped", "running", "completed"]
    fake = FakeApi([describe_event("Свадьба", OTHER_UUID)], statuses=[tell(s) for s in states])
    assert follow(fake)[0]["state"] == "completed"
    assert fake.calls.count(("POST", "faces/sync-s3")) == 2


def test_an_api_that_is_restarted_meanwhile_is_waited_for_a_minute() -> None:
    event = describe_event("Свадьба", OTHER_UUID)
    begin = [httpx.Response(200, json=[event]), httpx.Response(200, json=event)]
    started = httpx.Response(200, json={"task_id": "task-1"})
    away = httpx.ConnectError("refused")
    fake = FakeApi([event], answers=[*begin, started, away, away], statuses=[tell("completed")])
    assert follow(fake)[0]["state"] == "completed"
    with pytest.raises(ApiUnavailableError, match="does not answer"):
        follow(FakeApi([event], answers=[*begin, started, *[away] * 20]))
