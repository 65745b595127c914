"""Pruning: what is deleted, what stays, and what is never touched."""

import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError
from prefect.filesystems import LocalFileSystem, WritableFileSystem
from prefect.logging import disable_run_logger
from prefect_aws import S3Bucket

from models.errors import S3DownloadError
from tasks.results import prune
from tasks.results.prune import prune_bucket, prune_expired, prune_folder, prune_storage
from tasks.results.storage import CACHE_LIFETIME, build_cache_key
from tests.support.fake_s3 import FakeClient

NOW = datetime(2026, 7, 1, tzinfo=UTC)
LIMIT = NOW - CACHE_LIFETIME
OLD, FRESH = LIMIT - timedelta(seconds=1), LIMIT + timedelta(seconds=1)


def write(file: Path, written: datetime, content: bytes = b"12345") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    os.utime(file, (written.timestamp(), written.timestamp()))
    return file


# --- a folder ---


def test_only_expired_files_are_deleted_from_a_folder(tmp_path: Path) -> None:
    old = [write(tmp_path / "1" / "a", OLD), write(tmp_path / "2" / "b", OLD)]
    fresh = [write(tmp_path / "1" / "c", FRESH), write(tmp_path / "2" / "d", LIMIT)]

    counts = prune_folder(tmp_path, LIMIT)

    assert counts == {"deleted": 2, "kept": 2, "bytes": 10}
    assert not any(file.exists() for file in old)
    assert all(file.exists() for file in fresh)


def test_an_emptied_folder_stays_for_whoever_is_about_to_write_into_it(tmp_path: Path) -> None:
    write(tmp_path / "1" / "a", OLD)
    prune_folder(tmp_path, LIMIT)
    assert (tmp_path / "1").is_dir()


def test_links_are_not_followed_and_stay(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "photo", OLD)
    folder = tmp_path / "embed"
    folder.mkdir()
    (folder / "file").symlink_to(outside)
    (folder / "folder").symlink_to(outside.parent)

    assert prune_folder(folder, LIMIT) == {}
    assert outside.exists()
    assert (folder / "file").is_symlink()


def test_a_folder_that_was_never_made_has_nothing_to_prune(tmp_path: Path) -> None:
    assert prune_folder(tmp_path / "none", LIMIT) == {}


def test_a_file_that_cannot_be_deleted_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = write(tmp_path / "a", OLD), write(tmp_path / "b", OLD)
    unlink = Path.unlink

    def refuse(file: Path) -> None:
        if file == stuck:
            raise PermissionError("no")
        unlink(file)

    monkeypatch.setattr(Path, "unlink", refuse)
    assert prune_folder(tmp_path, LIMIT) == {"failed": 1, "deleted": 1, "bytes": 5}
    assert not other.exists()


def test_nothing_but_the_cache_is_touched_in_a_local_storage(tmp_path: Path) -> None:
    key = build_cache_key([], "pack", 7)
    cached = write(tmp_path / key, OLD)
    others = [write(tmp_path / "0a1b2c", OLD), write(tmp_path / "embed-old" / "x", OLD)]

    counts = prune_storage(LocalFileSystem(basepath=str(tmp_path)), LIMIT)

    assert counts == {"deleted": 1, "bytes": 5}
    assert not cached.exists()
    assert all(file.exists() for file in others)


# --- a bucket ---


def make_client(written: dict[str, datetime], undeletable: tuple[str, ...] = ()) -> FakeClient:
    """A client whose pages are three results of five bytes each."""
    objects = dict.fromkeys(written, b"12345")
    return FakeClient(objects=objects, written=written, page_size=3, undeletable=undeletable)


def list_deleted(client: FakeClient) -> list[list[str]]:
    """The keys of each request to delete."""
    requests = [
        call["Delete"]["Objects"] for name, call in client.calls if name == "delete_objects"
    ]
    return [[item["Key"] for item in request] for request in requests]


def prune_pages(client: FakeClient) -> dict[str, int]:
    return prune_bucket(client, "photos", "", LIMIT)  # type: ignore[arg-type]


def test_each_pages_expired_objects_are_one_request() -> None:
    client = make_client({"a": OLD, "b": FRESH, "c": OLD, "d": FRESH, "e": LIMIT, "f": OLD})
    assert prune_pages(client) == {"deleted": 3, "kept": 3, "failed": 0, "bytes": 15}
    assert list_deleted(client) == [["a", "c"], ["f"]]
    assert client.calls[0] == ("list_objects_v2", {"Bucket": "photos", "Prefix": ""})


def test_an_empty_bucket_is_asked_to_delete_nothing() -> None:
    client = FakeClient(pages=[{}])
    assert prune_pages(client)["deleted"] == 0
    assert list_deleted(client) == []


def test_what_s3_refuses_to_delete_is_counted_and_said(caplog: pytest.LogCaptureFixture) -> None:
    client = make_client({"a": OLD, "b": OLD}, undeletable=("b",))
    assert prune_pages(client) == {"deleted": 1, "kept": 0, "failed": 1, "bytes": 5}
    assert "AccessDenied" in caplog.text


@pytest.mark.parametrize(
    ("folder", "prefix"),
    [
        ("results/", "results/embed/"),
        ("results", "results/embed/"),
        ("", "embed/"),
        ("a/b", "a/b/embed/"),
    ],
)
def test_only_the_cache_below_the_blocks_folder_is_listed(
    monkeypatch: pytest.MonkeyPatch, folder: str, prefix: str
) -> None:
    client = FakeClient()
    monkeypatch.setattr("prefect_aws.AwsCredentials.get_client", lambda *_: client)
    block = S3Bucket(bucket_name="photos", bucket_folder=folder)
    prune_storage(block, LIMIT)
    assert client.calls == [("list_objects_v2", {"Bucket": "photos", "Prefix": prefix})]
    # What Prefect itself makes of a key lies there.
    assert block._resolve_path(build_cache_key([], "pack", 7)).startswith(prefix)


def test_s3_being_away_is_told_in_the_products_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://s3.example.org")

    client = FakeClient()
    monkeypatch.setattr(client, "get_paginator", fail)
    monkeypatch.setattr("prefect_aws.AwsCredentials.get_client", lambda *_: client)
    with pytest.raises(S3DownloadError, match="S3 unreachable"):
        prune_storage(S3Bucket(bucket_name="photos"), LIMIT)


# --- all of them ---


class OtherStorage(WritableFileSystem):
    """A block of another kind."""

    def read_path(self, path: str) -> bytes:
        raise AssertionError("read")

    def write_path(self, path: str, content: bytes) -> None:
        raise AssertionError("written")


def test_a_storage_of_another_kind_is_left_alone_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert prune_storage(OtherStorage(), LIMIT) is None
    assert "OtherStorage" in caplog.text


def test_every_storage_in_use_is_pruned_and_counted_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    for name in ("one", "two"):
        write(tmp_path / name / "embed" / "1" / "a", now - CACHE_LIFETIME - timedelta(minutes=1))
        write(tmp_path / name / "embed" / "1" / "b", now - CACHE_LIFETIME + timedelta(minutes=1))
    storages = [LocalFileSystem(basepath=str(tmp_path / name)) for name in ("one", "two")]
    monkeypatch.setattr(prune, "list_result_storages", lambda: storages)

    with disable_run_logger():
        counts = prune_expired.fn()

    assert counts == {"deleted": 2, "kept": 2, "failed": 0, "bytes": 10}
