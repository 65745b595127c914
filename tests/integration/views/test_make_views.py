"""Views of a synced event: made once each from its originals, recorded, replaced and deleted."""

import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from deployments.facepass import main
from models.keys import derive_view_keys
from models.queries.erasures import restore_photo, resume_event
from models.session import open_session
from models.vocabulary import ViewKind
from tasks.images.views import MOST_THUMB_BYTES, VIEWS_RECIPE, make_views
from tasks.results.erasure import erase_event_faces, erase_photo_faces
from tasks.s3.bucket import get_bucket
from tasks.s3.objects import delete_object
from tests.support.event_box import EventBox
from tests.support.faults import FaultProxy
from tests.support.photos import encode_jpeg, read_group, read_sample
from tests.support.views import make_event_views
from tests.support.waiting import wait_until

# Makes views in a process of its own that kills itself before the eighth object is put.
DOOMED = """
import itertools, os, signal, sys, threading
from tasks.s3 import views
from flows.make_views import make_views

put, numbers, one_at_a_time = views.put_unless_changed, itertools.count(1), threading.Lock()

def put_or_die(*args):
    with one_at_a_time:
        if next(numbers) == 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return put(*args)

views.put_unless_changed = put_or_die
make_views(int(sys.argv[1]))
"""


@pytest.fixture(autouse=True)
def _views_are_made(configure: Callable[..., None], joined_stack: dict[str, str]) -> None:
    """The stack's own runs make none by themselves; this process does."""
    configure(make_views=1)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """The runs that ends of syncs would have started."""
    from flows import sync_event_photos

    runs: list[tuple[int, str]] = []
    monkeypatch.setattr(
        sync_event_photos, "start_views", lambda event_id, name: runs.append((event_id, name))
    )
    return runs


def draw(number: int) -> bytes:
    """A photo of its own, larger than a preview."""
    return encode_jpeg(read_group().resize((1000 + number, 700)))


def put_photos(event: EventBox, *names: str) -> None:
    for number, name in enumerate(names):
        event.put(name, encode_jpeg(read_group().resize((640, 448 + number))))
        put(event, f"{event.folder}originals/{name}", draw(number))


def put(event: EventBox, key: str, content: bytes) -> None:
    event.bucket.client.put_object(Bucket=event.bucket.name, Key=key, Body=content)


def make(event: EventBox) -> Any:
    """Run the flow in this process, retries and all; its last state."""
    from flows.make_views import make_views as flow

    return flow(event.id, return_state=True)


def list_objects(event: EventBox) -> dict[str, str]:
    """Keys below the event's folder and what tells whether they were put anew."""
    listed = event.bucket.client.list_objects_v2(Bucket=event.bucket.name, Prefix=event.folder)
    return {
        item["Key"].removeprefix(event.folder): f"{item['ETag']} {item['LastModified']}"
        for item in listed.get("Contents", [])
    }


def list_view_objects(event: EventBox) -> dict[str, str]:
    found = list_objects(event)
    return {key: v for key, v in found.items() if key.startswith(("thumbs/", "views/"))}


def read_view(event: EventBox, name: str, kind: ViewKind) -> Image.Image:
    keys = derive_view_keys(f"{event.prefix}{name}", event.folder)
    assert keys is not None
    answer = event.bucket.client.get_object(Bucket=event.bucket.name, Key=keys[kind])
    return Image.open(BytesIO(answer["Body"].read()))


def has_views(event: EventBox) -> dict[str, bool]:
    return {
        name: row.views_etag == row.etag and row.views_source is not None
        for name, row in event.photos().items()
    }


def test_a_sync_is_followed_by_the_views_of_all_its_photos(
    event: EventBox, joined_stack: dict[str, str], prefect: httpx.Client
) -> None:
    put_photos(event, "IMG_1.jpg", "Гости/Ёжик и я.jpg")
    event.put("no face.png", encode_jpeg(Image.new("RGB", (640, 480), "grey")))
    event.put("lonely.jpg", encode_jpeg(read_sample("astronaut.png")), original=False)
    event.put("broken.jpg", encode_jpeg(read_group())[:4000])
    event.sync()

    body = {
        "flow_runs": {"tags": {"all_": [f"event:{event.id}"]}},
        "flows": {"name": {"any_": ["make_views"]}},
    }
    runs = prefect.post("/flow_runs/filter", json=body).raise_for_status().json()
    assert [run["name"] for run in runs] == [f"{event.name} · views for guests"]
    assert runs[0]["work_queue_name"] == "views"
    queues = prefect.post("/work_pools/facepass/queues/filter", json={}).json()
    ranks = {queue["name"]: queue["priority"] for queue in queues}
    assert ranks["default"] < ranks["resync"] < ranks["views"]

    # The stack's worker runs it; its own settings switch views off.
    wait_until(
        lambda: prefect.get(f"/flow_runs/{runs[0]['id']}").json()["state"]["name"] == "Skipped"
    )
    assert not list_view_objects(event)

    state = make(event)
    assert state.name == "Completed: 4 made, 0 kept"
    assert state.message == "4 of 4 photos have views"
    assert has_views(event) == {
        **dict.fromkeys(["IMG_1.jpg", "Гости/Ёжик и я.jpg", "no face.png", "lonely.jpg"], True),
        "broken.jpg": False,
    }
    row = event.photos()["Гости/Ёжик и я.jpg"]
    assert (row.width, row.height) == (1001, 700)
    assert row.colour == make_views(draw(1)).colour
    assert row.original_bytes == len(draw(1))
    assert row.views_source == f"{VIEWS_RECIPE} {row.original_etag}"
    for kind in ViewKind:
        size = (400, 280) if kind is ViewKind.THUMB else (1001, 700)
        assert read_view(event, "Гости/Ёжик и я.jpg", kind).size == size
    lonely = event.photos()["lonely.jpg"]
    assert (lonely.width, lonely.original_bytes) == (512, None)
    assert len(list_view_objects(event)) == 12


def test_a_second_run_does_nothing_and_what_is_missing_is_made_again(
    event: EventBox, started: list[tuple[int, str]]
) -> None:
    put_photos(event, "1.jpg", "2.jpg", "3.jpg")
    event.sync()
    assert started == [(event.id, f"{event.name} · views for guests")]
    assert make(event).name == "Completed: 3 made, 0 kept"
    before = list_objects(event)
    assert make(event).name == "Completed: 0 made, 0 kept"
    assert list_objects(event) == before

    delete_object(event.bucket, f"{event.folder}views/2.jpg.webp")
    assert make(event).name == "Completed: 1 made, 0 kept"
    assert list_objects(event).keys() == before.keys()
    # What is there and fits is only recorded.
    event_ids = {"event": event.id}
    with open_session() as session:
        from sqlalchemy import text

        session.execute(
            text(
                "UPDATE photo SET views_etag = NULL, views_source = NULL, colour = NULL,"
                " width = NULL WHERE event_id = :event"
            ),
            event_ids,
        )
    before = list_objects(event)
    assert make(event).name == "Completed: 0 made, 3 kept"
    assert list_objects(event) == before
    rows = event.photos().values()
    assert [(row.width, bool(row.colour), row.view_bytes > 0) for row in rows] == [
        (1000, True, True),
        (1001, True, True),
        (1002, True, True),
    ]


def test_a_replaced_original_or_preview_makes_them_anew(
    event: EventBox, started: list[tuple[int, str]]
) -> None:
    put_photos(event, "1.jpg", "2.jpg", "3.jpg")
    event.sync()
    make(event)
    before = list_view_objects(event)

    put(event, f"{event.folder}originals/1.jpg", draw(50))
    event.sync()
    assert len(started) == 2
    assert make(event).name == "Completed: 1 made, 0 kept"
    assert event.photos()["1.jpg"].width == 1050
    after = list_view_objects(event)
    assert {key for key in after if after[key] != before[key]} == {
        "thumbs/1.jpg.webp",
        "views/1.jpg.webp",
        "views/1.jpg.jpg",
    }

    # Another preview of the same original: the views stay, and hold for it.
    event.put("2.jpg", encode_jpeg(read_group().resize((640, 440))), original=False)
    event.sync()
    assert has_views(event)["2.jpg"] is False
    assert make(event).name == "Completed: 0 made, 1 kept"
    assert all(has_views(event).values())

    # Without its original a photo's views come of its preview.
    delete_object(event.bucket, f"{event.folder}originals/3.jpg")
    assert make(event).name == "Completed: 1 made, 0 kept"
    assert (event.photos()["3.jpg"].width, event.photos()["3.jpg"].original_bytes) == (640, None)


def test_an_original_that_cannot_be_read_is_stood_in_for_by_its_preview(
    event: EventBox, started: list[tuple[int, str]], configure: Callable[..., None]
) -> None:
    configure(make_views=1, max_original_bytes=500_000)
    for name in ("torn.jpg", "large.jpg", "empty.jpg", "text.jpg"):
        event.put(name, encode_jpeg(read_group().resize((640, 448))), original=False)
    put(event, f"{event.folder}originals/torn.jpg", draw(1)[:9000])
    put(event, f"{event.folder}originals/large.jpg", draw(1) + bytes(600_000))
    put(event, f"{event.folder}originals/empty.jpg", b"")
    put(event, f"{event.folder}originals/text.jpg", b"<html>no photo</html>")
    event.sync()
    assert make(event).name == "Completed: 4 made, 0 kept"
    assert {row.width for row in event.photos().values()} == {640}
    assert make(event).name == "Completed: 0 made, 0 kept"
    put(event, f"{event.folder}originals/torn.jpg", draw(1))
    assert make(event).name == "Completed: 1 made, 0 kept"
    assert event.photos()["torn.jpg"].width == 1001


def test_events_with_a_prefix_of_their_own_and_albums_below_them(
    make_event: Callable[..., EventBox], started: list[tuple[int, str]]
) -> None:
    event = make_event(s3_prefix="студия/{uuid}/previews/")
    names = ["originals/1.jpg", "views/2.jpg", "previews/3.jpg", "ночь/Ё.CR2.jpg", "thumbs/4.jpg"]
    for name in names:
        event.put(name, encode_jpeg(read_group().resize((640, 448))))
    event.sync()
    assert make(event).name == "Completed: 5 made, 0 kept"
    assert all(has_views(event).values())
    keys = list_objects(event)
    assert {"thumbs/originals/1.jpg.webp", "views/views/2.jpg.jpg"} <= keys.keys()
    assert make(event).name == "Completed: 0 made, 0 kept"

    # Nothing takes a view for an original or a preview.
    from flows import make_previews

    syncs: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_previews, "start_syncs", lambda _, runs: syncs.extend(runs) or [])
        make_previews.make_previews(event.id)
    assert syncs == [event.prefix]
    assert {key for key in list_objects(event) if not key.startswith("previews/")} == {
        key for key in keys if not key.startswith("previews/")
    }
    assert event.sync().result["new_photos"] == 0


def test_views_of_gone_and_erased_photos_are_deleted(
    event: EventBox, started: list[tuple[int, str]]
) -> None:
    put_photos(event, "1.jpg", "2.jpg", "3.jpg")
    event.sync()
    make(event)
    event.remove("1.jpg")
    event.sync()
    assert make(event).state_details is not None
    assert {key.partition("/")[2][0] for key in list_view_objects(event)} == {"2", "3"}
    assert event.photos()["1.jpg"].views_source is None

    # Back again, with the same bytes.
    event.put("1.jpg", encode_jpeg(read_group().resize((640, 448))), original=False)
    event.sync()
    assert make(event).name == "Completed: 1 made, 0 kept"

    photo = event.photos()["2.jpg"]
    receipt = erase_photo_faces(event.id, photo.id)
    assert receipt.views_erased == 3
    assert {key.partition("/")[2][0] for key in list_view_objects(event)} == {"1", "3"}
    assert event.photos()["2.jpg"].views_source is None
    assert erase_photo_faces(event.id, photo.id).views_erased == 0
    assert make(event).name == "Completed: 0 made, 0 kept"
    with open_session() as session:
        restore_photo(session, event.id, photo.id)
    event.sync()
    assert make(event).name == "Completed: 1 made, 0 kept"

    put(event, f"{event.folder}views/mine.jpg.webp", b"a photographer's own")
    erased = erase_event_faces(event.id)
    assert erased is not None
    assert erased.views_erased == 9
    assert list_view_objects(event).keys() == {"views/mine.jpg.webp"}
    assert {row.views_etag for row in event.photos().values()} == {None}
    assert {row.original_bytes for row in event.photos().values()} == {None}
    assert make(event).name == "Skipped"
    with open_session() as session:
        resume_event(session, event.id)
    event.sync()
    assert make(event).name == "Completed: 3 made, 0 kept"


def test_what_is_erased_while_it_is_made_is_deleted(
    event: EventBox, started: list[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.views import make as module

    put_photos(event, "1.jpg", "2.jpg")
    event.sync()
    photo = event.photos()["1.jpg"]
    put_views = module.put_views

    def erase_first(bucket: Any, keys: Any, *rest: Any) -> int:
        if keys[ViewKind.THUMB].endswith("/1.jpg.webp"):
            erase_photo_faces(event.id, photo.id)
        return put_views(bucket, keys, *rest)

    monkeypatch.setattr(module, "put_views", erase_first)
    make_event_views(event.id)
    assert {key.partition("/")[2][0] for key in list_view_objects(event)} == {"2"}


def test_somebody_else_s_files_are_neither_replaced_nor_deleted(
    event: EventBox, started: list[tuple[int, str]]
) -> None:
    put_photos(event, "1.jpg", "2.jpg")
    foreign = {
        "thumbs/1.jpg.webp": b"theirs",
        "views/old.jpg.jpg": b"theirs too",
        "views/notes.txt": b"not a view's name",
    }
    for key, content in foreign.items():
        put(event, f"{event.folder}{key}", content)
    before = {key: list_objects(event)[key] for key in foreign}
    event.sync()
    assert make(event).name == "Completed: 1 made, 0 kept, 1 left out"
    assert {key: list_objects(event)[key] for key in foreign} == before
    assert has_views(event) == {"1.jpg": False, "2.jpg": True}
    assert "views/1.jpg.webp" not in list_objects(event)
    # The hourly resync starts no run for it; a run that starts looks again.
    from tasks.sync.resync import list_unviewed

    assert event.id not in {found for found, _ in list_unviewed.fn()}
    delete_object(event.bucket, f"{event.folder}thumbs/1.jpg.webp")
    assert make(event).name == "Completed: 1 made, 0 kept"


def test_a_killed_run_is_resumed_and_makes_nothing_twice(
    event: EventBox, started: list[tuple[int, str]]
) -> None:
    put_photos(event, *(f"{number}.jpg" for number in range(6)))
    event.sync()
    killed = subprocess.run([sys.executable, "-c", DOOMED, str(event.id)], timeout=300, check=False)
    assert killed.returncode == -signal.SIGKILL
    before = list_view_objects(event)
    assert len(before) == 7

    assert make(event).state_details is not None
    after = list_view_objects(event)
    assert len(after) == 18
    assert all(has_views(event).values())
    whole = [number for number in range(6) if sum(f"/{number}.jpg." in key for key in before) == 3]
    for number, (key, put_at) in itertools.product(whole, before.items()):
        if f"/{number}.jpg." in key:
            assert after[key] == put_at


def test_s3_that_goes_away_costs_an_attempt_and_no_photo(
    event: EventBox,
    started: list[tuple[int, str]],
    s3_proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tasks.views import job

    put_photos(event, *(f"{number}.jpg" for number in range(4)))
    event.sync()
    bring_views, calls = job.bring_views, itertools.count()

    def bring_then_cut(*args: Any) -> Any:
        outcome = bring_views(*args)
        if next(calls) == 0:
            s3_proxy.mend_after(4)  # the client's own tries of the next photo
        return outcome

    monkeypatch.setattr(job, "bring_views", bring_then_cut)
    assert make(event).is_completed()
    assert s3_proxy.dropped >= 4
    assert all(has_views(event).values())


def test_what_no_retry_heals_ends_at_once_with_its_sentence(
    event: EventBox, started: list[tuple[int, str]], configure: Callable[..., None]
) -> None:
    configure(s3_bucket="no-such-bucket")
    state = make(event)
    assert (state.type.value, state.name) == ("FAILED", "Failed")
    assert state.message == "There is no bucket no-such-bucket: check FACEPASS_S3_BUCKET."


def test_the_resync_starts_what_no_sync_has_started(
    event: EventBox, started: list[tuple[int, str]]
) -> None:
    from tasks.sync.resync import list_unviewed

    put_photos(event, "1.jpg")
    event.sync()
    assert (event.id, f"{event.name} · views for guests") in list_unviewed.fn()
    assert make_event_views(event.id).counts["made"] == 1
    assert event.id not in {found for found, _ in list_unviewed.fn()}
    # Of one whose original could not be read then, the next sync takes care.
    event.query(
        f"UPDATE photo SET views_source = '{VIEWS_RECIPE} ' || etag WHERE event_id = :event"
        " RETURNING id"
    )
    assert event.id not in {found for found, _ in list_unviewed.fn()}


def test_a_start_that_fails_leaves_the_sync_completed(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import sync_event_photos
    from models.errors import OrchestratorUnavailableError

    def refuse(*_: object) -> None:
        raise OrchestratorUnavailableError("Prefect's server cannot be reached.")

    monkeypatch.setattr(sync_event_photos, "start_views", refuse)
    put_photos(event, "1.jpg")
    assert event.sync().state.is_completed()


def test_thumbs_stay_small(event: EventBox, started: list[tuple[int, str]]) -> None:
    put_photos(event, "1.jpg", "2.jpg")
    event.sync()
    make(event)
    listed = event.bucket.client.list_objects_v2(
        Bucket=event.bucket.name, Prefix=f"{event.folder}thumbs/"
    )
    assert [item["Size"] <= MOST_THUMB_BYTES for item in listed["Contents"]] == [True, True]


def test_views_that_a_push_has_made_are_only_recorded_and_go_with_their_photo(
    joined_stack: dict[str, str],
    configure: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    started: list[tuple[int, str]],
) -> None:
    configure(make_views=1)
    names = ("Ёлка.jpg", "2.jpg")
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(draw(number))

    def push(*options: str) -> dict[str, Any]:
        assert main(["push", str(tmp_path), "--event", "Виды", "--json", *options]) == 0
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        return told

    told = push()
    assert (told["originals_sent"], told["previews_sent"], told["views_sent"]) == (2, 2, 2)
    event_id = told["event"]["event_id"]
    assert make_event_views(event_id).counts == {"kept": 2}
    with open_session() as session:
        from sqlalchemy import text

        rows = session.execute(
            text("SELECT width, colour, view_bytes FROM photo WHERE event_id = :event"),
            {"event": event_id},
        ).all()
    made = {number: make_views(draw(number)) for number in range(2)}
    assert set(rows) == {
        (views.width, views.colour, len(views.contents[ViewKind.VIEW_JPEG]))
        for views in made.values()
    }
    told = push()
    assert (told["bytes_sent"], told["unchanged"]) == (0, 2)
    assert make_event_views(event_id).counts == {}

    (tmp_path / "2.jpg").unlink()
    assert push()["deleted"] == 1
    bucket = get_bucket()
    keys = [item.s3_key for page in bucket.list_pages(f"events/{event_id}/") for item in page]
    assert len([key for key in keys if "/thumbs/" in key or "/views/" in key]) == 3
    assert not [key for key in keys if "/2.jpg" in key]
