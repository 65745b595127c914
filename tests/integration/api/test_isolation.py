"""One event's border, tried as an attacker would: prefixes, ids, cursors, tokens, keys in S3.

All keys of a deployment are one organisation's; what is tried here is to make one event's calls
read, count, link or change what is another's.
"""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from models.queries.photos import PageCursor
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_sample, vary

EVENTS = "/api/v1/events"
SYNC = "/api/v1/faces/sync-s3"
FACE = "astronaut.png"


@pytest.fixture(scope="module")
def api(joined_stack: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=joined_stack["FACEPASS_API_URL"], timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def events(joined_stack: dict[str, str]) -> tuple[EventBox, EventBox]:
    """The attacker's event and the victim's; both synced, the same photo in both and two more."""
    mine, other = EventBox("Мой"), EventBox("Чужой")
    for event in (mine, other):
        event.put("same.jpg", encode_jpeg(read_sample(FACE)))
    for index in range(2):
        other.put(f"{index}.jpg", vary(read_sample(FACE), index))
    other.put("broken.jpg", b"no image")
    for event in (mine, other):
        event.sync()
    return mine, other


def remember(event: EventBox) -> tuple[Any, ...]:
    """All that is stored of an event."""
    return (
        event.query("SELECT * FROM event WHERE id = :event"),
        event.query("SELECT * FROM photo WHERE event_id = :event ORDER BY id"),
        event.query("SELECT id, photo_id FROM face WHERE event_id = :event ORDER BY id"),
        event.query("SELECT * FROM sync_run WHERE event_id = :event ORDER BY flow_run_id"),
    )


PREFIXES = [
    "events/{other}/previews/",
    "events/{mine}/previews/../../{other}/previews/",
    "events/{mine}/../{other}/previews/",
    "events/{mine}/./previews/",
    "events/{mine}0/previews/",
    "events/{mine}",
    "events/{mine}/",
    "events/",
    "",
    "/",
    "/events/{mine}/previews/",
    "//events/{mine}/previews/",
    "./events/{mine}/previews/",
    "events//{mine}/previews/",
    "events/0{mine}/previews/",
    "events/+{mine}/previews/",
    "events/ {mine}/previews/",
    "Events/{mine}/previews/",
    "events/{mine}/Previews/",
    "events%2F{mine}/previews/",
    "events/{mine}%2Fpreviews/",
    "events/{mine}/previews%2F",
    "events\\{mine}\\previews\\",
    "events/{mine}/previews/\x00/../",
    "events/{mine}\x00/previews/",
    "events/{mine}/originals/",
    "еvents/{mine}/previews/",  # a Cyrillic е
    "events/{mine}\u200b/previews/",
    "events/*/previews/",
    "*",
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_no_prefix_leads_out_of_the_event(
    api: httpx.Client, events: tuple[EventBox, EventBox], prefix: str
) -> None:
    mine, other = events
    before = remember(mine), remember(other)
    asked = prefix.format(mine=mine.id, other=other.id)
    answer = api.post(SYNC, json={"event_uuid": str(mine.uuid), "s3_prefix": asked})
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"].startswith("s3_prefix must")
    # The right event is not told from a wrong one by the sentence.
    assert other.name not in answer.text
    assert (remember(mine), remember(other)) == before


def test_a_flow_started_in_prefect_with_anothers_prefix_reads_nothing(
    events: tuple[EventBox, EventBox],
) -> None:
    mine, other = events
    photos = mine.photos(), other.photos()
    outcome = mine.sync(other.prefix)
    assert (outcome.state.name, "s3_prefix must start with" in outcome.state.message) == (
        "Failed",
        True,
    )
    assert (mine.photos(), other.photos()) == photos


def test_keys_that_climb_in_s3_stay_photos_of_the_folder_they_lie_in(
    make_event: Callable[..., EventBox],
) -> None:
    mine, other = make_event(), make_event()
    other.put("a.jpg", encode_jpeg(read_sample(FACE)))
    other.sync()
    victim = remember(other)
    # Neighbours in the order of keys: 1, 10 and 1- begin alike.
    for folder in (f"events/{mine.id}00000/previews/", f"events/{mine.id}-/previews/"):
        mine.bucket.client.put_object(
            Bucket=mine.bucket.name, Key=f"{folder}near.jpg", Body=encode_jpeg(read_sample(FACE))
        )
    mine.put("own.jpg", encode_jpeg(read_sample(FACE)))
    result = mine.sync().result
    assert (result["total_found"], set(mine.photos())) == (1, {"own.jpg"})
    assert all(f"/events/{mine.id}/" in row.image_url for row in mine.photos().values())
    assert remember(other) == victim


def test_a_cursor_from_another_event_shows_only_ones_own(
    api: httpx.Client, events: tuple[EventBox, EventBox]
) -> None:
    mine, other = events
    numbers = {
        event.id: {row.id for row in event.query("SELECT id FROM photo WHERE event_id = :event")}
        for event in events
    }
    photos = (min(numbers[other.id]) - 1, max(numbers[other.id]), 2**63 - 1)
    for cursor in (0, *(PageCursor(photo_id=photo_id).encode() for photo_id in photos)):
        for status in ("", "&status=failed", "&status=indexed"):
            page = api.get(f"{EVENTS}/{mine.uuid}/photos?cursor={cursor}{status}").json()
            seen = {photo["photo_id"] for photo in page["photos"]}
            assert seen <= numbers[mine.id]
            assert all(photo["s3_key"].startswith(mine.prefix) for photo in page["photos"])
    assert api.get(f"{EVENTS}/{mine.uuid}").json()["faces"] == 1
    assert api.get(f"{EVENTS}/{other.uuid}").json()["faces"] == 3


def test_a_task_answers_for_its_own_event_whoever_asks(
    api: httpx.Client, make_event: Callable[..., EventBox]
) -> None:
    first, second = make_event(), make_event()
    first.put("a.jpg", encode_jpeg(read_sample(FACE)))
    tasks = {event.id: event.sync().task_id for event in (first, second)}
    for event in (first, second):
        status = api.get(f"{SYNC}/{tasks[event.id]}").json()
        assert (status["event_id"], status["result"]["event_id"]) == (event.id, event.id)
        last = api.get(f"{EVENTS}/{event.uuid}").json()["last_sync"]
        assert last["task_id"] == str(tasks[event.id])


def test_runs_of_other_flows_in_the_same_prefect_are_not_found(
    api: httpx.Client, prefect: httpx.Client
) -> None:
    flow = prefect.post("/flows/", json={"name": "somebody_elses"}).json()["id"]
    run = prefect.post("/flow_runs/", json={"flow_id": flow, "parameters": {"secret": 1}}).json()
    answers = [api.get(f"{SYNC}/{task}") for task in (run["id"], uuid4(), flow, "x", "%00")]
    refusal = '{"detail":"Sync task not found","code":"sync_not_found"}'
    assert {(a.status_code, a.text) for a in answers} == {(404, refusal)}


def test_one_events_upkeep_leaves_the_other_as_it_is(
    api: httpx.Client, events: tuple[EventBox, EventBox]
) -> None:
    mine, other = events
    victim = remember(other)
    assert api.post(f"{EVENTS}/{mine.uuid}/photos/requeue").json()["requeued"] == 0
    link = api.post(f"{EVENTS}/{mine.uuid}/gallery-token").json()["gallery_url"]
    assert (
        link.rpartition("/")[2]
        == mine.query("SELECT gallery_token FROM event WHERE id = :event")[0][0]
    )
    assert remember(other) == victim


def test_an_event_that_is_not_there_looks_like_one_that_never_was(
    api: httpx.Client, events: tuple[EventBox, EventBox]
) -> None:
    near = UUID(int=events[0].uuid.int ^ 1)
    token = api.get(f"{EVENTS}/{events[0].uuid}").json()["gallery_url"].rpartition("/")[2]
    for path in ("", "/photos"):
        answers = [api.get(f"{EVENTS}/{event}{path}") for event in (near, uuid4())]
        refusal = '{"detail":"Event not found","code":"event_not_found"}'
        assert {(a.status_code, a.text) for a in answers} == {(404, refusal)}
        # Neither a number nor a guest's token is a name for it.
        for name in (str(events[0].id), token, "..", "%2e%2e"):
            assert api.get(f"{EVENTS}/{name}{path}").status_code in {400, 404}
