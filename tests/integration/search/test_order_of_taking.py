"""The order of taking on the real stack: what guests and photographers see, page by page."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from deployments.facepass import main
from models.keys import default_folder, derive_original_key
from models.queries.erasures import erase_event_rows
from models.queries.photos import EventClock, PageCursor, list_gallery_photos, list_photos
from models.session import open_session
from models.tables import Event
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, encode_with_exif, read_sample, write_exif

CANON, NIKON = ("Canon", "Canon EOS R6"), ("NIKON CORPORATION", "NIKON Z 8")


def photograph(moment: str | None, number: int = 0, side: int = 300, **exif: Any) -> bytes:
    """A small photo, another one for each number."""
    picture = read_sample("astronaut.png").resize((side + number, side))
    return encode_with_exif(picture, write_exif(moment, **exif))


def put_original(event: EventBox, name: str, content: bytes) -> None:
    key = derive_original_key(event.prefix + name, default_folder(event.id))
    event.bucket.client.put_object(Bucket=event.bucket.name, Key=key, Body=content)


def make_previews(event: EventBox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the flow in this process, and the sync that it would start."""
    from flows import make_previews as module

    monkeypatch.setattr(module, "start_syncs", lambda *_: [])
    assert module.make_previews(event.id, return_state=True).is_completed()
    assert event.sync().state.is_completed()


def list_names(api: httpx.Client, event: EventBox, limit: int = 100, **query: Any) -> list[str]:
    """The photographer's list, all its pages."""
    names: list[str] = []
    cursor: str | None = "0"
    while cursor is not None:
        query |= {"cursor": cursor, "limit": limit}
        page = api.get(f"/api/v1/events/{event.uuid}/photos", params=query).raise_for_status()
        names += [photo["s3_key"].removeprefix(event.prefix) for photo in page.json()["photos"]]
        cursor = page.json()["next_cursor"]
    return names


def list_gallery(api: httpx.Client, event: EventBox) -> list[str]:
    """What guests see, from the page itself."""
    events = api.get("/api/v1/events").json()
    (url,) = [one["gallery_url"] for one in events if one["event_id"] == event.id]
    page = api.get(httpx.URL(url).path, headers={"Accept-Language": "en"}).text
    (listed,) = re.findall(r'<script type="application/json" id="listed">(.*?)</script>', page)
    return [photo["name"] for photo in json.loads(listed)]


def read_cameras(api: httpx.Client, event: EventBox) -> list[dict[str, Any]]:
    answer = api.get(f"/api/v1/events/{event.uuid}/cameras").raise_for_status()
    cameras: list[dict[str, Any]] = answer.json()
    return cameras


def test_names_without_a_time_are_in_the_order_in_which_people_count(
    api: httpx.Client, event: EventBox
) -> None:
    names = ["DSC_0001.jpg", "DSC_9999.jpg", "IMG_2.jpg", "IMG_9.jpg", "img_10.JPG", "img_10-2.jpg"]
    for number, name in enumerate(reversed(names)):
        event.put(name, encode_jpeg(read_sample("coffee.png").resize((200 + number, 200))))
    event.sync()

    assert list_names(api, event) == list_names(api, event, limit=2) == names
    assert list_gallery(api, event) == names
    assert read_cameras(api, event) == []


def test_two_cards_and_a_counter_that_began_anew_are_in_the_order_of_taking(
    api: httpx.Client, event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = {
        "card1/DSC_9999.jpg": photograph("2026:06:20 12:00:00"),
        "card1/DSC_0001.jpg": photograph("2026:06:20 12:00:00", fraction="50"),
        "card2/IMG_10.jpg": photograph("2026:06:20 12:00:30", camera=NIKON),
        "card1/DSC_0002.jpg": photograph("2026:06:20 12:01:00"),
        "card2/IMG_9.jpg": photograph("2026:06:20 12:02:00", camera=NIKON),
        "card2/a.jpg": photograph("0000:00:00 00:00:00"),
    }
    for name, content in taken.items():
        put_original(event, name, content)

    make_previews(event, monkeypatch)

    assert list_names(api, event) == list_names(api, event, limit=1) == list(taken)
    assert list_gallery(api, event) == [name.partition("/")[2] for name in taken]
    key = f"{event.prefix}card1/DSC_0001.jpg"
    notes = event.bucket.client.head_object(Bucket=event.bucket.name, Key=key)["Metadata"]
    assert notes["facepass-taken"] == "2026-06-20T12:00:00.500000"
    assert notes["facepass-camera"].endswith(" Canon%20EOS%20R6")


def test_a_pushed_folder_is_in_the_order_of_taking(
    api: httpx.Client,
    event: EventBox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serial = "042021001234"
    (tmp_path / "b.jpg").write_bytes(photograph("2026:06:20 12:00:00", 1, serial=serial))
    (tmp_path / "a.jpg").write_bytes(photograph("2026:06:20 12:00:01", 2, serial=serial))
    (tmp_path / "0.png").write_bytes(
        encode_with_exif(
            Image.new("RGB", (90, 60)), write_exif("2026:06:20 11:00:00", serial="77"), "PNG"
        )
    )
    capsys.readouterr()

    assert main(["push", str(tmp_path), "--event", str(event.uuid), "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["sync"]["state"] == "completed"
    names = [name.rpartition("/")[2] for name in list_names(api, event)]
    assert names == ["0.png", "b.jpg", "a.jpg"]
    first, second = read_cameras(api, event)
    assert (first["photos"], second["photos"]) == (1, 2)
    assert first["name"] == second["name"] == "Canon EOS R6"
    assert first["camera"] != second["camera"]
    page = next(iter(event.bucket.list_pages(event.prefix)))
    for item in page:
        head = event.bucket.client.head_object(Bucket=event.bucket.name, Key=item.s3_key)
        assert serial not in str(head["Metadata"])


def test_a_photographers_own_preview_tells_its_time_itself(
    api: httpx.Client, event: EventBox
) -> None:
    event.put("a.jpg", photograph("2026:06:20 12:00:01", 1))
    event.put("b.jpg", photograph("2026:06:20 12:00:00", 2))
    event.sync()
    assert list_names(api, event) == ["b.jpg", "a.jpg"]

    event.put("a.jpg", photograph("2026:06:20 11:00:00", 3))
    event.sync()
    assert list_names(api, event) == ["a.jpg", "b.jpg"]

    event.put("a.jpg", photograph(None, 4))
    event.sync()
    assert list_names(api, event) == ["b.jpg", "a.jpg"]


def test_times_of_different_zones_are_compared_in_the_one_of_most_photos(
    api: httpx.Client, event: EventBox
) -> None:
    event.put("1.jpg", photograph("2026:06:20 12:00:00", 1, offset="+03:00"))
    event.put("2.jpg", photograph("2026:06:20 11:30:00", 2, offset="+02:00"))  # 12:30 there
    event.put("3.jpg", photograph("2026:06:20 13:00:00", 3, camera=NIKON))  # no zone: as written
    event.put("4.jpg", photograph("2026:06:20 10:15:00", 4, offset="Z"))  # 13:15 there
    event.put("5.jpg", photograph("2026:06:20 14:00:00", 5, offset="+03:00"))
    event.sync()

    assert list_names(api, event) == ["1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg"]
    answer = api.get(f"/api/v1/events/{event.uuid}/photos").json()["photos"]
    assert [photo["taken_at"][11:16] for photo in answer] == [
        "12:00",
        "12:30",
        "13:00",
        "13:15",
        "14:00",
    ]


def test_a_camera_whose_clock_was_wrong_is_corrected_and_the_order_follows_at_once(
    api: httpx.Client, event: EventBox
) -> None:
    for number in range(3):
        event.put(f"c{number}.jpg", photograph(f"2026:06:20 12:0{number}:00", number))
        wrong = photograph(f"2026:06:20 11:0{number}:30", 9 + number, camera=NIKON)
        event.put(f"n{number}.jpg", wrong)
    event.sync()
    assert list_names(api, event) == ["n0.jpg", "n1.jpg", "n2.jpg", "c0.jpg", "c1.jpg", "c2.jpg"]
    nikon, canon = read_cameras(api, event)
    assert (nikon["name"], canon["name"]) == ("NIKON Z 8", "Canon EOS R6")
    path = f"/api/v1/events/{event.uuid}/cameras/{nikon['camera']}"

    shifted = api.put(path, json={"shift_seconds": 3600}).raise_for_status().json()

    assert (shifted["shift_seconds"], shifted["photos"]) == (3600, 3)
    assert shifted["first_taken_at"] == "2026-06-20T12:00:30"
    mixed = ["c0.jpg", "n0.jpg", "c1.jpg", "n1.jpg", "c2.jpg", "n2.jpg"]
    assert list_names(api, event) == list_names(api, event, limit=2) == mixed
    assert list_gallery(api, event) == mixed
    assert read_cameras(api, event) == [canon, shifted]
    # Photos that come later are shifted too; the shift is set, not added.
    event.put("n9.jpg", photograph("2026:06:20 10:59:00", 20, camera=NIKON))
    event.sync()
    assert list_names(api, event)[0] == "n9.jpg"
    api.put(path, json={"shift_seconds": 0}).raise_for_status()
    assert {camera["shift_seconds"] for camera in read_cameras(api, event)} == {0}


@pytest.mark.parametrize(
    ("camera", "shift", "status"),
    [("00000000", 60, 404), ("IMG_1.jpg", 60, 422), (None, 10**12, 422), (None, 0.5, 422)],
)
def test_a_wrong_camera_or_shift_is_refused(
    api: httpx.Client, event: EventBox, camera: str | None, shift: float, status: int
) -> None:
    event.put("a.jpg", photograph("2026:06:20 12:00:00"))
    event.sync()
    known = read_cameras(api, event)[0]["camera"]
    path = f"/api/v1/events/{event.uuid}/cameras/{camera or known}"
    answer = api.put(path, json={"shift_seconds": shift})
    assert answer.status_code == status
    assert read_cameras(api, event)[0]["shift_seconds"] == 0
    # Another event has no such camera.
    elsewhere = path.replace(str(event.uuid), str(EventBox().uuid))
    assert api.put(elsewhere, json={"shift_seconds": 1}).status_code in {404, 422}


def add_rows(event: EventBox, rows: dict[str, tuple[str | None, str]]) -> None:
    """Photos as a sync stores them: name -> time and camera."""
    for name, (taken_at, camera) in rows.items():
        time = "NULL" if taken_at is None else f"'{taken_at}'"
        event.query(
            "INSERT INTO photo (event_id, s3_key, etag, size, image_url, original_missing, status,"
            " confidence, attempts, change, taken_at, camera, created_at) VALUES (:event,"
            f" '{event.prefix}{name}', 'e', 1, 'u', false, 'no_face', 0, 1, 'new', {time},"
            f" '{camera}', now()) RETURNING id"
        )


def test_a_lists_pages_go_on_in_the_order_of_the_first_whatever_happens_meanwhile(
    api: httpx.Client, event: EventBox
) -> None:
    """A sync that adds and dates photos, and a clock that is corrected: none twice, none missed."""
    cameras = ["aaaaaaaa", "bbbbbbbb"]
    add_rows(
        event,
        {
            f"{number}.jpg": (
                None if number > 15 else f"2026-06-20 12:{number % 4:02}:00",
                cameras[number % 2],
            )
            for number in range(20)
        },
    )
    expected = list_names(api, event)
    path, params = f"/api/v1/events/{event.uuid}/photos", {"limit": "3"}
    seen: list[str] = []
    for step in range(9):
        page = api.get(path, params=params).raise_for_status().json()
        seen += [photo["s3_key"].removeprefix(event.prefix) for photo in page["photos"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
        shift = {"shift_seconds": (-7200, 7200, 0)[step % 3]}
        api.put(
            f"/api/v1/events/{event.uuid}/cameras/{cameras[step % 2]}", json=shift
        ).raise_for_status()
        add_rows(event, {f"new{step}.jpg": ("2026-06-20 08:00:00", "aaaaaaaa")})
        # What has been read already is dated anew.
        event.query(
            f"UPDATE photo SET taken_at = '2026-06-21' WHERE s3_key = '{event.prefix}{seen[0]}'"
            " RETURNING id"
        )
    unchanged = [name for name in seen if name != seen[0] and not name.startswith("new")]
    assert unchanged == expected[1:]


def test_every_order_is_total_and_pages_of_any_size_show_each_photo_once(event: EventBox) -> None:
    add_rows(
        event,
        {
            f"{folder}/IMG_{number}{end}.jpg": (moment, "aaaaaaaa")
            for folder in ("a", "a-b", "B")
            for number, end in ((1, ""), (1, " (2)"), ("01", ""), (10, ""), (2, ""))
            for moment in (None,)
        }
        | {f"t{number}.jpg": ("2026-06-20 12:00:00", "bbbbbbbb") for number in range(12)},
    )
    for clock in (EventClock(), EventClock(180, {"bbbbbbbb": -10})):
        with open_session() as session:
            start = PageCursor(clock)
            whole = list_gallery_photos(session, event.id, after=start, limit=100)
            rows = list_photos(session, event.id, status=None, after=start, limit=100)
            assert [row.id for row, *_ in rows] == [photo.id for photo in whole]
            assert len(whole) == 27
            for size in (1, 2, 5, 26, 27):
                after, pages = start, list[int]()
                while page := list_gallery_photos(session, event.id, after=after, limit=size):
                    pages += [photo.id for photo in page]
                    after = PageCursor.decode(after.move(page[-1].id, page[-1].taken_at).encode())
                assert pages == [photo.id for photo in whole]


def test_an_erasure_forgets_times_cameras_and_shifts(api: httpx.Client, event: EventBox) -> None:
    event.put("a.jpg", photograph("2026:06:20 12:00:00", offset="+03:00"))
    event.put("b.jpg", photograph("2026:06:20 12:00:00", 1)[:9000])
    event.sync()
    (camera,) = read_cameras(api, event)
    assert camera["photos"] == 2
    path = f"/api/v1/events/{event.uuid}/cameras/{camera['camera']}"
    api.put(path, json={"shift_seconds": 60}).raise_for_status()

    with open_session() as session:
        erase_event_rows(session, event.id)

    with open_session() as session:
        row = session.get_one(Event, event.id)
        assert (row.utc_offset, row.camera_shifts) == (None, {})
    assert read_cameras(api, event) == []
    columns = "taken_at, utc_offset, camera, camera_name"
    rows = event.query(f"SELECT {columns} FROM photo WHERE event_id = :event")
    assert [tuple(row) for row in rows] == [(None,) * 4] * 2


def test_a_search_tells_when_each_photo_was_taken_and_keeps_its_order(
    api: httpx.Client, event: EventBox
) -> None:
    event.put("late.jpg", photograph("2026:06:20 18:00:00", 1, 512))
    event.put("early.jpg", photograph("2026:06:20 09:00:00", 2, 500))
    event.put("never.jpg", photograph(None, 3, 490))
    event.sync()
    files = {"file": ("me.jpg", encode_jpeg(read_sample("astronaut.png")))}

    answer = api.post("/api/v1/faces/search", data={"event_uuid": str(event.uuid)}, files=files)

    matches = answer.raise_for_status().json()["matches"]
    told = {match["s3_key"].rpartition("/")[2]: match["taken_at"] for match in matches}
    assert told == {
        "late.jpg": "2026-06-20T18:00:00",
        "early.jpg": "2026-06-20T09:00:00",
        "never.jpg": None,
    }
    similarities = [match["similarity"] for match in matches]
    assert similarities == sorted(similarities, reverse=True)


def test_a_cached_batch_of_a_release_without_times_is_computed_again(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.sync import embed

    event.put("a.jpg", photograph("2026:06:20 12:00:00"))
    with monkeypatch.context() as patch:
        patch.setattr(embed, "add_takings", lambda product, _: product)
        patch.setattr("tasks.sync.batch.unpack_product", refuse)
        event.sync()
    assert event.photos()["a.jpg"].status == "pending"

    assert event.sync().state.is_completed()

    row = event.photos()["a.jpg"]
    assert (row.status, row.taken_at) == ("indexed", datetime.fromisoformat("2026-06-20 12:00"))


def refuse(*_: object) -> Any:
    raise ConnectionError("the process dies here")


def test_a_photo_is_asked_for_once_in_a_sync(event: EventBox) -> None:
    asked: list[str] = []

    def note(event_name: str, **_: Any) -> None:
        asked.append(event_name.rpartition(".")[2])

    event.put("a.jpg", photograph("2026:06:20 12:00:00"))
    events = event.bucket.client.meta.events
    names = [f"before-send.s3.{name}" for name in ("GetObject", "HeadObject")]
    for name in names:
        events.register(name, note)
    try:
        event.sync()
    finally:
        for name in names:
            events.unregister(name, note)
    assert asked == ["GetObject"]
