"""Signed results: what was written comes back, and nothing else is found."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.filesystems import LocalFileSystem, WritableFileSystem
from pydantic import SecretBytes

from tasks.results import signed
from tasks.results.signed import RawBytes, SignedStorage

PATH = "embed/7/0123"
KEY = b"k" * 16


class FakeStorage(WritableFileSystem):
    """Files in memory."""

    _block_type_name = "Files in a test's memory"
    files: dict[str, bytes] = {}  # noqa: RUF012 (a field)

    def read_path(self, path: str, **_: object) -> bytes:  # type: ignore[override]  # Prefect's has more words, which are not used here
        """The content."""
        return self.files[path]

    def write_path(self, path: str, content: bytes, **_: object) -> None:  # type: ignore[override]  # Prefect's has more words, which are not used here
        """Keep it."""
        self.files[path] = content


def open_storage(inner: Any, key: bytes = KEY) -> SignedStorage:
    return SignedStorage(storage=inner, secret=SecretBytes(key))


def test_what_was_written_is_read_by_whoever_has_the_key(tmp_path: Path) -> None:
    folder = LocalFileSystem(basepath=str(tmp_path))
    open_storage(folder).write_path(PATH, b"record", _sync=True)
    assert (tmp_path / PATH).read_bytes().endswith(b"record")
    assert open_storage(folder).read_path(PATH, _sync=True) == b"record"


@given(st.binary(max_size=40), st.data())
def test_any_other_bytes_are_not_found(record: bytes, data: st.DataObject) -> None:
    inner = FakeStorage()
    open_storage(inner).write_path(PATH, record)
    kept = inner.files[PATH]
    at = data.draw(st.integers(0, len(kept) - 1))
    flipped = bytes([*kept[:at], kept[at] ^ data.draw(st.integers(1, 255)), *kept[at + 1 :]])
    for other in (flipped, kept[:at], kept + b"x", record, b""):
        inner.files[PATH] = other
        assert open_storage(inner).read_path(PATH) is None


def test_another_path_key_or_format_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = FakeStorage()
    open_storage(inner).write_path(PATH, b"record")
    inner.files["embed/8/0123"] = inner.files[PATH]
    assert open_storage(inner).read_path("embed/8/0123") is None
    assert open_storage(inner, b"l" * 16).read_path(PATH) is None
    monkeypatch.setattr(signed, "FORMAT", b"facepass result 2\n")
    assert open_storage(inner).read_path(PATH) is None


def test_what_was_checked_is_what_is_used() -> None:
    """Prefect reads twice, and whoever writes may do so in between."""
    inner = FakeStorage()
    open_storage(inner).write_path(PATH, b"record")
    reader = open_storage(inner)
    assert reader.read_path(PATH) == b"record"
    inner.files[PATH] = b"poison"
    assert reader.read_path(PATH) == b"record"


def test_errors_that_prefect_would_keep_are_not_kept() -> None:
    inner = FakeStorage()
    open_storage(inner).write_path("0123456789abcdef", RawBytes().dumps(ValueError("boom")))
    assert inner.files == {}


@given(st.binary())
def test_a_product_comes_back_as_it_was(product: bytes) -> None:
    assert RawBytes().loads(RawBytes().dumps(product)) == product


def test_the_key_is_not_shown() -> None:
    storage = open_storage(FakeStorage(), b"very-secret-key!")
    assert "very-secret" not in f"{storage!r} {storage} {storage.model_dump_json()}"
