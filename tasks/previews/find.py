"""The search for an event's originals without an up-to-date preview.

S3's listings of originals and previews are merged while they stream, so memory stays small. This
needs S3's usual key order; in another order a preview may be missed, so `bring_preview` checks.
"""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain, groupby, islice
from typing import TypeVar

from models.keys import (
    MAX_KEY_BYTES,
    ORIGINAL_KINDS,
    FileKind,
    ListedPreview,
    cut_previews_folder,
    derive_preview_key,
    find_pairs,
    is_original,
    judge_kind,
)
from tasks.s3.bucket import Bucket

# An upload in parts is dated by its beginning: it may replace an original after its preview was
# made, and still look older. Within this time the preview's note is asked.
LONGEST_UPLOAD = timedelta(minutes=10)
# Keys that begin alike, looked at together: IMG_1.CR2, IMG_1.JPG, IMG_1.xmp.
MOST_ALIKE = 1_000

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
    ignored: Counter[str] = field(default_factory=Counter)  # files that get no preview
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
    for group in group_alike(listed):
        pairs = find_pairs(item.s3_key for item in group)
        for item in group:
            key = derive_preview_key(item.s3_key, folder)
            if key is None:
                continue
            if item.s3_key in pairs:
                census.ignored["raw_pair"] += 1
            elif is_original(item.s3_key) and _is_sound(key):
                yield key, item
            else:
                kind = judge_kind(item.s3_key)
                census.ignored[FileKind.OTHER if kind in ORIGINAL_KINDS else kind] += 1


def group_alike(listed: Iterable[ListedPreview]) -> Iterator[list[ListedPreview]]:
    """Neighbours whose keys begin with the first one's stem and a dot."""
    group: list[ListedPreview] = []
    start = ""
    for item in listed:
        if not group or not item.s3_key.startswith(start) or len(group) == MOST_ALIKE:
            if group:
                yield group
            group, start = [], item.s3_key.rpartition(".")[0] + "."
        group.append(item)
    if group:
        yield group


def _is_sound(preview_key: str) -> bool:
    """Whether S3 takes it; where something on the way resolves dots, it stays in the event."""
    fits = len(preview_key.encode()) <= MAX_KEY_BYTES
    return fits and not {".", ".."} & set(preview_key.split("/"))
