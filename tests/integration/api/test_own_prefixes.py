"""Events whose photos lie where another system has put them, beside events in the usual place."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4
from zipfile import ZipFile

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.facepass import main
from models.errors import EventTakenError, InvalidPrefixError
from models.queries.events import create_event
from models.session import open_session
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_sample, vary

EVENTS = "/api/v1/events"
SYNC = "/api/v1/faces/sync-s3"
FACE = "astronaut.png"


@pytest.fixture(scope="module")
def api(joined_stack: dict[str, str]) -> Any:
    url = joined_stack["FACEPASS_API_URL"]
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


def test_an_event_is_registered_with_a_prefix_of_its_own(api: httpx.Client) -> None:
    number = uuid4()
    body = {
        "name": "Своя папка",
        "event_uuid": str(number),
        "s3_prefix": "production/photos/{uuid}/previews/",
    }
    answer = api.post(EVENTS, json=body)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert told["s3_prefix"] == f"production/photos/{number}/previews/"
    assert api.get(f"{EVENTS}/{number}").json()["s3_prefix"] == told["s3_prefix"]
    listed = {event["event_uuid"]: event["s3_prefix"] for event in api.get(EVENTS).json()}
    assert listed[str(number)] == told["s3_prefix"]
    # Another system's photos may lie in the usual place too.
    usual = api.post(EVENTS, json={"name": "Обычная"}).json()
    assert usual["s3_prefix"] == f"events/{usual['event_id']}/previews/"


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "/",
        "previews/",
        "/a/previews/",
        "a/../b/previews/",
        "a/",
        "a" * 600 + "/previews/",
        "a\0/previews/",
        "events/previews/",
        "events/1/previews/",
        "results/previews/",
    ],
)
def test_a_prefix_that_cannot_be_is_refused_and_nothing_is_added(
    api: httpx.Client, prefix: str
) -> None:
    before = len(api.get(EVENTS).json())
    answer = api.post(EVENTS, json={"name": "Никакая", "s3_prefix": prefix})
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"].startswith("s3_prefix ")
    assert len(api.get(EVENTS).json()) == before


def test_no_folder_holds_or_lies_in_another_ones(api: httpx.Client) -> None:
    root = f"клуб-{uuid4().hex}"
    first = {"name": "Первая", "s3_prefix": f"{root}/2026/anna/previews/"}
    number = api.post(EVENTS, json=first).json()["event_id"]
    for folder in ("2026/anna", "2026", "2026/anna/day1", "2026/anna/previews"):
        body = {"name": "Вторая", "s3_prefix": f"{root}/{folder}/previews/"}
        answer = api.post(EVENTS, json=body)
        assert answer.status_code == 409, answer.text
        assert answer.json()["detail"].startswith("s3_prefix must name a folder of this event's")
        assert f"event {number}." in answer.json()["detail"]
    for folder in ("2026/ann", "2026/anna2", "2026/Anna", "202", "2026/boris"):
        body = {"name": "Рядом", "s3_prefix": f"{root}/{folder}/previews/"}
        assert api.post(EVENTS, json=body).status_code == 201


def test_of_two_requests_at_once_for_overlapping_folders_one_is_refused(
    api: httpx.Client,
) -> None:
    for inner in ("", "/day1"):
        root = f"at-once-{uuid4().hex}"
        bodies = [
            {"name": "Сразу", "s3_prefix": f"{root}{folder}/previews/"}
            for folder in ("", inner, "", inner)
        ]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda body: api.post(EVENTS, json=body), bodies))
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


PARTS = st.sampled_from(["a", "ab", "b", "previews", "events", "1", "2", "{uuid}", "é"])
PREFIXES = st.lists(
    st.tuples(st.lists(PARTS, min_size=1, max_size=3).map("/".join), st.integers(1, 4)),
    min_size=2,
    max_size=8,
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
@given(PREFIXES)
def test_whatever_is_asked_for_no_two_events_overlap(
    joined_stack: dict[str, str], asked: list[tuple[str, int]]
) -> None:
    with open_session() as session:
        base = 2_000_000_000
        folders = []
        for number, (folder, step) in enumerate(asked):
            # Every few ids one is left for the usual place.
            s3_prefix = None if step == 4 else f"t{base}/{folder}/previews/"
            try:
                event = create_event(session, name="x", event_id=base + number, s3_prefix=s3_prefix)
            except (EventTakenError, InvalidPrefixError):
                continue
            folders.append(event.folder)
        for index, folder in enumerate(folders):
            for other in folders[index + 1 :]:
                assert not folder.startswith(other)
                assert not other.startswith(folder)
        session.rollback()


def test_a_sync_reads_its_own_events_folder_alone(
    api: httpx.Client, make_event: Callable[..., EventBox]
) -> None:
    root = f"студия-{uuid4().hex}"
    mine = make_event(s3_prefix=f"{root}/anna/previews/")
    other = make_event(s3_prefix=f"{root}/anna2/previews/")
    for prefix in (other.prefix, f"{root}/previews/", f"events/{mine.id}/previews/", ""):
        body = {"event_uuid": str(mine.uuid), "s3_prefix": prefix}
        answer = api.post(SYNC, json=body)
        assert answer.status_code == 400
        assert mine.folder in answer.json()["detail"]
        if not prefix:
            continue  # a form of Prefect's that leaves it open asks for the event's own previews
        outcome = mine.sync(prefix)
        assert outcome.state.name == "Failed"
        assert mine.folder in outcome.state.message
    assert mine.photos() == other.photos() == {}


@pytest.fixture
def trio(
    make_event: Callable[..., EventBox],
) -> tuple[EventBox, EventBox, EventBox]:
    """Two events with folders of their own, one above whose photos is called as another folder."""
    root = f"production/{uuid4().hex}"
    return (
        make_event(s3_prefix=f"{root}/photos/{{uuid}}/previews/"),
        make_event(s3_prefix=f"{root}/previews/x/previews/"),
        make_event(),
    )


def read_faces(event: EventBox) -> list[Any]:
    return event.query("SELECT id, photo_id FROM face WHERE event_id = :event ORDER BY id")


def search(api: httpx.Client, event: EventBox) -> list[dict[str, Any]]:
    answer = api.post(
        "/api/v1/faces/search",
        data={"event_uuid": str(event.uuid)},
        files={"file": ("selfie.jpg", encode_jpeg(read_sample(FACE)))},
    )
    assert answer.status_code == 200, answer.text
    matches: list[dict[str, Any]] = answer.json()["matches"]
    return matches


def test_events_with_folders_of_their_own_live_beside_a_usual_one(
    api: httpx.Client, trio: tuple[EventBox, EventBox, EventBox], joined_stack: dict[str, str]
) -> None:
    for number, event in enumerate(trio):
        event.put("a.jpg", vary(read_sample(FACE), number))
        event.put("day 2/b.jpg", vary(read_sample(FACE), 10 + number))
        body = {"event_uuid": str(event.uuid), "s3_prefix": event.prefix}
        assert event.sync().result["new_photos"] == 2
        assert api.post(SYNC, json=body).json()["s3_prefix"] == event.prefix
    for event in trio:
        assert set(event.photos()) == {"a.jpg", "day 2/b.jpg"}
        matches = search(api, event)
        assert {match["s3_key"] for match in matches} == {
            f"{event.prefix}a.jpg",
            f"{event.prefix}day 2/b.jpg",
        }
        for match in matches:
            original = match["s3_key"].removeprefix(event.prefix)
            stored = event.bucket.client.get_object(
                Bucket=event.bucket.name, Key=f"{event.folder}originals/{original}"
            )["Body"].read()
            assert httpx.get(match["original_url"], trust_env=False).content == stored
            assert httpx.get(match["preview_url"], trust_env=False).status_code == 200
        (token,) = event.query("SELECT gallery_token FROM event WHERE id = :event")[0]
        base = f"{joined_stack['FACEPASS_API_URL']}/gallery/{token}"
        with httpx.Client(base_url=base, timeout=60, trust_env=False) as guest:
            ids = [row.id for each in trio for row in each.photos().values()]
            archive = ZipFile(BytesIO(guest.post("/zip", data={"photo_ids": ids}).content))
        assert sorted(archive.namelist()) == ["a.jpg", "b.jpg"]
    first, *others = trio
    before = [read_faces(event) for event in others]
    receipt = api.delete(f"{EVENTS}/{first.uuid}/faces").raise_for_status().json()
    assert receipt["faces_erased"] == 2
    assert read_faces(first) == []
    assert [read_faces(event) for event in others] == before


def test_previews_are_made_in_the_events_own_folder(
    trio: tuple[EventBox, EventBox, EventBox],
) -> None:
    from flows.make_previews import make_previews

    for event in trio[:2]:
        for folder in ("originals", "day2/originals"):
            event.bucket.client.put_object(
                Bucket=event.bucket.name,
                Key=f"{event.folder}{folder}/a.jpg",
                Body=encode_jpeg(read_sample(FACE)),
            )
        state: Any = make_previews(event.id, return_state=True)
        assert state.result()["made"] == 2
        listed = event.bucket.client.list_objects_v2(Bucket=event.bucket.name, Prefix=event.folder)[
            "Contents"
        ]
        names = {item["Key"].removeprefix(event.folder) for item in listed}
        assert {"previews/a.jpg", "day2/previews/a.jpg"} <= names
        assert event.sync(f"{event.folder}day2/previews/").result["new_photos"] == 1


def test_a_push_goes_where_the_api_says(
    joined_stack: dict[str, str],
    make_event: Callable[..., EventBox],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    event = make_event(s3_prefix=f"{uuid4().hex}/{{uuid}}/previews/")
    # With the workers' keys: the upload key of the embedded S3 reaches events/ alone.
    monkeypatch.setenv("FACEPASS_API_URL", joined_stack["FACEPASS_API_URL"])
    command = ["push", str(tmp_path), "--event", str(event.uuid), "--json", "--no-sync"]
    (tmp_path / "IMG_1.JPG").write_bytes(encode_jpeg(read_sample(FACE)))

    assert main(command) == 0

    assert event.sync().result["new_photos"] == 1
    (photo,) = event.photos().values()
    assert not photo.original_missing
    assert f"/{event.folder}originals/" in photo.image_url
    (tmp_path / "IMG_1.JPG").unlink()
    assert main([*command, "--delete"]) == 0
    left = event.bucket.client.list_objects_v2(Bucket=event.bucket.name, Prefix=event.folder)
    assert left["KeyCount"] == 0


def test_a_change_of_the_model_and_the_resync_know_the_events_own_folder(
    make_event: Callable[..., EventBox],
) -> None:
    from flows.reembed_event import reembed_event
    from tasks.sync.resync import list_resync_targets

    event = make_event(s3_prefix=f"{uuid4().hex}/previews/")
    key = event.put("a.jpg", encode_jpeg(read_sample(FACE)))
    event.put("b.jpg", vary(read_sample(FACE), 1))
    assert event.sync().result["new_photos"] == 2
    targets = {target.event_id: target.s3_prefix for target in list_resync_targets.fn()}
    assert targets[event.id] == event.prefix
    # One photo is away: it is left to the sync that follows, of the event's own prefix.
    event.bucket.client.delete_object(Bucket=event.bucket.name, Key=key)

    state: Any = reembed_event(event.id, None, "groups", return_state=True)

    assert state.name.startswith("Completed")
    (asked,) = event.query("SELECT pending_prefixes FROM event WHERE id = :event")[0]
    assert asked in ([event.prefix], [])
    runs = event.query("SELECT s3_prefix FROM sync_run WHERE event_id = :event")
    assert {run.s3_prefix for run in runs} == {event.prefix, f"events/{event.id}/"}
