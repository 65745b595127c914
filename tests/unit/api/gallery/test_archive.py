"""Zips: every name safe and once, bytes as they are, what is missing told inside."""

from collections.abc import Iterator
from io import BytesIO
from typing import cast
from zipfile import ZIP_STORED, ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.gallery.archive import stream_zip
from api.gallery.file_names import MAX_NAME_BYTES, clean_name, name_files
from models.errors import PhotoUnavailableError, S3DownloadError
from tasks.storage import Bucket


class FakeBucket:
    """Objects in memory; at most one of them is open at a time."""

    def __init__(self, objects: dict[str, list[bytes]]) -> None:
        self.objects = objects
        self.open = 0

    def open_object(self, key: str) -> tuple[int, Iterator[bytes]]:
        if key not in self.objects:
            raise PhotoUnavailableError("vanished")
        assert self.open == 0
        self.open += 1
        return sum(map(len, self.objects[key])), self.read(key)

    def read(self, key: str) -> Iterator[bytes]:
        for piece in self.objects[key]:
            if piece == b"!":
                raise S3DownloadError("S3 unreachable.")
            yield piece
        self.open -= 1


def stream(objects: dict[str, list[bytes]], keys: list[str]) -> Iterator[bytes]:
    bucket = cast(Bucket, FakeBucket(objects))
    return stream_zip(bucket, keys, missing_name="НЕ ХВАТАЕТ.txt", missing_text="Нет:")


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
    objects = {"x/НЕ ХВАТАЕТ.txt": [b"a photo"], "x/1.jpg": [b"1"]}
    archive = ZipFile(BytesIO(b"".join(stream(objects, [*objects, "x/gone.jpg"]))))

    assert sorted(archive.namelist()) == ["1.jpg", "НЕ ХВАТАЕТ (2).txt", "НЕ ХВАТАЕТ.txt"]
    assert archive.read("НЕ ХВАТАЕТ.txt").decode("utf-8-sig").split() == ["Нет:", "gone.jpg"]


def test_a_failing_s3_breaks_the_download_rather_than_shortening_it() -> None:
    with pytest.raises(S3DownloadError):
        list(stream({"x/1.jpg": [b"1", b"!"], "x/2.jpg": [b"2"]}, ["x/1.jpg", "x/2.jpg"]))


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
    assert clean_name(name) == clean


@given(st.lists(st.text(max_size=400), max_size=20))
def test_names_are_short_safe_and_each_once(names: list[str]) -> None:
    files = name_files(names)

    assert len(files) == len(names)
    assert len({name.casefold() for name in files}) == len(files)
    for name in files:
        assert 0 < len(name.encode()) <= MAX_NAME_BYTES + len(" (20)")
        assert name.strip(".") and not set(name) & set('/\\:*?"<>|\n\x00')
