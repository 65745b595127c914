"""Zips: every name safe and once, bytes as they are, what is missing told inside."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any, cast
from zipfile import ZIP_STORED, ZipFile

import pytest
from botocore.exceptions import ConnectionClosedError
from hypothesis import given
from hypothesis import strategies as st

from api.gallery.archive import (
    MAX_NAME_BYTES,
    FileNames,
    ZipEntry,
    clean_file_name,
    open_zip,
)
from models.errors import PhotoChangedError, S3DownloadError
from tasks.s3.bucket import Bucket
from tests.support.fake_s3 import make_error

ARCHIVED = [b"in Glacier"]


class Body:
    """What S3 sends, piece by piece; at most one is open at a time."""

    open = 0

    def __init__(self, pieces: list[bytes]) -> None:
        assert Body.open == 0
        Body.open += 1
        self.pieces = [*pieces]

    def read(self, _: int) -> bytes:
        piece = self.pieces.pop(0) if self.pieces else b""
        if piece == b"!":
            raise ConnectionClosedError(endpoint_url="http://s3")
        return piece

    def close(self) -> None:
        Body.open -= 1


class Client:
    """S3 in memory."""

    def __init__(self, objects: dict[str, list[bytes]]) -> None:
        self.objects = objects

    def get_object(self, *, Bucket: str, Key: str, Range: str = "") -> dict[str, Any]:  # noqa: N803 (boto3's)
        if Key not in self.objects:
            raise make_error("NoSuchKey", 404)
        if self.objects[Key] == ARCHIVED:
            raise make_error("InvalidObjectState", 403)
        pieces = self.objects[Key]
        size = sum(map(len, pieces))
        if Range:
            if not size:
                raise make_error("InvalidRange", 416)
            first = {"ContentLength": 1, "ContentRange": f"bytes 0-0/{size}", "ETag": '"e"'}
            return {**first, "Body": BytesIO(pieces[0][:1])}
        return {"ContentLength": size, "ETag": '"e"', "Body": Body(pieces)}


def stream(
    objects: dict[str, list[bytes]], keys: list[str], *more: tuple[str, str]
) -> Iterator[bytes]:
    bucket = Bucket(cast(Any, Client(objects)), "photos", "http://s3/photos")
    entries = [ZipEntry([(key, key.rpartition("/")[2]), *more]) for key in keys]
    size, pieces = open_zip(bucket, entries, missing=("НЕ ХВАТАЕТ.txt", "Нет:"))
    read = 0
    for piece in pieces:
        read += len(piece)
        yield piece
    assert read == size


def test_a_zip_holds_the_originals_bytes_stored_under_their_names() -> None:
    objects = {
        "events/1/originals/Анна и Ёж.jpg": [b"abc", b"def"],
        "events/1/originals/a/IMG_1.jpg": [b"1"],
        "events/1/originals/b/img_1.JPG": [b"2"],
    }
    archive = ZipFile(BytesIO(b"".join(stream(objects, list(objects)))))

    assert archive.testzip() is None
    assert {entry.compress_type for entry in archive.infolist()} == {ZIP_STORED}
    assert {name: archive.read(name) for name in archive.namelist()} == {
        "Анна и Ёж.jpg": b"abcdef",
        "IMG_1.jpg": b"1",
        "img_1 (2).JPG": b"2",
    }
    # UTF-8 by its flag (bit 11), or Windows would read Cyrillic as something else.
    assert archive.getinfo("Анна и Ёж.jpg").flag_bits & 0x800


def test_what_is_missing_is_skipped_and_listed_under_a_name_no_photo_has() -> None:
    objects = {"x/НЕ ХВАТАЕТ.txt": [b"a photo"], "x/old.jpg": ARCHIVED, "x/1.jpg": [b"1"]}
    archive = ZipFile(BytesIO(b"".join(stream(objects, [*objects, "x/gone.jpg"]))))

    assert sorted(archive.namelist()) == ["1.jpg", "НЕ ХВАТАЕТ (2).txt", "НЕ ХВАТАЕТ.txt"]
    assert archive.read("НЕ ХВАТАЕТ.txt").decode("utf-8-sig").split() == [
        "Нет:",
        "old.jpg",
        "gone.jpg",
    ]


def test_a_failing_s3_breaks_the_download_rather_than_shortening_it() -> None:
    with pytest.raises(S3DownloadError):
        list(stream({"x/1.jpg": [b"1", b"!"], "x/2.jpg": [b"2"]}, ["x/1.jpg", "x/2.jpg"]))
    assert Body.open == 0


def test_what_stands_in_for_a_photo_has_its_own_name() -> None:
    objects = {"views/1.jpg": [b"view"], "views/2.jpg": [b""]}
    pieces = stream(objects, ["views/1.jpg", "views/none.jpg"], ("views/2.jpg", "2.JPG"))
    archive = ZipFile(BytesIO(b"".join(pieces)))
    assert {name: archive.read(name) for name in archive.namelist()} == {
        "1.jpg": b"view",
        "2.JPG": b"",
    }


def test_an_object_that_is_replaced_after_its_size_was_told_breaks_the_download() -> None:
    objects = {"x/1.jpg": [b"1"], "x/2.jpg": [b"2"]}
    pieces = stream(objects, list(objects))
    next(pieces)
    objects["x/2.jpg"] = [b"longer"]
    with pytest.raises(PhotoChangedError):
        list(pieces)
    assert Body.open == 0


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("..\\..\\evil.jpg", "_.._evil.jpg"),
        ("a:b?.jpg", "a_b_.jpg"),
        ("con.jpg", "_con.jpg"),
        (".", "photo"),
        ("", "photo"),
        ("Свадьба 💍.jpg", "Свадьба 💍.jpg"),
        ("gpj.\u202eexe", "gpj._exe"),
    ],
)
def test_a_name_cannot_leave_its_folder_or_be_something_else(name: str, clean: str) -> None:
    assert clean_file_name(name) == clean


@given(st.lists(st.text(max_size=400), max_size=20))
def test_names_are_short_safe_and_each_once(names: list[str]) -> None:
    taken = FileNames()
    files = [taken.take(name) for name in names]

    assert len(files) == len(names)
    assert len({name.casefold() for name in files}) == len(files)
    for name in files:
        assert 0 < len(name.encode()) <= MAX_NAME_BYTES + len(" (20)")
        assert name.strip(".") and not set(name) & set('/\\:*?"<>|\n\x00')
