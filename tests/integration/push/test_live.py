"""Photos that guests find while they are still being sent, and a folder that is watched."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tasks.s3.bucket import get_bucket
from tests.support.faults import FaultProxy
from tests.support.photos import encode_jpeg, read_sample
from tests.support.waiting import wait_until

PHOTOS = 24


def start_push(folder: Path, event: str, *options: str, **urls: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "deployments.push", str(folder), "--event", event, *options],
        env=os.environ | urls,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # pytest in a shell's background ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


@contextmanager
def push(folder: Path, event: str, *options: str, **urls: str) -> Iterator["subprocess.Popen[str]"]:
    """A push that does not outlive the block."""
    process = start_push(folder, event, "--json", *options, **urls)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def read_report(process: "subprocess.Popen[str]", code: int) -> dict[str, Any]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    told: dict[str, Any] = json.loads(out)
    return told


def make_photo(number: int) -> bytes:
    """A portrait with half a megabyte behind its end, as some cameras leave."""
    return encode_jpeg(read_sample("astronaut.png"), quality=60 + number) + os.urandom(500_000)


def find_event(api_url: str, name: str) -> dict[str, Any] | None:
    events = httpx.get(f"{api_url}/api/v1/events", trust_env=False).raise_for_status().json()
    found = next((event for event in events if event["name"] == name), None)
    return found and read_event(api_url, found["event_uuid"])


def read_event(api_url: str, event_uuid: str) -> dict[str, Any]:
    answer = httpx.get(f"{api_url}/api/v1/events/{event_uuid}", trust_env=False)
    event: dict[str, Any] = answer.raise_for_status().json()
    return event


def list_photos(api_url: str, event_uuid: str) -> list[dict[str, Any]]:
    """The photos that are in S3, as the ledger has them."""
    answer = httpx.get(f"{api_url}/api/v1/events/{event_uuid}/photos?limit=500", trust_env=False)
    photos: list[dict[str, Any]] = answer.raise_for_status().json()["photos"]
    return [photo for photo in photos if photo["status"] != "gone"]


def list_names(told: dict[str, Any], kind: str) -> set[str]:
    """Of a push's event, what S3 has below a folder of this kind; nothing is there twice."""
    prefix = f"events/{told['event']['event_id']}/{kind}/"
    keys = [item.s3_key for page in get_bucket().list_pages(prefix) for item in page]
    names = {key.rpartition("/")[2] for key in keys}
    assert len(names) == len(keys)
    return names


def test_guests_find_photos_before_the_originals_are_sent(
    tmp_path: Path, joined_stack: dict[str, str]
) -> None:
    folder, event, api_url = tmp_path / "Карта", "По порядку", joined_stack["FACEPASS_API_URL"]
    folder.mkdir()
    for number in range(PHOTOS):
        (folder / f"{number:02}.jpg").write_bytes(make_photo(number))

    with FaultProxy(joined_stack["FACEPASS_S3_ENDPOINT_URL"]).serve() as proxy:
        proxy.hang_after(6_000_000)  # in the midst of the originals
        with push(folder, event, FACEPASS_S3_ENDPOINT_URL=proxy.url) as process:
            wait_until(lambda: (find_event(api_url, event) or {}).get("faces") == PHOTOS, 240)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            told = read_report(process, 130)
    kinds = ("sent", "finished", "unchanged", "left")
    assert sum(told[kind] for kind in kinds) + len(told["not_sent"]) == told["photos"] == PHOTOS
    assert told["previews_sent"] == PHOTOS
    assert told["left"] > 0
    photos = list_photos(api_url, told["event"]["event_uuid"])
    offered = {p["s3_key"].rpartition("/")[2] for p in photos if not p["original_missing"]}
    assert offered <= list_names(told, "originals")
    assert any(photo["original_missing"] for photo in photos)

    with push(folder, event) as process:
        told = read_report(process, 0)
    counts = [told["sync"]["result"][key] for key in ("new_photos", "updated", "missing_originals")]
    assert counts == [0, 0, 0]
    assert told["previews_sent"] == 0
    photos = list_photos(api_url, told["event"]["event_uuid"])
    assert [photo["original_missing"] for photo in photos] == [False] * PHOTOS


def test_a_watched_folder_loses_and_doubles_nothing(
    tmp_path: Path, joined_stack: dict[str, str]
) -> None:
    folder, event, api_url = tmp_path / "Съёмка", "Живая", joined_stack["FACEPASS_API_URL"]
    folder.mkdir()

    def add(number: int, name: str = "") -> None:
        path = folder / (name or f"{number:02}.jpg")
        content = make_photo(number)
        with path.open("wb") as file:  # as it comes over a network
            for piece in range(0, len(content), 200_000):
                file.write(content[piece : piece + 200_000])
                file.flush()

    def knows(count: int) -> Callable[[], bool]:
        return lambda: (find_event(api_url, event) or {}).get("faces", 0) >= count

    with (
        FaultProxy(joined_stack["FACEPASS_S3_ENDPOINT_URL"]).serve() as s3,
        FaultProxy(api_url).serve() as api,
    ):
        urls = {"FACEPASS_S3_ENDPOINT_URL": s3.url, "FACEPASS_API_URL": api.url}
        with push(folder, event, "--watch", **urls):
            for number in range(4):
                add(number)
            wait_until(knows(4), 240)
            s3.hang_after(1_200_000)
            for number in range(4, 8):
                add(number)
            wait_until(s3.hang.is_set)
        # Killed, with a part of these in S3.
        (folder / "01.jpg").rename(folder / "переименовано.jpg")
        s3.hang.clear()
        s3.hang_after(10**12)
        with push(folder, event, "--watch", **urls) as process:
            wait_until(knows(8), 240)
            api.cut.set()
            s3.cut.set()
            for number in range(8, 10):
                add(number)
            folder.rename(tmp_path / "away")
            (tmp_path / "away").rename(folder)
            wait_until(lambda: s3.dropped >= 1)
            s3.cut.clear()
            wait_until(lambda: api.dropped >= 1)
            api.cut.clear()
            event_uuid = str((find_event(api_url, event) or {})["event_uuid"])
            wait_until(
                lambda: (
                    Counter(
                        (photo["status"], photo["original_missing"])
                        for photo in list_photos(api_url, event_uuid)
                    )
                    == {("indexed", False): 10}
                ),
                240,
            )
            process.send_signal(signal.SIGINT)
            told = read_report(process, 130)

    names = {f"{number:02}.jpg" for number in range(10)} - {"01.jpg"} | {"переименовано.jpg"}
    keys = {photo["s3_key"].rpartition("/")[2] for photo in list_photos(api_url, event_uuid)}
    assert keys == names
    found = read_event(api_url, event_uuid)
    assert found["faces"] == 10
    assert list_names(told, "originals") == list_names(told, "previews") == names
    assert (told["photos"], told["left"], told["not_sent"]) == (10, 0, [])
    assert told["sent"] + told["finished"] + told["unchanged"] == 10
