"""Uploads that stores tell of, on the real stack: nothing is lost, nothing is read twice."""

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.command_line.running_stack import LOOPBACK
from deployments.stack import s3
from deployments.stack.ports import pick_free_ports
from deployments.stack.process import NotReadyError
from tests.support.event_box import EventBox
from tests.support.guests import find
from tests.support.photos import encode_jpeg, read_sample, vary
from tests.support.public_api import PublicApi, serve_api
from tests.support.waiting import wait_until
from tests.unit.api.hooks.test_notifications import build_eventbridge, build_record, build_seaweedfs

SECRET = "a secret of some length"
PATH = "/api/v1/hooks/s3"
COUNT, GROUP = 300, 10


@pytest.fixture(scope="module")
def hooked_api(joined_stack: dict[str, str]) -> Iterator[PublicApi]:
    """An API that stores may tell of uploads."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {**joined_stack, "FACEPASS_HOOK_SECRET": SECRET}
        with serve_api(Path(folder), ["api"], settings) as api:
            yield api


@pytest.fixture
def store(hooked_api: PublicApi) -> Iterator[httpx.Client]:
    """A store that tells."""
    headers = {"Authorization": f"Bearer {SECRET}"}
    with httpx.Client(base_url=hooked_api.url, headers=headers, trust_env=False) as client:
        yield client


def make_portrait(index: int) -> bytes:
    """A small picture of one face, in different bytes each time."""
    buffer = BytesIO()
    read_sample("astronaut.png").crop((60, 0, 400, 340)).resize((320, 320)).save(
        buffer, "JPEG", quality=85
    )
    return buffer.getvalue() + index.to_bytes(4, "big")


def tell(store: httpx.Client, bucket: str, key: str, number: int = 0) -> None:
    """One notification of an upload, in one of the forms that stores have."""
    forms: list[Callable[[], Any]] = [
        lambda: {"Records": [build_record(key, bucket=bucket)]},
        lambda: (
            build_eventbridge(key)
            | {"detail": {"bucket": {"name": bucket}, "object": {"key": key}}}
        ),
        lambda: build_seaweedfs(key),
    ]
    assert store.post(PATH, json=forms[number % len(forms)]()).status_code == 202


def count_syncs(api: PublicApi) -> float:
    """Requests for syncs that reached Prefect or a running sync, as the metrics tell."""
    text = httpx.get(f"{api.url}/metrics", trust_env=False).text
    lines = [line for line in text.splitlines() if line.startswith("facepass_hook_syncs_total")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def is_complete(event: EventBox, number: int) -> bool:
    (row,) = event.query(
        "SELECT count(*) AS photos FROM photo WHERE event_id = :event AND status = 'indexed'"
    )
    return bool(row.photos == number)


def test_three_hundred_photos_told_badly_are_all_found_once(
    hooked_api: PublicApi, store: httpx.Client, event: EventBox
) -> None:
    draw, late, told = random.Random(7), list[str](), 0
    for first in range(0, COUNT, GROUP):
        names = [f"{index:03}.jpg" for index in range(first, first + GROUP)]
        with ThreadPoolExecutor(4) as pool:
            contents = [make_portrait(index) for index in range(first, first + GROUP)]
            keys = list(
                pool.map(
                    lambda pair: event.put(*pair, original=False), zip(names, contents, strict=True)
                )
            )
        now = []
        for key in keys:
            fate = draw.choice(["told", "lost", "doubled", "late", "lost"])
            now += {"told": [key], "doubled": [key, key]}.get(fate, [])
            late += [key] if fate == "late" else []
        # Some of those that come late, and all of them out of order.
        now += [late.pop(draw.randrange(len(late))) for _ in range(min(2, len(late)))]
        draw.shuffle(now)
        for key in now:
            tell(store, event.bucket.name, key, told)
            told += 1
    for key in late:
        tell(store, event.bucket.name, key, told)
    # The last one that is told makes up for all that were lost before it.
    tell(store, event.bucket.name, keys[-1])

    wait_until(lambda: is_complete(event, COUNT), limit_s=420)
    assert event.face_counts() == {f"{index:03}.jpg": 1 for index in range(COUNT)}
    answer = find(store, event, read_sample("astronaut.png"), limit=COUNT)
    assert sorted(match["s3_key"] for match in answer["matches"]) == [
        f"{event.prefix}{index:03}.jpg" for index in range(COUNT)
    ]
    # Each photo was computed by one run, once.
    (row,) = event.query(
        "SELECT sum(attempts) AS looks, sum(changes) AS changes FROM photo WHERE event_id = :event"
    )
    assert (row.looks, row.changes) == (COUNT, 0)
    assert count_syncs(hooked_api) < told / 2


def test_what_nobody_told_the_resync_finds(event: EventBox, store: httpx.Client) -> None:
    from tasks.sync.resync import ResyncTarget, has_changed

    target = ResyncTarget(event.id, event.prefix, event.name)
    tell(store, event.bucket.name, event.put("1.jpg", make_portrait(1), original=False))
    wait_until(lambda: is_complete(event, 1))
    event.put("2.jpg", make_portrait(2), original=False)
    assert has_changed(target)


def test_an_own_folder_and_albums_are_found_and_strangers_are_not(
    make_event: Callable[..., EventBox], store: httpx.Client, hooked_api: PublicApi
) -> None:
    own = make_event(s3_prefix="hooked/previews/{uuid}/previews/")
    other = make_event()
    content = make_portrait(1)
    keys = [
        own.put("1.jpg", content, original=False),
        f"{other.folder}album 1/previews/день/2.jpg",
    ]
    other.bucket.client.put_object(Bucket=other.bucket.name, Key=keys[1], Body=content)
    for key in [*keys, "events/999999/previews/1.jpg", "hooked/previews/1.jpg"]:
        tell(store, own.bucket.name, key, 1)
    wait_until(lambda: is_complete(own, 1) and is_complete(other, 1))
    text = httpx.get(f"{hooked_api.url}/metrics", trust_env=False).text
    assert 'facepass_hook_objects_total{outcome="unknown"} 2.0' in text


def test_a_deleted_photo_is_gone_and_an_erased_event_stays_erased(
    make_event: Callable[..., EventBox], store: httpx.Client
) -> None:
    event, erased = make_event(), make_event()
    for name in ("1.jpg", "2.jpg"):
        tell(store, event.bucket.name, event.put(name, make_portrait(1), original=False))
    wait_until(lambda: is_complete(event, 2))
    erased.query("UPDATE event SET erased_at = now() WHERE id = :event RETURNING 1")
    tell(store, erased.bucket.name, erased.put("1.jpg", make_portrait(1), original=False))
    event.remove("2.jpg")
    body = {"Records": [build_record(f"{event.prefix}2.jpg", "ObjectRemoved:Delete")]}
    assert store.post(PATH, json=body).json()["taken"] == 1
    wait_until(lambda: event.photos()["2.jpg"].status == "gone")
    assert erased.photos() == {}


def test_an_original_that_comes_later_is_found_within_the_minute(
    event: EventBox, store: httpx.Client
) -> None:
    photo = vary(read_sample("astronaut.png"), 3)
    tell(store, event.bucket.name, event.put("1.jpg", photo, original=False))
    wait_until(lambda: is_complete(event, 1))
    assert event.photos()["1.jpg"].original_missing
    event.put("1.jpg", photo)
    body = {"Records": [build_record(f"{event.folder}originals/1.jpg")]}
    assert store.post(PATH, json=body).json()["taken"] == 1
    wait_until(lambda: not event.photos()["1.jpg"].original_missing, limit_s=180)


def test_seaweedfs_tells_by_itself(event: EventBox, hooked_api: PublicApi) -> None:
    """Another server than the stack's, with the configuration that `make up` writes."""
    key = event.put("день 1/фото+1.jpg", encode_jpeg(read_sample("astronaut.png")), original=False)
    with tempfile.TemporaryDirectory(prefix="fpw-") as folder:
        (port,) = pick_free_ports(1, [])
        internal = s3.settle_internal_ports(Path(folder) / "ports.json", [port])
        server = s3.S3Server(
            port, internal, s3.Keys("AKHOOKS", "k" * 30), s3.Keys("AKUPLOAD", "u" * 30)
        )
        hook = s3.UploadHook(f"{hooked_api.url}{PATH}", SECRET)
        part = s3.build_s3(
            server, data=Path(folder) / "s3", log=Path(folder) / "log", mark="hooks", hook=hook
        )
        part.start()
        try:
            wait_for_bucket(server)
            client = s3._connect(server)
            assert server.endpoint_url.startswith(f"http://{LOOPBACK}:")
            client.put_object(Bucket=s3.BUCKET, Key=key, Body=b"told of")
            wait_until(lambda: is_complete(event, 1))
        finally:
            part.ask_to_stop()
            part.finish()
            s3.remove_sockets(server)


def wait_for_bucket(server: s3.S3Server) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            s3.create_bucket(server)
        except NotReadyError:
            assert time.monotonic() < deadline
            time.sleep(0.3)
        else:
            return
