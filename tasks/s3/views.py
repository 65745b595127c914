"""Objects of photos' views in S3: their notes, how they are put, and how they are deleted.

An object without our notes is somebody else's: it is neither replaced nor deleted.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.keys import find_viewed
from models.vocabulary import ViewKind
from tasks.s3.bucket import Bucket
from tasks.s3.objects import (
    LOOK,
    MD5,
    ORIGINAL,
    RECIPE,
    delete_object,
    hash_md5,
    put_unless_changed,
    read_metadata,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import PutObjectRequestTypeDef

RECIPES = "views"  # what the recipes of views begin with, and no preview's
DELETED_AT_A_TIME = 16
_TYPES = {
    ViewKind.THUMB: "image/webp",
    ViewKind.VIEW: "image/webp",
    ViewKind.VIEW_JPEG: "image/jpeg",
}


@dataclass(frozen=True)
class ViewNotes:
    """What a view's object says of itself, and of the photo's views together.

    source: the ETag of what they were made from. look: width, height and mean colour, as
    "2048x1365 a0b1c2".
    """

    source: str
    recipe: str
    look: str

    def as_metadata(self) -> dict[str, str]:
        """The S3 metadata that says so."""
        return {ORIGINAL: self.source, RECIPE: self.recipe, LOOK: self.look}


@dataclass(frozen=True)
class StoredView:
    """An object under a view's key; `notes` is None where it is not ours."""

    etag: str
    size: int
    notes: ViewNotes | None


StoredViews = Mapping[ViewKind, StoredView | None]


def read_views(bucket: Bucket, keys: Mapping[ViewKind, str]) -> dict[ViewKind, StoredView | None]:
    """What lies under the keys of a photo's views.

    Raises PhotoUnavailableError where it may not be looked at, S3DownloadError or S3AccessError
    about S3 itself.
    """
    return {kind: _read_view(bucket, key) for kind, key in keys.items()}


def parse_notes(metadata: Mapping[str, str]) -> ViewNotes | None:
    """An object's notes; None where it is no view that we put."""
    if ORIGINAL not in metadata or not metadata.get(RECIPE, "").startswith(RECIPES):
        return None
    return ViewNotes(metadata[ORIGINAL], metadata[RECIPE], metadata.get(LOOK, ""))


def find_notes(stored: StoredViews, source: str, recipe: str) -> ViewNotes | None:
    """The notes of a photo's views where all are there, made of this by this recipe."""
    found = {view.notes if view else None for view in stored.values()}
    notes = found.pop()
    fits = not found and notes is not None and (notes.source, notes.recipe) == (source, recipe)
    return notes if fits else None


def has_foreign(stored: StoredViews) -> bool:
    """Whether an object under one of the keys is not ours."""
    return any(view is not None and view.notes is None for view in stored.values())


def put_views(
    bucket: Bucket,
    keys: Mapping[ViewKind, str],
    contents: Mapping[ViewKind, bytes],
    notes: ViewNotes,
    stored: StoredViews,
) -> int:
    """Put a photo's views in the place of what was seen there; returns the bytes sent.

    Raises PhotoChangedError where another object is there by now, S3DownloadError or
    S3AccessError.
    """
    for kind, key in keys.items():
        content, replaced = contents[kind], stored[kind]
        digest = hash_md5(content)
        request: PutObjectRequestTypeDef = {
            "Bucket": bucket.name,
            "Key": key,
            "Body": content,
            "ContentMD5": b64encode(bytes.fromhex(digest)).decode(),
            "ContentType": _TYPES[kind],
            "Metadata": {MD5: digest, **notes.as_metadata()},
        }
        put_unless_changed(bucket, request, replaced.etag if replaced else None)
    return sum(len(contents[kind]) for kind in keys)


def list_views(bucket: Bucket, folder: str) -> Iterator[str]:
    """The keys in an event's folder that are views', whoever put these objects.

    Raises S3AccessError or S3DownloadError.
    """
    with closing(bucket.list_pages(folder)) as pages:
        for page in pages:
            yield from (item.s3_key for item in page if find_viewed(item.s3_key, folder))


def delete_views(bucket: Bucket, keys: Iterable[str]) -> int:
    """Delete those of these objects that are ours; returns how many there were.

    Raises S3AccessError or S3DownloadError.
    """

    def delete(key: str) -> bool:
        is_ours = parse_notes(read_metadata(bucket, key) or {}) is not None
        if is_ours:
            delete_object(bucket, key)
        return is_ours

    with ThreadPoolExecutor(DELETED_AT_A_TIME, thread_name_prefix="views") as pool:
        return sum(pool.map(delete, keys))


def _read_view(bucket: Bucket, key: str) -> StoredView | None:
    head = bucket.find_head(key)
    if head is None:
        return None
    return StoredView(head["ETag"].strip('"'), head["ContentLength"], parse_notes(head["Metadata"]))
