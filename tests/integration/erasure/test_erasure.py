"""Erasure on the real stack: idle, during a sync, one photo alone, by age, and back again."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from models.queries.events import find_event, list_active_events
from models.session import open_session
from models.tables import Event, utc_now
from tests.support.event_box import EventBox
from tests.support.photos import read_group, read_sample, vary
from tests.support.rest_api import RestApi
from tests.support.waiting import wait_until

ERASED = "The event's faces were erased"


@pytest.fixture
def api(joined_stack: dict[str, str]) -> Any:
    with httpx.Client(base_url=joined_stack["FACEPASS_API_URL"], timeout=60) as client:
        yield client


def address(event: EventBox, rest: str = "") -> str:
    return f"/api/v1/events/{event.uuid}{rest}"


def fill(event: EventBox, count: int, *, faces: int = 1) -> None:
    picture = read_sample("astronaut.png") if faces == 1 else read_group()
    for index in range(count):
        event.put(f"{index:02}.jpg", vary(picture, index))


def list_results(event: EventBox, environment: dict[str, str]) -> list[Path]:
    folder = Path(environment["PREFECT_LOCAL_STORAGE_PATH"]) / "embed" / str(event.id)
    return [file for file in folder.rglob("*") if file.is_file()]


def read_outcomes(event: EventBox) -> dict[str, tuple[str, float, int]]:
    """File name -> status, confidence above 0, faces."""
    faces = event.face_counts()
    return {
        name: (photo.status, photo.confidence > 0, faces[name])
        for name, photo in event.photos().items()
    }


def erase(api: httpx.Client, event: EventBox, rest: str = "/faces") -> dict[str, Any]:
    answer = api.delete(address(event, rest))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_an_idle_event_is_erased_refuses_syncs_and_comes_back_when_resumed(
    event: EventBox, api: httpx.Client, joined_stack: dict[str, str]
) -> None:
    fill(event, 3)
    event.put("broken.jpg", b"broken")
    assert event.sync().result["new_photos"] == 3
    assert list_results(event, joined_stack)

    receipt = erase(api, event)

    assert receipt | {"cached_bytes": 0, "erased_at": ""} == {
        "event_id": event.id,
        "faces_erased": 3,
        "photos_affected": 3,
        "cached_results_erased": 1,
        "cached_bytes": 0,
        "views_erased": 0,
        "subscriptions_erased": 0,
        "syncs_stopped": 0,
        "result_storages": ["local folder"],
        "erased_at": "",
    }
    assert receipt["cached_bytes"] > 0
    assert list_results(event, joined_stack) == []
    assert read_outcomes(event) == {
        **dict.fromkeys(["00.jpg", "01.jpg", "02.jpg"], ("erased", False, 0)),
        "broken.jpg": ("failed", False, 0),
    }
    details = api.get(address(event)).json()
    assert (details["faces"], details["photos"]["erased"]) == (0, 3)
    assert details["erased_at"] == receipt["erased_at"]
    with open_session() as session:  # which the hourly resync goes by
        assert event.id not in {active.id for active in list_active_events(session)}
    # Again: nothing more to do, and since when is kept.
    again = erase(api, event)
    assert (again["faces_erased"], again["photos_affected"]) == (0, 0)
    assert again["erased_at"] == receipt["erased_at"]

    refused = api.post(
        "/api/v1/faces/sync-s3", json={"event_uuid": str(event.uuid), "s3_prefix": event.prefix}
    )
    assert refused.status_code == 409
    assert ERASED in refused.json()["detail"]
    outcome = event.sync()  # from Prefect's UI, or by a schedule
    assert (outcome.state.type.value, outcome.state.name) == ("COMPLETED", "Skipped")
    assert ERASED in outcome.state.message
    status = api.get(f"/api/v1/faces/sync-s3/{outcome.task_id}").json()
    assert status["state"] == "skipped"
    assert status["detail"].startswith(ERASED)
    assert set(event.face_counts().values()) == {0}

    assert api.post(address(event, "/resume")).json()["event_id"] == event.id
    result = event.sync().result
    counts = ("total_found", "new_photos", "skipped", "failed", "faces_found")
    assert [result[name] for name in counts] == [4, 3, 0, 1, 3]
    assert api.get(address(event)).json()["erased_at"] is None


def test_a_running_sync_loses_against_an_erasure_and_nothing_comes_back(
    event: EventBox,
    api: httpx.Client,
    rest: RestApi,
    prefect: httpx.Client,
    joined_stack: dict[str, str],
) -> None:
    fill(event, 60, faces=6)
    task_id = rest.start_sync(event)
    wait_until(lambda: sum(event.face_counts().values()) > 0)

    receipt = erase(api, event)

    assert receipt["faces_erased"] > 0
    assert receipt["syncs_stopped"] == 1
    status = rest.read_sync(task_id)
    assert status["state"] == "cancelled"
    assert status["detail"].startswith(ERASED)
    # The process behind it ends by itself, is not tried again, and has left nothing.
    wait_until(
        lambda: prefect.get(f"/flow_runs/{task_id}").json()["state"]["type"] == "CANCELLED", 60
    )
    run = prefect.get(f"/flow_runs/{task_id}").json()
    assert run["run_count"] == 1
    assert ERASED in run["state"]["message"]
    assert set(read_outcomes(event).values()) == {("erased", False, 0)}
    assert list_results(event, joined_stack) == []
    assert rest.read_sync(task_id)["state"] == "cancelled"


def test_a_result_kept_after_the_erasures_sweep_is_deleted_by_its_batch(
    event: EventBox, monkeypatch: pytest.MonkeyPatch, joined_stack: dict[str, str]
) -> None:
    from tasks.results.erasure import erase_event_faces
    from tasks.sync import batch

    fill(event, 2)
    recall_or_embed, kept = batch.recall_or_embed, []

    def be_erased_meanwhile(*args: Any) -> bytes:
        receipt = erase_event_faces(event.id)
        assert receipt is not None
        assert receipt.cached_results_erased == 0
        product = recall_or_embed(*args)
        kept.extend(list_results(event, joined_stack))
        return product

    monkeypatch.setattr(batch, "recall_or_embed", be_erased_meanwhile)

    outcome = event.sync()

    assert len(kept) == 1
    assert list_results(event, joined_stack) == []
    assert (outcome.state.type.value, outcome.state.name) == ("CANCELLED", "Cancelled")
    assert set(read_outcomes(event).values()) == {("erased", False, 0)}


def test_a_sync_that_was_announced_before_the_erasure_does_not_begin_after_it(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.results.erasure import erase_event_faces
    from tasks.sync import hold

    fill(event, 1)
    held, pauses = [True], []
    try_take = hold.EventLock.try_take

    def be_held_at_first(lock: hold.EventLock) -> bool:
        return not held and try_take(lock)

    def be_erased_meanwhile(pause_s: float) -> None:
        erase_event_faces(event.id)
        held.clear()
        pauses.append(pause_s)

    monkeypatch.setattr(hold.EventLock, "try_take", be_held_at_first)
    monkeypatch.setattr(hold, "time", SimpleNamespace(sleep=be_erased_meanwhile))

    assert ERASED in event.sync().state.message
    assert len(pauses) == 1
    assert event.photos() == {}


def test_one_photo_is_erased_alone_and_stays_away_whatever_is_uploaded(
    event: EventBox,
    make_event: Callable[..., EventBox],
    api: httpx.Client,
    joined_stack: dict[str, str],
) -> None:
    fill(event, 3)
    event.sync()
    photo_id = event.photos()["01.jpg"].id
    one = f"/photos/{photo_id}"
    other = make_event("Другая")
    for answer in (api.delete(address(other, one)), api.post(address(other, f"{one}/restore"))):
        refusal = {"detail": "Photo not found", "code": "photo_not_found"}
        assert (answer.status_code, answer.json()) == (404, refusal)
    assert event.face_counts()["01.jpg"] == 1

    receipt = erase(api, event, one)

    assert (receipt["faces_erased"], receipt["photos_affected"]) == (1, 1)
    assert receipt["cached_results_erased"] == 1  # the batch that holds the others' faces too
    assert list_results(event, joined_stack) == []
    only_others = {
        "00.jpg": ("indexed", True, 1),
        "01.jpg": ("erased", False, 0),
        "02.jpg": ("indexed", True, 1),
    }
    assert read_outcomes(event) == only_others

    for change in (lambda: None, lambda: event.put("01.jpg", vary(read_group(), 7))):
        change()
        result = event.sync().result
        assert (result["total_found"], result["skipped"], result["new_photos"]) == (3, 3, 0)
    event.remove("01.jpg")
    assert event.sync().result["gone"] == 0
    event.put("01.jpg", vary(read_group(), 8))
    event.sync()
    assert read_outcomes(event) == only_others
    # Nor does it come back with the rest of an event that was erased and resumed.
    erase(api, event)
    api.post(address(event, "/resume"))
    assert event.sync().result["new_photos"] == 2
    assert read_outcomes(event) == only_others
    (listed,) = api.get(address(event, "/photos"), params={"status": "erased"}).json()["photos"]
    assert (listed["photo_id"], listed["erased_alone"]) == (photo_id, True)

    assert api.post(address(event, f"{one}/restore")).status_code == 200
    assert event.sync().result["new_photos"] == 1
    assert event.face_counts()["01.jpg"] == 6


def test_a_photo_erased_while_its_batch_is_computed_leaves_the_others(
    event: EventBox, monkeypatch: pytest.MonkeyPatch, joined_stack: dict[str, str]
) -> None:
    from tasks.results.erasure import erase_photo_faces
    from tasks.sync import batch

    fill(event, 3)
    recall_or_embed = batch.recall_or_embed

    def be_erased_meanwhile(*args: Any) -> bytes:
        erase_photo_faces(event.id, event.photos()["01.jpg"].id)
        return recall_or_embed(*args)

    monkeypatch.setattr(batch, "recall_or_embed", be_erased_meanwhile)

    result = event.sync().result

    assert (result["total_found"], result["new_photos"], result["skipped"]) == (3, 2, 1)
    assert event.face_counts() == {"00.jpg": 1, "01.jpg": 0, "02.jpg": 1}
    assert event.photos()["01.jpg"].status == "erased"
    assert list_results(event, joined_stack) == []


def set_activity(event: EventBox, ago: timedelta) -> None:
    with open_session() as session:
        session.get_one(Event, event.id).active_until = utc_now() - ago


def test_events_that_are_not_kept_any_longer_are_erased_and_no_others(
    make_event: Callable[..., EventBox],
    configure: Callable[..., None],
    joined_stack: dict[str, str],
) -> None:
    from flows.erase_expired import erase_expired

    old, young, active = make_event("Старая"), make_event("Новая"), make_event("Идёт")
    for event in (old, young, active):
        fill(event, 1)
        event.sync()
    set_activity(old, timedelta(days=11))
    set_activity(young, timedelta(days=9))

    assert erase_expired(return_state=True).name == "Completed: 0 events erased"
    assert old.face_counts() == {"00.jpg": 1}

    configure(retention_days=10)
    assert erase_expired(return_state=True).name == "Completed: 1 events erased"

    assert old.face_counts() == {"00.jpg": 0}
    assert list_results(old, joined_stack) == []
    for event in (young, active):
        assert event.face_counts() == {"00.jpg": 1}
    assert erase_expired(return_state=True).name == "Completed: 0 events erased"


def test_an_event_that_became_active_meanwhile_is_kept(event: EventBox) -> None:
    from tasks.results.erasure import run_erasure

    limit = utc_now() - timedelta(days=10)
    assert run_erasure(event.id, limit) is None
    with open_session() as session:
        assert find_event(session, event.uuid).erased_at is None


def test_the_flow_erases_on_a_worker_and_the_nightly_pruning_sweeps_stragglers(
    event: EventBox, prefect: httpx.Client, joined_stack: dict[str, str]
) -> None:
    from tasks.results.erasure import prune_erased

    fill(event, 1)
    event.sync()
    deployment = prefect.get("/deployments/name/erase_event/erase").raise_for_status().json()
    (retention,) = prefect.get("/deployments/name/erase_expired/erase-expired").json()["schedules"]
    assert (retention["active"], retention["schedule"]["timezone"]) == (True, "Europe/Moscow")

    url = f"/deployments/{deployment['id']}/create_flow_run"
    run = prefect.post(url, json={"parameters": {"event_id": event.id}}).json()["id"]
    wait_until(lambda: prefect.get(f"/flow_runs/{run}").json()["state"]["type"] == "COMPLETED")

    state = prefect.get(f"/flow_runs/{run}").json()["state"]
    assert state["name"] == "Completed: 1 faces erased"
    assert event.face_counts() == {"00.jpg": 0}
    assert list_results(event, joined_stack) == []
    # As a batch would leave it that was killed between keeping its result and looking again.
    folder = Path(joined_stack["PREFECT_LOCAL_STORAGE_PATH"]) / "embed" / str(event.id)
    (folder / "straggler").write_bytes(b"faces")
    assert prune_erased() >= 1
    assert list_results(event, joined_stack) == []


def test_a_storage_that_cannot_be_swept_is_told_and_the_next_call_sweeps_it(
    event: EventBox, monkeypatch: pytest.MonkeyPatch, joined_stack: dict[str, str]
) -> None:
    from models.errors import ErasureIncompleteError, S3DownloadError
    from tasks.results import prune
    from tasks.results.erasure import erase_event_faces

    fill(event, 1)
    event.sync()

    def fail() -> Any:
        raise S3DownloadError("S3 unreachable.")

    with monkeypatch.context() as patch, pytest.raises(ErasureIncompleteError, match="same call"):
        patch.setattr(prune, "list_result_storages", fail)
        erase_event_faces(event.id)

    assert event.face_counts() == {"00.jpg": 0}
    receipt = erase_event_faces(event.id)
    assert receipt is not None
    assert asdict(receipt)["cached_results_erased"] == 1
    assert list_results(event, joined_stack) == []
