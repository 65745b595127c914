"""A home whose faces were found by the former look of the same models: guests never see nothing."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import numpy as np
import pytest

from models.packs import PackChoice, choose_pack
from models.queries.packs import register_pack
from models.queries.photos import PageCursor, list_gallery_photos
from models.queries.search import FaceQuery, find_photos, has_foreign_faces
from models.session import open_session
from models.settings import get_settings
from models.tables import Event, utc_now
from tests.support.event_box import EventBox, SyncOutcome
from tests.support.guests import make_album
from tests.support.photos import encode_jpeg, read_sample
from tests.support.waiting import wait_until

PEOPLE = ("6 plain.jpg", "6 mirrored.jpg", "1 plain.jpg", "group plain.jpg")
ASTRONAUTS = {"6 plain.jpg", "6 mirrored.jpg"}
# The former look did not see the astronaut in this one.
OVERLOOKED = "6 lying.jpg"
AGE = (
    "UPDATE photo SET pack_id = {former} WHERE event_id = :event AND pack_id IS NOT NULL"
    " RETURNING id",
    "UPDATE face SET pack_id = {former} WHERE event_id = :event RETURNING id",
    "UPDATE photo SET status = 'no_face', reason = 'no_face_detected', confidence = 0"
    f" WHERE event_id = :event AND s3_key LIKE '%{OVERLOOKED}' RETURNING id",
    f"DELETE FROM face USING photo WHERE photo.id = photo_id AND s3_key LIKE '%{OVERLOOKED}'"
    " AND photo.event_id = :event RETURNING photo.id",
    "UPDATE sync_run SET created_at = created_at - interval '3 days',"
    " finished_at = finished_at - interval '3 days' WHERE event_id = :event RETURNING 1",
)


@pytest.fixture
def api(joined_stack: dict[str, str]) -> Iterator[httpx.Client]:
    url = joined_stack["FACEPASS_API_URL"]
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def album() -> dict[str, bytes]:
    return dict(make_album())


@pytest.fixture
def make_former(
    make_event: Callable[..., EventBox], album: dict[str, bytes]
) -> Iterator[Callable[[], EventBox]]:
    """Events as a release with the former look left them."""
    made = []

    def make() -> EventBox:
        event = make_event()
        for name in PEOPLE:
            event.put(name, album[name])
        event.put(OVERLOOKED, album["6 darker.jpg"])
        event.put("кофе.jpg", encode_jpeg(read_sample("coffee.png")))
        event.put("broken.jpg", b"broken")
        assert event.sync().result["new_photos"] == len(PEOPLE) + 2
        for statement in AGE:
            assert event.query(statement.format(former=find_packs()[0]))
        made.append(event)
        return event

    yield make
    for event in made:  # or the next test's re-embedding would go on with them
        event.query("UPDATE event SET erased_at = now() WHERE id = :event RETURNING 1")


def find_packs() -> tuple[int, int]:
    """The numbers of the former look and of this one."""
    from tasks.packs.registry import resolve_pack

    pack = resolve_pack(get_settings())
    with open_session() as session:
        former, now = (
            register_pack(session, identity, pack.licence)
            for identity in (pack.former_identity, pack.identity)
        )
    return former, now


def change(event: EventBox) -> SyncOutcome:
    """Re-embed the event by what it has, in this process."""
    from flows.reembed_event import reembed_event

    state = reembed_event(event.id, return_state=True)
    return SyncOutcome(state.state_details.flow_run_id, state)


def find_astronaut(event: EventBox) -> set[str]:
    """Names of the photos that a search by both looks' packs shows to the astronaut."""
    former, now = find_packs()
    rows = event.query(
        "SELECT embedding::text FROM face JOIN photo ON photo.id = photo_id"
        " WHERE photo.event_id = :event AND s3_key LIKE '%6 plain.jpg'"
    )
    vector = np.array([float(number) for number in rows[0][0].strip("[]").split(",")], np.float32)
    with open_session() as session:
        assert not has_foreign_faces(session, event.id, [former, now])
        query = FaceQuery(event.id, [former, now], vector, 0.4)
        found = find_photos(session, query, after=None, limit=50)
    return {photo.s3_key.removeprefix(event.prefix) for photo in found}


def list_shown(event: EventBox) -> set[str]:
    """Names of the photos in the guests' gallery."""
    with open_session() as session:
        photos = list_gallery_photos(session, event.id, after=PageCursor(), limit=100)
    return {photo.s3_key.removeprefix(event.prefix) for photo in photos}


def read_packs(event: EventBox) -> dict[str, str]:
    """Name -> status, with the look in whose words: `former` or `now`."""
    names = dict(zip(find_packs(), ("former", "now"), strict=True))
    return {
        name: f"{row.status} {names.get(row.pack_id, '')}".strip()
        for name, row in event.photos().items()
    }


def count_pack_faces(event: EventBox) -> tuple[int, int]:
    """Stored faces of the former look and of this one."""
    rows = event.query("SELECT pack_id, count(*) FROM face WHERE event_id = :event GROUP BY 1")
    counts = {row.pack_id: row.count for row in rows}
    former, now = (counts.get(pack_id, 0) for pack_id in find_packs())
    assert former + now == sum(counts.values())
    return former, now


def test_a_sync_reads_only_what_is_new_and_guests_go_on_finding_the_rest(
    make_former: Callable[[], EventBox],
    album: dict[str, bytes],
    api: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tasks.sync import batch

    event = make_former()
    shown = list_shown(event)
    assert (find_astronaut(event), len(shown)) == (ASTRONAUTS, 6)
    event.put("day2/6 cropped.jpg", album["6 cropped.jpg"])
    store_slice = batch.store_slice

    def look(*args: Any) -> None:
        assert (find_astronaut(event), list_shown(event)) == (ASTRONAUTS, shown)
        store_slice(*args)

    monkeypatch.setattr(batch, "store_slice", look)

    # Also where only a folder is listed: what can be compared is not foreign.
    result = event.sync(f"{event.prefix}day2/").result

    assert (result["total_found"], result["new_photos"], result["faces_found"]) == (1, 1, 1)
    result = event.sync().result
    counts = ("total_found", "new_photos", "updated", "skipped", "failed", "gone")
    assert [result[name] for name in counts] == [8, 0, 0, 7, 1, 0]
    assert find_astronaut(event) == {*ASTRONAUTS, "day2/6 cropped.jpg"}
    faces = count_pack_faces(event)
    assert faces[1] == 1
    details = api.get(f"/api/v1/events/{event.uuid}").json()
    assert (details["faces"], details["photos"]["pending"]) == (sum(faces), 0)


def test_a_former_photo_may_go_come_back_be_erased_restored_and_requeued(
    make_former: Callable[[], EventBox], album: dict[str, bytes], api: httpx.Client
) -> None:
    event = make_former()
    address = f"/api/v1/events/{event.uuid}"
    event.remove("6 mirrored.jpg")
    assert event.sync().result["gone"] == 1
    assert find_astronaut(event) == {"6 plain.jpg"}
    event.put("6 mirrored.jpg", album["6 mirrored.jpg"])
    assert event.sync().result["skipped"] == 6
    assert find_astronaut(event) == ASTRONAUTS
    photo_id = event.photos()["1 plain.jpg"].id
    api.delete(f"{address}/photos/{photo_id}").raise_for_status()
    api.post(f"{address}/photos/requeue").raise_for_status()
    result = event.sync().result
    assert (result["skipped"], result["failed"]) == (6, 1)
    assert event.face_counts()["1 plain.jpg"] == 0
    api.post(f"{address}/photos/{photo_id}/restore").raise_for_status()
    assert event.sync().result["new_photos"] == 1
    assert read_packs(event) == {
        "1 plain.jpg": "indexed now",
        "6 mirrored.jpg": "indexed former",
        "6 plain.jpg": "indexed former",
        OVERLOOKED: "no_face former",
        "broken.jpg": "failed now",
        "group plain.jpg": "indexed former",
        "кофе.jpg": "no_face former",
    }
    # One that is away while its event is re-embedded is read anew when it comes back.
    event.remove("6 mirrored.jpg")
    event.sync()
    assert change(event).result["photos"] == 4  # neither what is gone nor what is new
    event.put("6 mirrored.jpg", album["6 mirrored.jpg"])
    assert event.sync().result["updated"] == 1
    assert find_astronaut(event) == {*ASTRONAUTS, OVERLOOKED}
    assert count_pack_faces(event)[0] == 0


def test_a_mixture_is_reembedded_and_what_cannot_be_read_keeps_its_faces(
    make_former: Callable[[], EventBox],
    album: dict[str, bytes],
    api: httpx.Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tasks.sync import reembed

    event = make_former()
    event.put("6 cropped.jpg", album["6 cropped.jpg"])
    assert event.sync().result["new_photos"] == 1
    event.put("6 mirrored.jpg", album["6 smaller.jpg"])
    event.remove("1 plain.jpg")
    shown, found = list_shown(event), find_astronaut(event)
    assert found == {*ASTRONAUTS, "6 cropped.jpg"}
    faces = sum(count_pack_faces(event))
    switch_pack = reembed.switch_pack

    def look_around_the_switch(*args: Any, **named: Any) -> Any:
        assert (find_astronaut(event) - {OVERLOOKED}, list_shown(event)) == (found, shown)
        assert api.get(f"/api/v1/events/{event.uuid}").json()["faces"] == faces
        return switch_pack(*args, **named)

    monkeypatch.setattr(reembed, "switch_pack", look_around_the_switch)
    monkeypatch.setattr("flows.reembed_event.go_on", lambda _: None)

    result = change(event).result

    assert (result["photos"], result["left"]) == (4, {"changed": 1, "vanished": 1})
    assert list_shown(event) == shown
    assert find_astronaut(event) == {*found, OVERLOOKED}
    packs = read_packs(event)
    assert packs["6 mirrored.jpg"] == packs["1 plain.jpg"] == "indexed former"
    assert {packs[name] for name in (OVERLOOKED, "6 plain.jpg", "6 cropped.jpg")} == {"indexed now"}
    assert api.get(f"/api/v1/events/{event.uuid}").json()["faces"] == result["faces_found"]
    assert sum(count_pack_faces(event)) == result["faces_found"] == faces + 1
    # The sync that follows reads the changed one and hides the one that is gone.
    result = event.sync().result
    assert (result["updated"], result["gone"], result["skipped"]) == (1, 1, 5)
    assert count_pack_faces(event)[0] == event.face_counts()["1 plain.jpg"] == 1
    # By hand it can be asked for again, with nothing left to read.
    monkeypatch.setattr(reembed, "switch_pack", switch_pack)
    assert change(event).result["photos"] == 0
    assert count_pack_faces(event)[0] == 0


def test_the_resync_brings_outdated_events_up_to_date_one_after_the_other(
    make_former: Callable[[], EventBox], api: httpx.Client, prefect: httpx.Client
) -> None:
    from flows.resync_events import resync_events

    events = [make_former(), make_former()]
    busy = make_former()
    idle = utc_now() - timedelta(days=1)
    with open_session() as session:
        ids = [event.id for event in (*events, busy)]
        others = f"UPDATE event SET erased_at = now() WHERE NOT id = ANY(ARRAY{ids}) RETURNING 1"
    events[0].query(others)  # other tests' events are none of ours
    with open_session() as session:
        for event in (*events, busy):
            session.get_one(Event, event.id).active_until = idle
    busy.query("UPDATE sync_run SET finished_at = now() WHERE event_id = :event RETURNING 1")
    shown = [list_shown(event) for event in events]

    state = asyncio.run(resync_events(return_state=True))

    assert state.name == "Completed: 0 started, 0 waiting already, 0 unchanged"
    # The next hour starts no second one beside it.
    asyncio.run(resync_events(return_state=True))

    def look() -> bool:
        for event, photos in zip(events, shown, strict=True):
            assert list_shown(event) == photos
            assert find_astronaut(event) >= ASTRONAUTS
        return all(OVERLOOKED in find_astronaut(event) for event in events)

    wait_until(look, limit_s=240)
    assert [count_pack_faces(event)[0] for event in events] == [0, 0]
    runs = [
        event.query(
            "SELECT flow_run_id, started_at, finished_at FROM sync_run WHERE event_id = :event"
            " AND s3_prefix NOT LIKE '%previews%'"
        )[0]
        for event in events
    ]
    first, second = sorted(runs, key=lambda run: run.started_at)
    assert second.started_at >= first.finished_at
    for run in (first, second):
        told = prefect.get(f"/flow_runs/{run.flow_run_id}").json()
        assert told["work_queue_name"] == "resync"
    # An event that somebody works on waits for a quieter hour.
    assert count_pack_faces(busy)[1] == 0


def test_an_event_is_tried_once_a_day_and_not_while_a_sync_of_it_is_under_way(
    make_former: Callable[[], EventBox],
) -> None:
    from models.queries.reembeds import find_outdated_event

    event = make_former()
    with open_session() as session:
        choice = choose_pack(session.get_one(Event, event.id))
        session.get_one(Event, event.id).active_until = utc_now() + timedelta(days=999)
    assert choice == PackChoice()

    def is_found() -> bool:
        with open_session() as session:
            found = find_outdated_event(session, choice, find_packs()[0])
        return found == (event.id, event.name)

    assert is_found()
    run = (
        "INSERT INTO sync_run (flow_run_id, event_id, s3_prefix, state, planned, batches,"
        " processed, gone, tallies, created_at, finished_at) VALUES (gen_random_uuid(), :event,"
        " '{prefix}', '{state}', false, 0, 0, 0, '{{}}', now() - interval '{age}', {end})"
        " RETURNING 1"
    )
    an_hour_ago = "now() - interval '1 hour'"
    for prefix, state, age, end, is_left in (
        (event.prefix, "running", "1 hour", "NULL", True),
        (event.prefix, "completed", "2 hours", "now()", True),
        (event.prefix, "completed", "2 hours", an_hour_ago, False),
        (f"events/{event.id}/", "failed", "2 hours", an_hour_ago, True),
        (f"events/{event.id}/", "skipped", "2 hours", an_hour_ago, False),
        (f"events/{event.id}/", "failed", "2 days", an_hour_ago, False),
    ):
        event.query(run.format(prefix=prefix, state=state, age=age, end=end))
        assert is_found() != is_left, (prefix, state)
        event.query(
            "DELETE FROM sync_run WHERE event_id = :event"
            " AND created_at > now() - interval '60 hours' RETURNING 1"
        )
    event.query("UPDATE event SET erased_at = now() WHERE id = :event RETURNING 1")
    assert not is_found()


def test_an_idle_event_of_the_former_look_is_not_read_in_place(
    make_former: Callable[[], EventBox],
) -> None:
    from tasks.sync.resync import ResyncTarget, has_changed, list_resync_targets

    event = make_former()
    with open_session() as session:
        session.get_one(Event, event.id).active_until = utc_now() - timedelta(days=1)
    assert event.id not in {target.event_id for target in list_resync_targets.fn()}
    assert not has_changed(ResyncTarget(event.id, event.prefix, event.name))
