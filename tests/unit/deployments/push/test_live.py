"""Syncs that are asked for while photos are sent: when, how often, and what they did in sum."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.schemas import read_examples
from deployments.push import live as module
from deployments.push.event import PushedEvent
from deployments.push.folder import LocalFile
from deployments.push.live import LiveSync, sum_results
from deployments.push.upload import NamedPhoto, UploadResult
from models.errors import PushRefusedError
from tests.support.fake_api import OTHER_UUID, FakeApi, describe_event
from tests.support.waiting import wait_until

EVENT = describe_event("Свадьба", OTHER_UUID)
ASKED = ("POST", "faces/sync-s3")
PREVIEWED = UploadResult(
    NamedPhoto(LocalFile(Path("1.jpg"), "1.jpg", 1), "1.jpg"), preview_sent=True, is_done=True
)
UNCHANGED = UploadResult(NamedPhoto(LocalFile(Path("2.jpg"), "2.jpg", 1), "2.jpg"), is_done=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.005)
    monkeypatch.setattr(module, "FOLLOW_S", 0.0)
    monkeypatch.setattr(module, "PAUSE_S", 1000.0)


def tell(state: str, **more: Any) -> dict[str, Any]:
    example = read_examples()["SyncStatus"]
    result = None if state == "running" else {**example["result"], **more}
    return {**example, "state": state, "result": result}


def start(fake: FakeApi, show: Callable[[dict[str, Any], int], None] | None = None) -> LiveSync:
    event = PushedEvent(**EVENT, is_new=False)
    return LiveSync(fake.open(), event, show or (lambda *_: None))


def test_the_first_preview_is_synced_at_once_and_what_is_known_asks_for_nothing() -> None:
    fake, shown = FakeApi([EVENT], statuses=[tell("running"), tell("completed")]), list[str]()
    with start(fake, lambda status, _: shown.append(status["state"])) as live:
        for _ in range(500):
            live.note_preview(UNCHANGED)
            live.note_original(UNCHANGED)
        time.sleep(0.05)
        assert fake.calls == []
        live.note_preview(PREVIEWED)
        wait_until(lambda: "completed" in shown)
        for _ in range(500):
            live.note_preview(PREVIEWED)
        time.sleep(0.05)
    assert fake.calls.count(ASKED) == 1
    assert len(live.task_ids) == 1


def test_more_previews_are_synced_after_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.05)
    fake = FakeApi([EVENT], statuses=[tell("completed")] * 9)
    with start(fake) as live:
        live.note_preview(PREVIEWED)
        wait_until(lambda: fake.calls.count(ASKED) == 1)
        live.note_preview(PREVIEWED)
        wait_until(lambda: fake.calls.count(ASKED) == 2)
        live.note_original(PREVIEWED)  # these wait longer
        time.sleep(0.1)
        assert fake.calls.count(ASKED) == 2
        live.ask_last()
    assert fake.calls.count(ASKED) == 3


def test_an_api_that_is_away_is_asked_again_and_nothing_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    away = [httpx.ConnectError("refused"), httpx.Response(502, text="<html>")]
    fake = FakeApi([EVENT], answers=[*away], statuses=[tell("completed")] * 9)
    with start(fake) as live:
        live.note_preview(PREVIEWED)
        wait_until(lambda: bool(live.task_ids))
        assert live.trouble == ""
    assert fake.calls.count(ASKED) == 3


def test_an_api_that_refuses_ends_the_push() -> None:
    refusal = httpx.Response(409, json={"detail": "The faces of event Свадьба were erased."})
    with start(FakeApi([EVENT], answers=[refusal])) as live:
        live.note_preview(PREVIEWED)

        def is_refused() -> bool:
            try:
                live.note_original(UNCHANGED)
            except PushRefusedError as error:
                return "were erased" in str(error)
            return False

        wait_until(is_refused)


@pytest.mark.parametrize("place", ["ask", "follow", "show"])
def test_an_error_that_nobody_foresaw_ends_no_later_sync(
    monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    for name, seconds in {"PAUSE_S": 0.0, "RETRY_S": 0.01}.items():
        monkeypatch.setattr(module, name, seconds)
    odd = httpx.Response(200, json={"unknown": 1})
    fake = FakeApi([EVENT], answers=[odd] if place == "ask" else [])
    fake.statuses = [{"unknown": 1} if place == "follow" else tell("running")]
    fake.statuses += [tell("completed")] * 99
    troubles: list[str] = []
    put_off = LiveSync._put_off

    def note_trouble(live: LiveSync, trouble: str) -> None:
        put_off(live, trouble)
        troubles.append(live.trouble)

    def show(*_: object) -> None:
        if place == "show" and not troubles:
            raise RuntimeError("The screen is gone.")

    monkeypatch.setattr(LiveSync, "_put_off", note_trouble)
    with start(fake, show) as live:
        live.note_preview(PREVIEWED)
        wait_until(lambda: bool(troubles), limit_s=20)
        live.note_preview(PREVIEWED)
        wait_until(lambda: live.trouble == "" and not live._previews, limit_s=20)
    assert "it is tried again" in troubles[0]
    assert live.task_ids


@pytest.mark.parametrize("status", [404, 503])
def test_a_record_that_is_gone_makes_a_complete_push_no_failure(status: int) -> None:
    last = tell("completed", total_found=2, new_photos=2, failed=0, skipped=0)
    first = tell("completed", total_found=1, new_photos=1, failed=0, skipped=0)
    gone = httpx.Response(status, json={"detail": "There is no such sync."})
    fake = FakeApi([EVENT], answers=[gone], statuses=[first])
    summed = sum_results(fake.open(), last, {"task-1": None, "task-2": None})
    assert summed["result"]["new_photos"] == 3
    assert sum_results(FakeApi([EVENT], answers=[gone]).open(), last, {"task-1": None}) == last


def test_the_result_counts_what_all_syncs_of_the_push_did() -> None:
    first = tell("completed", total_found=100, new_photos=98, failed=2, skipped=0, faces_found=70)
    last = tell("completed", total_found=153, new_photos=50, failed=3, skipped=98, faces_found=30)
    fake = FakeApi([EVENT], statuses=[first])
    status = sum_results(fake.open(), {**last, "task_id": "last"}, {"task-1": None, "last": None})
    counts = [status["result"][key] for key in ("total_found", "new_photos", "failed", "skipped")]
    assert counts == [153, 148, 3, 2]
    assert status["result"]["faces_found"] == 100
    assert status["detail"].startswith("Successfully synced 148 new photos")
    assert sum_results(fake.open(), last, {}) == last
