"""The search for an event's originals without an up-to-date preview.

S3's listings of originals and previews are merged while they stream, so memory stays small. This
needs S3's usual key order; in another order a preview may be missed, so `bring_preview` checks.
"""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain, groupby, islice
from typing import TypeVar

from models.keys import (
    ListedPreview,
    cut_previews_folder,
    derive_preview_key,
    is_image_key,
)
from tasks.s3.bucket import Bucket

# An upload in parts is dated by its beginning: it may replace an original after its preview was
# made, and still look older. Within this time the preview's note is asked.
LONGEST_UPLOAD = timedelta(minutes=10)

T = TypeVar("T")


@dataclass(frozen=True)
class OriginalRef:
    """An original to look at, and where its preview belongs."""

    s3_key: str
    etag: str
    size: int
    preview_key: str


@dataclass
class Census:
    """What the listing of an event's originals found."""

    originals: int = 0
    candidates: int = 0  # those that may lack a preview, or have an old one
    ignored: int = 0  # files beside them that are no photos
    prefixes: list[str] = field(default_factory=list)  # of the previews, one a folder of originals


def list_candidates(
    bucket: Bucket, folder: str, *, look_at_all: bool, census: Census
) -> Generator[OriginalRef, None, None]:
    """The originals whose preview is missing or may be older than they are, in listed order.

    `look_at_all`: every original, whatever the listings' dates say. The census grows as the
    originals are asked for. Raises S3DownloadError or S3AccessError.
    """
    with closing(_flatten(bucket, folder)) as listed:
        originals = _keep_originals(listed, folder, census)
        for prefix, group in groupby(originals, lambda pair: cut_previews_folder(pair[0], folder)):
            census.prefixes.append(prefix)
            with closing(_flatten(bucket, prefix)) as previews:
                for (key, original), preview in pair_listings(group, previews):
                    census.originals += 1
                    if look_at_all or needs_look(original, preview):
                        census.candidates += 1
                        yield OriginalRef(original.s3_key, original.etag, original.size, key)


def pair_listings(
    originals: Iterable[tuple[str, ListedPreview]], previews: Iterable[ListedPreview]
) -> Iterator[tuple[tuple[str, ListedPreview], ListedPreview | None]]:
    """Each original, given with its preview's key, beside the preview that has this key.

    Both in the order of keys. In any other order previews may be overlooked, none is invented.
    """
    waiting = iter(previews)
    preview = next(waiting, None)
    for key, original in originals:
        while preview is not None and preview.s3_key < key:
            preview = next(waiting, None)
        found = preview if preview is not None and preview.s3_key == key else None
        yield (key, original), found


def needs_look(original: ListedPreview, preview: ListedPreview | None) -> bool:
    """Whether a preview is missing, or may be that of an earlier original, by the dates listed."""
    if preview is None or preview.modified is None or original.modified is None:
        return True
    return original.modified > preview.modified - LONGEST_UPLOAD


def cut(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items; the last one may be shorter."""
    rest = iter(items)
    while piece := list(islice(rest, size)):
        yield piece


def _flatten(bucket: Bucket, prefix: str) -> Generator[ListedPreview, None, None]:
    with closing(bucket.list_pages(prefix)) as pages:
        yield from chain.from_iterable(pages)


def _keep_originals(
    listed: Iterable[ListedPreview], folder: str, census: Census
) -> Iterator[tuple[str, ListedPreview]]:
    for item in listed:
        key = derive_preview_key(item.s3_key, folder)
        if key is None:
            continue
        # Where something on the way resolves dots, a key with them would lead out of the event.
        if is_image_key(key) and not {".", ".."} & set(key.split("/")):
            yield key, item
        else:
            census.ignored += 1
