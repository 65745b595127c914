"""A photographer's folder on its way to the gallery, on the real stack."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unicodedata import normalize

import httpx
import pytest
from PIL import Image

from deployments.facepass import main
from deployments.sample_photos import make_sample_photos
from tasks.s3.bucket import Bucket, get_bucket
from tests.integration.conftest import forget_settings
from tests.support.faults import FaultProxy
from tests.support.photos import encode_jpeg, read_group, read_sample
from tests.support.waiting import wait_until

Push = Callable[..., tuple[int, dict[str, Any]]]
PORTRAIT = "Камера 1/IMG_0001.JPG"


@pytest.fixture
def push(joined_stack: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Push:
    """push(folder, "--event", ...): the exit code and what --json tells."""

    def run(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main(["push", str(folder), *options, "--json"])
        shown = capsys.readouterr()
        assert shown.err == ""
        told = json.loads(shown.out)
        assert told["exit_code"] == code
        return code, told

    return run


def test_the_uploaders_key_is_all_that_a_push_needs(
    joined_stack: dict[str, str], tmp_path: Path
) -> None:
    home, folder = tmp_path / "home", tmp_path / "card"
    home.mkdir()
    folder.mkdir()
    given = (Path(joined_stack["FACEPASS_HOME"]) / "push.env").read_text()
    assert joined_stack["AWS_ACCESS_KEY_ID"] not in given
    (home / "push.env").write_text(given)  # and no stack.env
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(
            encode_jpeg(read_sample("astronaut.png"), quality=80 + ord(name[0]) % 7)
        )
    base = {
        k: v for k, v in os.environ.items() if not k.startswith(("FACEPASS_", "AWS_", "PREFECT_"))
    }
    command = [sys.executable, "-m", "deployments.push", str(folder), "--event", "Ключ", "--json"]

    def run() -> dict[str, Any]:
        done = subprocess.run(
            command,
            env={**base, "FACEPASS_HOME": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    assert run()["sync"]["result"]["faces_found"] == 2
    (folder / "b.jpg").unlink()
    assert run()["deleted"] == 1


def make_wedding(folder: Path) -> dict[str, tuple[str, int, str | None]]:
    """Two cameras' photos; path -> status, faces, reason, as the sync must find them."""
    expected: dict[str, tuple[str, int, str | None]] = {}

    def put(relative: str, content: bytes, faces: int | None, reason: str | None = None) -> None:
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        status = "failed" if faces is None else "indexed" if faces else "no_face"
        why = "no_face_detected" if faces == 0 else reason
        expected[normalize("NFC", relative).replace("\\", "_")] = (status, faces or 0, why)

    put(PORTRAIT, add_place(encode_jpeg(read_sample("astronaut.png"), orientation=6)), 1)
    for number, sample in enumerate(make_sample_photos(), 2):
        if sample.faces is not None:
            put(f"Камера {1 + number % 2}/IMG_{number // 2:04d}.jpg", sample.original, sample.faces)
    for number in range(8):  # as a scanner writes them: no EXIF, other formats
        side = 500 + number
        picture, file = read_sample("coffee.png").resize((side, side)), BytesIO()
        kind = ("PNG", "WEBP")[number % 2]
        picture.save(file, kind)
        put(f"Камера 2/Сканы № 1/{number}.{kind.lower()}", file.getvalue(), 0)
    put("Камера 2/img_0001.jpg", encode_jpeg(read_sample("chelsea.png")), 0)
    put("е\u0308лка + 100% #1?.jpeg", encode_jpeg(read_sample("rocket.jpg")), 0)
    # Not every S3 keeps a backslash.
    put("с\\чертой.jpg", encode_jpeg(read_sample("rocket.jpg"), quality=80), 0)
    group = encode_jpeg(read_group())
    put("Камера 2/сломано.jpg", group[: len(group) // 2], None, "truncated")
    put("Камера 2/счёт.jpg", b"%PDF-1.7 no photo", None, "not_an_image")
    put("Камера 2/пусто.jpg", b"", None, "empty")
    for other in ("Камера 1/IMG_0001.CR3", "Камера 1/MVI_0002.MP4", "._IMG_0001.jpg", "Thumbs.db"):
        (folder / other).touch()
    return expected


def add_place(jpeg: bytes) -> bytes:
    """The photo with where it was taken in its EXIF."""
    with Image.open(BytesIO(jpeg)) as image:
        exif, file = image.getexif(), BytesIO()
        exif.get_ifd(0x8825)[1] = "N"
        image.save(file, "JPEG", exif=exif, quality=95)
    return file.getvalue()


def read_ledger(api_url: str, told: dict[str, Any]) -> dict[str, tuple[str, int, str | None]]:
    """Path below the source -> status, faces, reason; what is gone from S3 is left out."""
    event = told["event"]
    answer = httpx.get(
        f"{api_url}/api/v1/events/{event['event_uuid']}/photos?limit=500", trust_env=False
    )
    prefix = f"events/{event['event_id']}/previews/{told['source']}/"
    return {
        photo["s3_key"].removeprefix(prefix): (photo["status"], photo["faces"], photo["reason"])
        for photo in answer.raise_for_status().json()["photos"]
        if photo["status"] != "gone" and not photo["original_missing"]
    }


def list_source(told: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Originals and previews of a push in S3: path -> ETag."""
    bucket, event_id = get_bucket(), told["event"]["event_id"]
    originals, previews = (
        f"events/{event_id}/{folder}/{told['source']}/" for folder in ("originals", "previews")
    )
    return list_keys(bucket, originals), list_keys(bucket, previews)


def list_keys(bucket: Bucket, prefix: str) -> dict[str, str]:
    return {
        item.s3_key.removeprefix(prefix): item.etag
        for page in bucket.list_pages(prefix)
        for item in page
    }


def test_a_folder_becomes_a_gallery_and_the_gallery_follows_the_folder(
    tmp_path: Path, push: Push, joined_stack: dict[str, str]
) -> None:
    folder, api_url = tmp_path / "Свадьба", joined_stack["FACEPASS_API_URL"]
    expected = make_wedding(folder)
    assert len(expected) > 50

    code, told = push(folder, "--event", "Свадьба Анны и Ёжи (карта)")

    assert (code, told["error"], told["sync"]["state"]) == (0, None, "completed")
    assert told["originals_sent"] == told["previews_sent"] == told["photos"] == len(expected)
    assert told["skipped"] == {"raw_pair": 1, "video": 1, "hidden": 2}
    assert {row["reason"] for row in told["unreadable"]} == {"truncated", "not_an_image", "empty"}
    assert read_ledger(api_url, told) == expected
    assert httpx.get(told["gallery_url"], trust_env=False).status_code == 200
    originals, previews = list_source(told)
    assert originals.keys() == previews.keys() == expected.keys()
    key = f"events/{told['event']['event_id']}/previews/{told['source']}/{PORTRAIT}"
    preview = get_bucket().client.get_object(Bucket=get_bucket().name, Key=key)["Body"].read()
    with Image.open(BytesIO(preview)) as image:
        assert (max(image.size), dict(image.getexif())) == (512, {})

    # Again: nothing to send. That nothing is computed again is seen in the next sync.
    code, again = push(folder, "--event", told["event"]["event_uuid"], "--no-sync")

    assert (code, again["event"]["is_new"], again["source"]) == (0, False, told["source"])
    assert (again["bytes_sent"], again["unchanged"]) == (0, len(expected))
    assert again["skipped"] == told["skipped"]
    assert again["unreadable"] == told["unreadable"]
    assert list_source(again) == (originals, previews)

    # Three are deleted, one replaced, one mended, one renamed, one added.
    for gone in ("Камера 2/Сканы № 1/0.png", "Камера 2/Сканы № 1/1.webp", "Камера 2/счёт.jpg"):
        (folder / gone).unlink()
        del expected[gone]
    (folder / PORTRAIT).write_bytes(encode_jpeg(read_sample("coffee.png")))
    expected[PORTRAIT] = ("no_face", 0, "no_face_detected")
    (folder / "Камера 2/пусто.jpg").write_bytes(encode_jpeg(read_sample("astronaut.png")))
    expected["Камера 2/пусто.jpg"] = expected["Новое/1.jpg"] = ("indexed", 1, None)
    (folder / "Новое").mkdir()
    (folder / "Новое/1.jpg").write_bytes(encode_jpeg(read_sample("astronaut.png"), quality=70))
    (folder / "Камера 2/img_0001.jpg").rename(folder / "Новое/кошка.jpg")
    expected["Новое/кошка.jpg"] = expected.pop("Камера 2/img_0001.jpg")

    code, changed = push(folder, "--event", "Свадьба Анны и Ёжи (карта)")

    assert (code, changed["originals_sent"], changed["deleted"]) == (0, 4, 4)
    result = changed["sync"]["result"]
    assert (result["new_photos"], result["updated"], result["faces_found"]) == (2, 2, 2)
    assert (result["skipped"], result["failed"], result["gone"]) == (len(expected) - 5, 1, 4)
    assert read_ledger(api_url, changed) == expected
    now, previews_now = list_source(changed)
    assert now.keys() == previews_now.keys() == expected.keys()
    assert sum(now[name] != originals.get(name) for name in now) == 4


def fill(folder: Path, count: int = 12, side: int = 40) -> Path:
    """A folder of so many photos."""
    folder.mkdir(parents=True)
    for number in range(count):
        picture = read_sample("coffee.png").resize((side + number, side))
        (folder / f"{number:02d}.jpg").write_bytes(encode_jpeg(picture))
    return folder


def start_push(folder: Path, s3_url: str, event: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "deployments.push", str(folder), "--event", event, "--no-sync"],
        env=os.environ | {"FACEPASS_S3_ENDPOINT_URL": s3_url},
        stderr=subprocess.PIPE,
        # pytest in a shell's background ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def test_a_push_that_is_stopped_or_killed_is_finished_by_the_next(
    tmp_path: Path, push: Push, joined_stack: dict[str, str]
) -> None:
    folder, event = fill(tmp_path / "Карта", 40, side=500), "Прерванная"
    for end, code in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        with FaultProxy(joined_stack["FACEPASS_S3_ENDPOINT_URL"]).serve() as proxy:
            proxy.hang_after(500_000)
            process = start_push(folder, proxy.url, event)
            wait_until(proxy.hang.is_set)
            process.send_signal(end)
            said = process.communicate(timeout=20)[1].decode()
        assert process.returncode == code, said
        assert ("run the same command again" in said) == (end == signal.SIGINT)

    code, told = push(folder, "--event", event, "--no-sync")

    assert (code, told["event"]["is_new"]) == (0, False)
    assert told["previews_sent"] < 40
    kinds = ("sent", "finished", "unchanged", "left")
    assert sum(told[kind] for kind in kinds) == told["photos"] == 40
    assert [len(names) for names in list_source(told)] == [40, 40]


def test_two_cards_of_one_name_keep_their_photos_apart(tmp_path: Path, push: Push) -> None:
    event = ("--event", "Две карты", "--no-sync")
    first, second = fill(tmp_path / "a" / "DCIM"), fill(tmp_path / "b" / "DCIM", 3)
    _, before = push(first, *event)
    _, other = push(second, *event)
    assert before["event"] == {**other["event"], "is_new": True}
    assert (other["deleted"], other["originals_sent"]) == (0, 3)
    assert [len(names) for names in list_source(before)] == [12, 12]


def test_much_is_deleted_only_when_it_is_said(tmp_path: Path, push: Push) -> None:
    folder, event = fill(tmp_path / "Карта"), ("--event", "Опустевшая", "--no-sync")
    _, told = push(folder, *event)
    for photo in list(folder.glob("*.jpg"))[1:]:
        photo.unlink()
    code, refused = push(folder, *event)
    assert (code, refused["deleted"]) == (4, 0)
    assert "lacks 11 of the 12 photos" in refused["error"]
    assert push(folder, *event, "--keep")[0] == 0
    assert [len(names) for names in list_source(told)] == [12, 12]
    next(folder.glob("*.jpg")).unlink()
    code, empty = push(folder, *event)
    assert (code, "is the card in its place" in empty["error"]) == (4, True)
    assert push(folder, *event, "--delete")[1]["deleted"] == 12
    assert list_source(told) == ({}, {})


def test_what_is_wrong_is_one_sentence_and_an_exit_code(
    tmp_path: Path, push: Push, joined_stack: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, event = fill(tmp_path / "Карта", 1), ("--event", "Отказы", "--no-sync")
    # S3 that is away is asked four times; the test need not wait in between.
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None))
    assert push(tmp_path / "нет", *event)[0] == 2
    (tmp_path / "пусто").mkdir()
    code, told = push(tmp_path / "пусто", *event)
    assert (code, "There are no photos in" in told["error"]) == (2, True)
    for name, value, code, sentence in (
        ("FACEPASS_API_URL", "http://127.0.0.1:9", 3, "does not answer at http://127.0.0.1:9"),
        ("FACEPASS_API_URL", joined_stack["FACEPASS_S3_ENDPOINT_URL"], 2, "not FacePass's API"),
        ("FACEPASS_S3_ENDPOINT_URL", "http://127.0.0.1:9", 3, "S3 unreachable"),
        ("FACEPASS_S3_BUCKET", "nobodys", 2, "no bucket nobodys"),
        ("AWS_SECRET_ACCESS_KEY", "wrong", 2, "check the AWS credentials"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            got, told = push(folder, *event)
            assert (got, sentence in told["error"]) == (code, True), told["error"]
    forget_settings()


def test_an_erased_event_takes_no_photos(
    tmp_path: Path, push: Push, joined_stack: dict[str, str]
) -> None:
    folder, event = fill(tmp_path / "Карта", 1), ("--event", "Стёртая", "--no-sync")
    _, told = push(folder, *event)
    path = f"/api/v1/events/{told['event']['event_uuid']}/faces"
    httpx.delete(joined_stack["FACEPASS_API_URL"] + path, trust_env=False).raise_for_status()
    code, refused = push(folder, *event)
    assert (code, "resume" in refused["error"], refused["originals_sent"]) == (2, True, 0)


def test_an_api_with_keys_wants_one(
    tmp_path: Path, push: Push, public_api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.support.public_api import KEY

    folder, event = fill(tmp_path / "Карта", 1), ("--event", "С ключом", "--no-sync")
    monkeypatch.setenv("FACEPASS_API_URL", public_api.url)
    for key, code in (("", 2), ("чужой", 2), (KEY, 0)):
        monkeypatch.setenv("FACEPASS_API_KEY", key)
        assert push(folder, *event)[0] == code
