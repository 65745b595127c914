"""Originals only: their previews are made, once each, and the event is synced."""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

import httpx
import pillow_heif
import pytest
from PIL import ExifTags, Image

from models.queries.erasures import erase_event_rows
from models.session import open_session
from models.tables import Event
from models.vocabulary import ProfileName
from tasks.images.preview import PreviewRecipe
from tasks.previews.make import StoredPreview, put_preview, read_preview
from tests.support.camera_files import build_arw, build_cr2
from tests.support.event_box import EventBox
from tests.support.faults import FaultProxy
from tests.support.photos import (
    GROUP_FACES,
    PORTRAIT_FACES,
    encode_jpeg,
    read_group,
    read_sample,
    vary,
)
from tests.support.waiting import wait_until

# Makes previews in a process of its own that kills itself before the fourth is put.
DOOMED = """
import itertools, os, signal, sys, threading
from tasks.previews import make
from flows.make_previews import make_previews

put_preview, numbers = make.put_preview, itertools.count(1)
one_at_a_time = threading.Lock()

def put_or_die(*args, **named):
    with one_at_a_time:
        if next(numbers) == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return put_preview(*args, **named)

make.put_preview = put_or_die
make_previews(int(sys.argv[1]))
"""


def put_original(event: EventBox, name: str, content: bytes, folder: str = "originals") -> None:
    """Upload an original, and nothing else."""
    key = f"events/{event.id}/{folder}/{name}"
    event.bucket.client.put_object(Bucket=event.bucket.name, Key=key, Body=content)


def read_objects(event: EventBox, folder: str = "previews") -> dict[str, dict[str, Any]]:
    """The photos of a folder by name: bytes, notes and when they were put."""
    client, prefix = event.bucket.client, f"events/{event.id}/{folder}/"
    listed = client.list_objects_v2(Bucket=event.bucket.name, Prefix=prefix).get("Contents", [])
    answers = {
        item["Key"].removeprefix(prefix): client.get_object(
            Bucket=event.bucket.name, Key=item["Key"]
        )
        for item in listed
        if not item["Key"].endswith(".facepass-recipe")
    }
    return {
        name: {
            "content": answer["Body"].read(),
            "notes": answer["Metadata"],
            "put": answer["LastModified"],
        }
        for name, answer in answers.items()
    }


def encode(image: Image.Image, kind: str) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def photograph_lying(image: Image.Image) -> bytes:
    """As a phone stores an upright photo: lying, with a note of how to turn it, and of where."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "Leica"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (55.0, 45.0, 21.0)
    buffer = BytesIO()
    image.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", quality=92, exif=exif)
    return buffer.getvalue()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prefixes of which a sync would have been started; the first test lets one run."""
    from flows import make_previews

    prefixes: list[str] = []

    def note(event_id: int, run_names: dict[str, str]) -> list[UUID]:
        prefixes.extend(run_names)
        return [uuid4() for _ in run_names]

    monkeypatch.setattr(make_previews, "start_syncs", note)
    return prefixes


def make_previews(event: EventBox) -> Any:
    """Run the flow in this process, retries and all; its last state."""
    from flows.make_previews import make_previews as flow

    return flow(event.id, return_state=True)


def test_originals_alone_become_a_gallery_by_one_call(
    event: EventBox, joined_stack: dict[str, str], prefect: httpx.Client
) -> None:
    portrait = read_sample("astronaut.png").resize((1024, 1024))
    broken = encode_jpeg(read_group())[:9000]
    put_original(event, "Гости/группа.jpg", photograph_lying(read_group()))
    put_original(event, "портрет.PNG", encode(portrait, "PNG"))
    put_original(event, "портрет.webp", encode(portrait, "WEBP"))
    put_original(event, "маленький.jpg", encode_jpeg(portrait.resize((300, 300))))
    put_original(event, "битый.jpg", broken)
    put_original(event, "IMG_1.CR2", build_cr2(encode_jpeg(portrait)))
    put_original(event, "портрет.ARW", build_arw(encode_jpeg(portrait)))  # beside портрет.PNG
    pillow_heif.register_heif_opener()
    put_original(event, "телефон.HEIC", encode(portrait.resize((640, 640)), "HEIF"))
    put_original(event, "IMG_1.MP4", b"not read")
    put_original(event, "портрет.jpg", encode_jpeg(portrait), folder="день 2/originals")

    url = f"{joined_stack['FACEPASS_API_URL']}/api/v1/events/{event.uuid}/previews"
    answer = httpx.post(url, timeout=30).raise_for_status().json()

    assert answer["event_id"] == event.id
    assert event.name in answer["message"]
    path = f"/flow_runs/{answer['task_id']}"
    wait_until(lambda: prefect.get(path).json()["state"]["type"] == "COMPLETED")
    run = prefect.get(path).json()
    assert run["name"] == f"{event.name} · previews of its originals"
    assert f"event:{event.id}" in run["tags"]
    assert run["state"]["name"] == "Completed: 7 made, 0 kept, 1 unreadable, 2 ignored"

    previews = read_objects(event)
    assert previews.keys() == {
        *("Гости/группа.jpg", "портрет.PNG", "портрет.webp", "маленький.jpg", "битый.jpg"),
        *("IMG_1.CR2.jpg", "телефон.HEIC.jpg"),
    }
    assert previews.pop("битый.jpg")["content"] == broken
    for name, preview in previews.items():
        with Image.open(BytesIO(preview["content"])) as image:
            expected = {"Гости/группа.jpg": (640, 443), "маленький.jpg": (300, 300)}
            assert (image.format, image.size) == ("JPEG", expected.get(name, (640, 640)))
            assert not image.getexif()
        assert b"Leica" not in preview["content"]
        assert preview["notes"]["facepass-recipe"] == "640q85v2"
    assert read_objects(event, "день 2/previews").keys() == {"портрет.jpg"}

    # The syncs of both folders; one of them may have been left with the other.
    wait_until(lambda: len(event.photos()) == 8)
    open_photos = "SELECT 1 FROM photo WHERE event_id = :event AND status = 'pending'"
    wait_until(lambda: event.query(open_photos) == [])
    found = {name.rpartition("/")[2]: count for name, count in event.face_counts().items()}
    assert found == {
        "группа.jpg": GROUP_FACES,
        **dict.fromkeys(["портрет.PNG", "портрет.webp", "портрет.jpg"], PORTRAIT_FACES),
        **dict.fromkeys(["IMG_1.CR2.jpg", "телефон.HEIC.jpg"], PORTRAIT_FACES),
        "маленький.jpg": PORTRAIT_FACES,
        "битый.jpg": 0,
    }
    assert event.photos()["битый.jpg"].reason == "truncated"
    shown = prefect.post("/artifacts/latest/filter", json={"limit": 200}).json()
    pages = {artifact["key"]: artifact for artifact in shown}
    assert "| Previews made | 7 |" in pages[f"event-{event.id}-previews"]["data"]
    (row,) = json.loads(pages[f"event-{event.id}-failed-originals"]["data"])
    assert (row["original"], row["reason"]) == (
        f"events/{event.id}/originals/битый.jpg",
        "truncated",
    )


def test_only_what_is_missing_or_replaced_is_made_and_nothing_of_the_photographers(
    event: EventBox, started: list[str]
) -> None:
    for index in range(3):
        put_original(event, f"{index}.jpg", vary(read_sample("coffee.png"), index))
    put_original(event, "своё.jpg", vary(read_sample("coffee.png"), 7))
    event.put("своё.jpg", b"my own", original=False)
    assert make_previews(event).name == "Completed: 3 made, 1 kept"
    first = read_objects(event)

    assert make_previews(event).name == "Completed: 0 made, 4 kept"
    assert read_objects(event) == first

    put_original(event, "1.jpg", encode_jpeg(read_sample("astronaut.png")))
    assert make_previews(event).name == "Completed: 1 made, 3 kept"
    second = read_objects(event)
    assert [name for name in first if first[name] != second[name]] == ["1.jpg"]

    with open_session() as session:
        session.get_one(Event, event.id).profile = ProfileName.GROUPS
    assert make_previews(event).name == "Completed: 3 made, 1 kept"
    third = read_objects(event)
    assert third["своё.jpg"]["content"] == b"my own"
    assert {third[f"{index}.jpg"]["notes"]["facepass-recipe"] for index in range(3)} == {
        "1600q85v2"
    }
    assert started == [event.prefix] * 4


def test_a_killed_run_is_finished_by_the_next_which_makes_none_twice(
    event: EventBox, started: list[str]
) -> None:
    for index in range(8):
        put_original(event, f"{index}.jpg", vary(read_sample("coffee.png"), index))
    doomed = subprocess.run(
        [sys.executable, "-c", DOOMED, str(event.id)],
        env=dict(os.environ),
        check=False,
        capture_output=True,
    )
    assert doomed.returncode == -signal.SIGKILL, doomed.stderr[-2000:]
    before = read_objects(event)
    assert len(before) == 3

    assert make_previews(event).name == "Completed: 5 made, 3 kept"

    after = read_objects(event)
    assert len(after) == 8
    assert {name: after[name] for name in before} == before


def test_what_is_put_meanwhile_is_not_overwritten(event: EventBox) -> None:
    def put(content: bytes, replaces: StoredPreview | None) -> bool:
        recipe = PreviewRecipe(640)
        return put_preview(
            event.bucket,
            f"{event.prefix}ё.jpg",
            content,
            original_etag=str(len(content)),
            recipe=recipe,
            replaces=replaces,
        )

    assert put(b"first", None)
    seen = read_preview(event.bucket, f"{event.prefix}ё.jpg")
    assert put(b"second", seen)
    event.put("ё.jpg", b"my own", original=False)

    assert not put(b"third", None)
    assert not put(b"third", seen)
    assert read_objects(event)["ё.jpg"]["content"] == b"my own"


def test_two_at_once_are_harmless(event: EventBox, started: list[str]) -> None:
    for index in range(6):
        put_original(event, f"{index}.jpg", vary(read_sample("coffee.png"), index))
    with ThreadPoolExecutor(2) as threads:
        # In this thread's context, which knows the stack's Prefect server.
        runs = [threads.submit(copy_context().run, make_previews, event) for _ in range(2)]
        states = [run.result() for run in runs]

    assert [state.is_completed() for state in states] == [True, True]
    assert len(read_objects(event)) == 6
    assert make_previews(event).name == "Completed: 0 made, 6 kept"


def test_s3_coming_back_lets_the_retry_finish(
    event: EventBox, started: list[str], s3_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.previews import job

    for index in range(3):
        put_original(event, f"{index}.jpg", vary(read_sample("coffee.png"), index))
    bring_preview, calls = job.bring_preview, itertools.count()

    def bring_then_cut(*args: Any) -> Any:
        outcome = bring_preview(*args)
        if next(calls) == 0:
            s3_proxy.mend_after(4)  # the client's own tries of the next original
        return outcome

    monkeypatch.setattr(job, "bring_preview", bring_then_cut)
    monkeypatch.setattr(job, "FEWEST_BATCHES", 1)  # one after the other

    assert make_previews(event).name == "Completed: 3 made, 0 kept"
    assert s3_proxy.dropped >= 4
    assert started == [event.prefix]


def test_what_no_retry_heals_ends_at_once_with_its_sentence(
    event: EventBox, started: list[str], configure: Callable[..., None]
) -> None:
    configure(s3_bucket="no-such-bucket")
    state = make_previews(event)
    assert (state.type.value, state.name) == ("FAILED", "Failed")
    assert state.message == "There is no bucket no-such-bucket: check FACEPASS_S3_BUCKET."


def test_an_erased_event_is_refused_in_words(
    event: EventBox, started: list[str], joined_stack: dict[str, str]
) -> None:
    put_original(event, "1.jpg", encode_jpeg(read_sample("coffee.png")))
    with open_session() as session:
        erase_event_rows(session, event.id)
    url = f"{joined_stack['FACEPASS_API_URL']}/api/v1/events/{{}}/previews"

    answers = [httpx.post(url.format(uuid), timeout=30) for uuid in (event.uuid, uuid4(), "x")]
    state = make_previews(event)

    assert [answer.status_code for answer in answers] == [409, 404, 400]
    assert (state.name, state.message) == ("Skipped", answers[0].json()["detail"])
    assert (read_objects(event), started) == ({}, [])
