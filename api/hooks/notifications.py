"""The forms in which object stores tell of changed objects, and the keys that they name.

S3's own event records (AWS, MinIO, Ceph and others), Amazon EventBridge's events and the
filer's messages of SeaweedFS. What is none of these is refused; what is one of them and says
nothing of a photo is left out and counted.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from models.errors import InvalidNotificationError
from models.keys import (
    MAX_KEY_BYTES,
    ORIGINALS_FOLDER,
    PREVIEWS_FOLDER,
    is_image_key,
    is_original,
    is_storable,
)

# Names of S3's events, without "s3:"; what is told of tags, ACLs and readings is no news.
_CHANGES = ("ObjectCreated:", "ObjectRemoved:", "ObjectRestore:Completed", "LifecycleExpiration:")
_EVENTBRIDGE_CHANGES = {"Object Created", "Object Deleted", "Object Restore Completed"}
_SEAWEEDFS_CHANGES = {"create", "update", "rename", "delete"}
_BUCKETS_FOLDER = "/buckets/"  # of SeaweedFS's filer
_UNKNOWN = (
    "This is no notification that is known here: S3 event records, an EventBridge event, a message "
    "of SeaweedFS's filer or a notification of SNS."
)
_DAMAGED = "The notification is not valid JSON."


@dataclass(frozen=True)
class StoreNews:
    """What one notification says."""

    store: str
    keys: list[str]  # of previews and originals
    ignored: int = 0  # objects of another bucket, or that are no photos
    repeated: bool = False  # a message that was taken before


@dataclass(frozen=True)
class _Change:
    bucket: str
    key: str


def load_json(body: bytes | str) -> object:
    """A notification's JSON. Raises InvalidNotificationError."""
    try:
        return json.loads(body)
    # Too deep a nesting, a number of too many digits: none of them a store's.
    except (ValueError, RecursionError) as error:
        raise InvalidNotificationError(_DAMAGED) from error


def read_notification(content: object, bucket: str | None) -> StoreNews:
    """What a notification says of the bucket's photos; `bucket` None: of any.

    A list is one of notifications, as EventBridge Pipes and MinIO's batches are. Raises
    InvalidNotificationError.
    """
    changes = [_read_one(item) for item in (content if isinstance(content, list) else [content])]
    found = [change for _, some in changes for change in some]
    keys = [
        change.key
        for change in found
        if change is not None and (bucket is None or change.bucket == bucket) and _is_told(change)
    ]
    store = changes[0][0] if changes else "s3"
    return StoreNews(store, list(dict.fromkeys(keys)), len(found) - len(keys))


def choose_bucket(configured: str | None) -> str | None:
    """The bucket's name as notifications have it; None where it is known by another name here.

    Access points are: their notifications name the bucket behind them.
    """
    is_alias = configured and (configured.startswith("arn:") or configured.endswith("-s3alias"))
    return None if is_alias else configured


def _read_one(content: object) -> tuple[str, list[_Change | None]]:
    """The store's kind and the changes that one notification tells; None for what is no news."""
    match content:
        case {"Records": list(records)}:
            return "s3", [_read_record(record) for record in records]
        case {"Event": "s3:TestEvent"}:
            return "s3", []
        case {"detail-type": str(kind), "detail": dict(detail)}:
            return "eventbridge", [_read_eventbridge(kind, detail)]
        case {"event_type": str(kind), "key": str(path), **rest}:
            return "seaweedfs", list(_read_seaweedfs(kind, path, rest.get("message")))
    raise InvalidNotificationError(_UNKNOWN)


def _read_record(record: object) -> _Change | None:
    match record:
        case {
            "eventName": str(name),
            "s3": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}},
        }:
            # Keys are encoded as in a form: a space is a plus.
            is_news = name.removeprefix("s3:").startswith(_CHANGES)
            return _Change(bucket, unquote_plus(key)) if is_news else None
        case {"eventName": str()}:
            return None  # of a bucket as a whole
    raise InvalidNotificationError(_UNKNOWN)


def _read_eventbridge(kind: str, detail: dict[str, Any]) -> _Change | None:
    match detail:
        case {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}}:
            return _Change(bucket, key) if kind in _EVENTBRIDGE_CHANGES else None
    raise InvalidNotificationError(_UNKNOWN)


def _read_seaweedfs(kind: str, path: str, message: object) -> Iterator[_Change | None]:
    if kind not in _SEAWEEDFS_CHANGES:
        raise InvalidNotificationError(_UNKNOWN)
    yield _split_path(path)
    match message:
        case {"new_parent_path": str(parent), "new_entry": {"name": str(name)}}:
            if kind == "rename":
                yield _split_path(f"{parent}/{name}")


def _split_path(path: str) -> _Change | None:
    if not path.startswith(_BUCKETS_FOLDER):
        return None
    bucket, _, key = path.removeprefix(_BUCKETS_FOLDER).partition("/")
    return _Change(bucket, key)


def _is_told(change: _Change) -> bool:
    """Whether a sync could have anything to do with the object."""
    key = change.key
    if not is_storable(key) or len(key.encode()) > MAX_KEY_BYTES:
        return False
    if PREVIEWS_FOLDER in key and is_image_key(key):
        return True
    return ORIGINALS_FOLDER in key and is_original(key)


def cut_folders(keys: Iterable[str]) -> set[str]:
    """The folders, with their slash, in which keys lie."""
    return {key[: key.rindex("/") + 1] for key in keys}
