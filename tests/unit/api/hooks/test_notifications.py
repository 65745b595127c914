"""What stores tell: every form, and what is no news for a sync."""

import json
from typing import Any

import pytest

from api.hooks.notifications import choose_bucket, cut_folders, load_json, read_notification
from models.errors import InvalidNotificationError

BUCKET = "facepass"
KEY = "events/7/previews/день 1/IMG+1 (2).JPG"
# As Amazon and MinIO write it: encoded as in a form.
QUOTED = "events/7/previews/%D0%B4%D0%B5%D0%BD%D1%8C+1/IMG%2B1+%282%29.JPG"


def build_record(key: str = QUOTED, name: str = "ObjectCreated:Put", bucket: str = BUCKET) -> Any:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": name,
        "s3": {"bucket": {"name": bucket}, "object": {"key": key, "size": 9, "sequencer": "0A"}},
    }


def build_minio(key: str = QUOTED) -> Any:
    name = "s3:ObjectCreated:Put"
    record = build_record(key, name) | {"eventSource": "minio:s3"}
    return {"EventName": name, "Key": f"{BUCKET}/{KEY}", "Records": [record]}


def build_eventbridge(key: str = KEY, kind: str = "Object Created") -> Any:
    return {
        "version": "0",
        "source": "aws.s3",
        "detail-type": kind,
        "resources": [f"arn:aws:s3:::{BUCKET}"],
        "detail": {"bucket": {"name": BUCKET}, "object": {"key": key}, "reason": "PutObject"},
    }


def build_seaweedfs(key: str = KEY, kind: str = "create", **message: Any) -> Any:
    return {"key": f"/buckets/{BUCKET}/{key}", "event_type": kind, "message": message}


@pytest.mark.parametrize(
    ("content", "store"),
    [
        ({"Records": [build_record()]}, "s3"),
        ({"Records": [build_record(QUOTED.replace("/", "%2F"))]}, "s3"),  # MinIO's way
        (build_minio(), "s3"),
        ([build_minio(), build_minio()], "s3"),
        (build_eventbridge(), "eventbridge"),
        ([build_eventbridge()], "eventbridge"),
        (build_seaweedfs(), "seaweedfs"),
        (build_seaweedfs(kind="update"), "seaweedfs"),
        (build_seaweedfs(kind="delete"), "seaweedfs"),
        (build_seaweedfs(message=None), "seaweedfs"),
    ],
)
def test_every_store_tells_a_key_in_its_form(content: Any, store: str) -> None:
    news = read_notification(content, BUCKET)
    assert (news.store, news.keys) == (store, [KEY])


@pytest.mark.parametrize(
    "name",
    [
        "ObjectCreated:Copy",
        "s3:ObjectCreated:CompleteMultipartUpload",
        "ObjectRemoved:DeleteMarkerCreated",
        "s3:ObjectRestore:Completed",
        "LifecycleExpiration:Delete",
    ],
)
def test_what_changes_an_object_is_news(name: str) -> None:
    assert read_notification({"Records": [build_record(name=name)]}, BUCKET).keys == [KEY]


@pytest.mark.parametrize(
    "content",
    [
        {"Records": [build_record(name="ObjectTagging:Put")]},
        {"Records": [build_record(name="s3:ObjectAccessed:Get")]},
        {"Records": [build_record(name="s3:ObjectRestore:Post")]},
        {"Records": [build_record(bucket="another")]},
        {"Records": [build_record("events/7/previews/.DS_Store")]},
        {"Records": [build_record("events/7/previews/film.mov")]},
        {"Records": [build_record("events/7/previews/")]},
        {"Records": [build_record("events/7/views/1.jpg")]},
        {"Records": [build_record("events/7/previews/%00.jpg")]},
        {"Records": [build_record("events/7/previews/" + "a" * 1100 + ".jpg")]},
        {"Records": [{"eventName": "s3:BucketCreated:*", "s3": {"bucket": {"name": BUCKET}}}]},
        build_eventbridge(kind="Object Tags Added"),
        build_seaweedfs("../../etc/passwd"),
        {"key": "/topics/.system/log", "event_type": "update", "message": {}},
    ],
)
def test_what_no_sync_cares_for_is_counted_and_no_error(content: Any) -> None:
    news = read_notification(content, BUCKET)
    assert (news.keys, news.ignored) == ([], 1)


@pytest.mark.parametrize("content", [{"Records": []}, [], {"Event": "s3:TestEvent", "Bucket": "b"}])
def test_a_test_of_the_connection_is_taken(content: Any) -> None:
    assert read_notification(content, BUCKET).keys == []


def test_a_renamed_file_is_told_by_both_names() -> None:
    message = {
        "old_entry": {"name": "1.jpg"},
        "new_entry": {"name": "2.jpg"},
        "new_parent_path": f"/buckets/{BUCKET}/events/7/previews/b",
    }
    content = build_seaweedfs("events/7/previews/a/1.jpg", "rename", **message)
    wanted = ["events/7/previews/a/1.jpg", "events/7/previews/b/2.jpg"]
    assert read_notification(content, BUCKET).keys == wanted


def test_an_original_is_told_too_and_a_key_once() -> None:
    keys = ["events/7/originals/1.CR3", "events/7/originals/1.CR3", QUOTED]
    content = {"Records": [build_record(key) for key in keys]}
    assert read_notification(content, BUCKET).keys == ["events/7/originals/1.CR3", KEY]


@pytest.mark.parametrize(
    "content",
    [
        None,
        7,
        "text",
        {},
        [[]],
        {"Records": None},
        {"Records": [None]},
        {"Records": [{}]},
        {"Records": [{"s3": {}}]},
        {"Records": [build_record() | {"eventName": 5}]},
        {"detail-type": "Object Created", "detail": {}},
        {"detail-type": ["Object Created"], "detail": {"bucket": 1}},
        {"event_type": "explode", "key": "/buckets/b/k"},
        {"event_type": ["create"], "key": "/buckets/b/k"},
        {"Event": "s3:OtherEvent"},
    ],
)
def test_what_is_no_notification_is_refused_in_a_sentence(content: Any) -> None:
    with pytest.raises(InvalidNotificationError, match="no notification that is known"):
        read_notification(content, BUCKET)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe\xfd", b"[" * 100_000, b"1" * 5000])
def test_a_damaged_body_is_refused_in_a_sentence(body: bytes) -> None:
    with pytest.raises(InvalidNotificationError, match=r"not valid JSON|no notification"):
        read_notification(load_json(body), BUCKET)


def test_a_record_whose_key_is_no_name_is_refused() -> None:
    with pytest.raises(InvalidNotificationError):
        read_notification(json.loads('{"Records": [{"eventName": "x", "s3": {}}, 4]}'), BUCKET)


def test_a_bucket_behind_an_access_point_has_a_name_of_its_own() -> None:
    assert choose_bucket("facepass") == "facepass"
    assert choose_bucket("arn:aws:s3:eu-west-1:1:accesspoint/a") is None
    assert choose_bucket("a-xyz-s3alias") is None
    assert choose_bucket(None) is None
    assert read_notification({"Records": [build_record()]}, None).keys == [KEY]


def test_keys_of_a_folder_are_one_folder() -> None:
    assert cut_folders(["a/previews/1.jpg", "a/previews/2.jpg"]) == {"a/previews/"}
