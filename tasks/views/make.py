"""The views of one photo: made, and put into S3 if they are missing or out of date.

Their notes in S3 say of what and by which recipe they were made, so that views that somebody else
put (`facepass push`, or a run that was killed) are only recorded.
"""

import logging
import re
from dataclasses import dataclass, replace
from enum import StrEnum

from models.errors import PhotoChangedError, PhotoUnavailableError
from models.keys import derive_original_key, derive_view_keys, is_original
from models.queries.gallery.views import ViewRecord, ViewWork
from models.settings import get_settings
from models.vocabulary import PhotoReason, ViewKind
from tasks.images.views import VIEWS_RECIPE, Views, make_views
from tasks.previews.make import MOST_CHANGES, get_byte_budget, get_pixel_budget
from tasks.s3.bucket import Bucket
from tasks.s3.views import (
    StoredViews,
    ViewNotes,
    find_notes,
    has_foreign,
    put_views,
    read_views,
)

logger = logging.getLogger(__name__)

# Reasons that lie in an original's bytes; of others the next run tries it again.
LASTING = frozenset(
    {
        PhotoReason.NOT_AN_IMAGE,
        PhotoReason.TRUNCATED,
        PhotoReason.EMPTY,
        PhotoReason.TOO_MANY_PIXELS,
        PhotoReason.TOO_MANY_BYTES,
        PhotoReason.UNPROCESSABLE,
    }
)
_LOOK = re.compile(r"([0-9]{1,5})x([0-9]{1,5}) ([0-9a-f]{6})")


class Verdict(StrEnum):
    """What came of one photo."""

    MADE = "made"
    KEPT = "kept"  # its views are there: they are recorded
    LEFT_OUT = "left_out"


@dataclass(frozen=True)
class Outcome:
    """What came of a photo, what is to be recorded, and why it got no views."""

    verdict: Verdict
    record: ViewRecord | None = None
    why: str | None = None


def bring_views(bucket: Bucket, photo: ViewWork, folder: str) -> Outcome:
    """See to it that a photo has its views; `folder`: its event's in S3.

    Never raises about one photo; S3DownloadError and S3AccessError about S3 itself.
    """
    keys = derive_view_keys(photo.s3_key, folder)
    if keys is None:
        return _leave_out(photo, "its key leaves no room for those of its views: rename it")
    original_key = photo.original_key or derive_original_key(photo.s3_key, folder)
    photo = replace(photo, original_key=original_key)
    try:
        for _ in range(MOST_CHANGES):
            try:
                return _bring(bucket, photo, keys)
            except PhotoChangedError:
                photo = _look_again(bucket, photo)
    except PhotoUnavailableError as error:
        if error.reason in LASTING:
            return _leave_out(photo, f"its preview cannot be read ({error.reason})")
        return Outcome(Verdict.LEFT_OUT, why=f"S3 does not give it now ({error.reason})")
    return Outcome(Verdict.LEFT_OUT, why="it is being replaced: the next run looks at it")


def _bring(bucket: Bucket, photo: ViewWork, keys: dict[ViewKind, str]) -> Outcome:
    stored = read_views(bucket, keys)
    if has_foreign(stored):
        return _leave_out(photo, "somebody else's file lies where its views belong: move it")
    etag = photo.original_etag
    for source in (photo.etag,) if etag is None else (etag, f"{etag}+{photo.etag}"):
        if notes := find_notes(stored, source, VIEWS_RECIPE):
            return Outcome(Verdict.KEPT, _record(photo, notes, _measure(stored)))
    views, source = _make_from_original(bucket, photo)
    if views is None:
        if notes := find_notes(stored, source, VIEWS_RECIPE):
            return Outcome(Verdict.KEPT, _record(photo, notes, _measure(stored)))
        limit = get_settings().max_photo_bytes
        views = _make(bucket, photo.s3_key, photo.etag, photo.size, limit)
    notes = ViewNotes(source, VIEWS_RECIPE, views.look)
    put_views(bucket, keys, views.contents, notes, stored)
    return Outcome(Verdict.MADE, _record(photo, notes, len(views.contents[ViewKind.VIEW_JPEG])))


def _make_from_original(bucket: Bucket, photo: ViewWork) -> tuple[Views | None, str]:
    """The views and the source to note; None where the original gives none: the preview's."""
    key, etag = photo.original_key, photo.original_etag
    if key is None or etag is None:
        return None, photo.etag
    try:
        if not is_original(key):
            raise PhotoUnavailableError(PhotoReason.NOT_AN_IMAGE)
        limit = get_settings().max_original_bytes
        return _make(bucket, key, etag, photo.original_bytes or 0, limit), etag
    except PhotoUnavailableError as error:
        lasting = error.reason in LASTING
        return None, f"{etag}+{photo.etag}" if lasting else photo.etag


def _make(bucket: Bucket, key: str, etag: str, size: int, limit: int) -> Views:
    if size > limit:
        raise PhotoUnavailableError(PhotoReason.TOO_MANY_BYTES)
    in_memory, pixels = get_byte_budget(), get_pixel_budget()
    in_memory.reserve(size)
    try:
        return make_views(bucket.read_photo(key, etag, limit), pixels.reserve)
    finally:
        pixels.release()
        in_memory.release()


def _look_again(bucket: Bucket, photo: ViewWork) -> ViewWork:
    """The photo with its original as it is now.

    Its preview's ETag is the row's: where that has changed, the next sync tells.
    """
    if photo.original_key is None or photo.original_etag is None:
        return photo
    try:
        head = bucket.read_head(photo.original_key)
    except PhotoUnavailableError as error:
        if error.reason != PhotoReason.VANISHED:
            raise
        return replace(photo, original_etag=None, original_bytes=None)
    etag = head["ETag"].strip('"')
    return replace(photo, original_etag=etag, original_bytes=head["ContentLength"])


def _measure(stored: StoredViews) -> int | None:
    jpeg = stored[ViewKind.VIEW_JPEG]
    return jpeg.size if jpeg else None


def _record(photo: ViewWork, notes: ViewNotes, view_bytes: int | None) -> ViewRecord:
    look = _LOOK.fullmatch(notes.look)
    return ViewRecord(
        photo.id,
        photo.etag,
        photo.etag,
        f"{VIEWS_RECIPE} {notes.source}",
        int(look[1]) if look else None,
        int(look[2]) if look else None,
        look[3] if look else None,
        view_bytes,
    )


def _leave_out(photo: ViewWork, why: str) -> Outcome:
    """An outcome that is recorded: the resync does not start a run for this photo again."""
    source = f"{VIEWS_RECIPE} {photo.original_etag or photo.etag}"
    return Outcome(Verdict.LEFT_OUT, ViewRecord(photo.id, photo.etag, "", source), why)
