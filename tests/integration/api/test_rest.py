"""The REST API of the running stack: the guide's contract, through the worker and back."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.support.photos import encode_jpeg, read_group, read_sample, vary

EVENTS = "/api/v1/events"
SYNC = "/api/v1/faces/sync-s3"
OVER = {"completed", "failed", "crashed", "cancelled", "skipped"}


@pytest.fixture(scope="module")
def api(joined_stack: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=joined_stack["FACEPASS_API_URL"], timeout=30) as client:
        yield client


def add_event(api: httpx.Client, **body: object) -> dict[str, Any]:
    answer = api.post(EVENTS, json={"name": "Свадьба", **body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def upload(event: dict[str, Any], name: str, content: bytes) -> None:
    from tasks.s3.bucket import get_bucket

    bucket = get_bucket()
    for prefix in (event["s3_prefix"], event["s3_prefix"].replace("/previews/", "/originals/")):
        bucket.client.put_object(Bucket=bucket.name, Key=f"{prefix}{name}", Body=content)


def start(api: httpx.Client, event: dict[str, Any], **body: object) -> httpx.Response:
    return api.post(
        SYNC, json={"event_uuid": event["event_uuid"], "s3_prefix": event["s3_prefix"], **body}
    )


def wait_until_over(api: httpx.Client, task_id: str, limit_s: float = 90) -> dict[str, Any]:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        status = api.get(f"{SYNC}/{task_id}").json()
        if status["state"] in OVER:
            return dict(status)
        time.sleep(0.2)
    pytest.fail(f"The sync did not end: {status}")


def test_the_guides_way_from_the_call_to_the_answer(api: httpx.Client) -> None:
    event = add_event(api)
    upload(event, "группа.jpg", encode_jpeg(read_group()))
    upload(event, "coffee.jpg", encode_jpeg(read_sample("coffee.png")))

    started = start(api, event)

    assert started.status_code == 200
    task_id = started.json()["task_id"]
    assert started.json() == {
        "task_id": str(UUID(task_id)),
        "event_id": event["event_id"],
        "s3_prefix": f"events/{event['event_id']}/previews/",
        "message": "Sync task started for event Свадьба",
    }
    status = wait_until_over(api, task_id)
    assert status["state"] == "completed"
    assert status["progress"] == {"processed": 2, "total": 2}
    result = status["result"]
    assert result["message"] == "Successfully synced 2 new photos"
    assert (result["new_photos"], result["no_face"], result["faces_found"]) == (2, 1, 6)

    details = api.get(f"{EVENTS}/{event['event_uuid']}").json()
    assert {name: count for name, count in details["photos"].items() if count} == {
        "indexed": 1,
        "no_face": 1,
    }
    assert (details["faces"], details["last_sync"]["task_id"]) == (6, task_id)


def test_calls_at_the_same_instant_share_one_run_and_late_photos_are_in_it(
    api: httpx.Client,
) -> None:
    event = add_event(api)
    for index in range(3):
        upload(event, f"{index}.jpg", vary(read_sample("astronaut.png"), index))

    with ThreadPoolExecutor(8) as pool:
        answers = [a.json() for a in pool.map(lambda _: start(api, event), range(8))]
    upload(event, "late.jpg", vary(read_sample("astronaut.png"), 9))
    late = start(api, event).json()

    assert len({answer["task_id"] for answer in [*answers, late]}) == 1
    assert sorted({answer["message"] for answer in answers}) == [
        "Sync already running for event Свадьба",
        "Sync task started for event Свадьба",
    ]
    result = wait_until_over(api, late["task_id"])["result"]
    assert (result["new_photos"], result["skipped"], result["faces_found"]) == (4, 0, 4)
    assert start(api, event).json()["task_id"] != late["task_id"]


def test_other_prefixes_asked_for_at_once_are_all_done_by_the_run(api: httpx.Client) -> None:
    event = add_event(api)
    days = [f"{event['s3_prefix']}day{number}/" for number in range(6)]
    for day in days:
        upload({"s3_prefix": day}, "a.jpg", encode_jpeg(read_sample("astronaut.png")))
    task_id = start(api, event, s3_prefix=days[0]).json()["task_id"]

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda day: start(api, event, s3_prefix=day).json(), days[1:]))

    assert {answer["task_id"] for answer in answers} == {task_id}
    result = wait_until_over(api, task_id)["result"]
    assert (result["total_found"], result["new_photos"]) == (6, 6)


@pytest.mark.parametrize("value", ["not-a-uuid", "", "123"])
def test_what_is_not_a_uuid_is_answered_as_the_guide_says(api: httpx.Client, value: str) -> None:
    answer = api.post(SYNC, json={"event_uuid": value, "s3_prefix": "events/1/previews/"})
    refusal = {"detail": "Invalid UUID format", "code": "invalid_uuid"}
    assert (answer.status_code, answer.json()) == (400, refusal)


def test_an_unknown_event_is_answered_as_the_guide_says(api: httpx.Client) -> None:
    answer = api.post(SYNC, json={"event_uuid": str(uuid4()), "s3_prefix": "events/1/previews/"})
    refusal = {"detail": "Event not found", "code": "event_not_found"}
    assert (answer.status_code, answer.json()) == (404, refusal)
    assert api.get(f"{EVENTS}/{uuid4()}").status_code == 404


@pytest.mark.parametrize(
    "prefix", ["", "events/", "events/{other}/previews/", "events/{id}/../1/previews/", "/x"]
)
def test_a_foreign_prefix_is_refused_with_a_sentence(api: httpx.Client, prefix: str) -> None:
    event = add_event(api)
    own = event["event_id"]
    answer = start(api, event, s3_prefix=prefix.format(id=own, other=f"{own}0"))
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("s3_prefix must")


def test_ids_of_another_system_are_kept_and_taken_ones_refused(api: httpx.Client) -> None:
    wanted = {"event_uuid": str(uuid4()), "event_id": 1_000_000 + uuid4().int % 1_000_000}
    event = add_event(api, **wanted)
    assert {name: event[name] for name in wanted} == wanted
    assert event["s3_prefix"] == f"events/{wanted['event_id']}/previews/"

    again = api.post(EVENTS, json={"name": "Другая", **wanted})

    assert again.status_code == 409
    assert event["event_uuid"] in {item["event_uuid"] for item in api.get(EVENTS).json()}


@pytest.mark.parametrize("task_id", ["nonsense", "a1b2c3d4-e5f6-4890-abcd-ef1234567890"])
def test_an_unknown_task_is_not_found(api: httpx.Client, task_id: str) -> None:
    assert api.get(f"{SYNC}/{task_id}").status_code == 404


def test_photos_are_paged_with_their_outcome_and_reason(api: httpx.Client) -> None:
    event = add_event(api)
    upload(event, "a.jpg", encode_jpeg(read_sample("astronaut.png")))
    upload(event, "b.jpg", b"broken")
    upload(event, "c.jpg", encode_jpeg(read_sample("coffee.png")))
    wait_until_over(api, start(api, event).json()["task_id"])
    path = f"{EVENTS}/{event['event_uuid']}/photos"

    first = api.get(path, params={"limit": 2}).json()
    rest = api.get(path, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    failed = api.get(path, params={"status": "failed"}).json()["photos"]

    seen = [*first["photos"], *rest["photos"]]
    assert [(p["s3_key"][-5:], p["status"], p["reason"], p["faces"]) for p in seen] == [
        ("a.jpg", "indexed", None, 1),
        ("b.jpg", "failed", "not_an_image", 0),
        ("c.jpg", "no_face", "no_face_detected", 0),
    ]
    assert rest["next_cursor"] is None
    assert [photo["s3_key"][-5:] for photo in failed] == ["b.jpg"]


def test_health_and_readiness(api: httpx.Client) -> None:
    assert api.get("/health").json() == {"status": "ok"}
    assert api.get("/ready").json() == {"status": "ok"}


def test_prefects_runs_tell_the_event_and_can_be_retried(
    api: httpx.Client, prefect: httpx.Client
) -> None:
    event = add_event(api, name="Юбилей")
    upload(event, "a.jpg", encode_jpeg(read_sample("astronaut.png")))
    task_id = start(api, event).json()["task_id"]
    wait_until_over(api, task_id)

    def read_prefect_run() -> dict[str, Any]:
        return dict(prefect.get(f"/flow_runs/{task_id}").json())

    wait_for(lambda: read_prefect_run()["state"]["type"] == "COMPLETED")
    run = read_prefect_run()
    assert run["name"] == f"Юбилей · events/{event['event_id']}/previews/"
    assert f"event:{event['event_id']}" in run["tags"]
    assert run["state"]["name"] == "Completed: 1 new, 0 skipped"

    # What the UI's Retry button does; a finished run looks at S3 again.
    upload(event, "b.jpg", vary(read_sample("astronaut.png"), 1))
    state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
    answer = prefect.post(f"/flow_runs/{task_id}/set_state", json={"state": state, "force": True})
    assert answer.json()["status"] == "ACCEPT"
    wait_for(lambda: read_prefect_run()["run_count"] == 2)
    wait_for(lambda: read_prefect_run()["state"]["type"] == "COMPLETED")

    status = wait_until_over(api, task_id)
    assert (status["state"], status["result"]["total_found"]) == ("completed", 2)
    assert api.get(f"{EVENTS}/{event['event_uuid']}").json()["faces"] == 2


def wait_for(condition: Callable[[], bool], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.2)
