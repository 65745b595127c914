"""One original's preview: read, made small, put beside it; and what stands in where that fails."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from models.errors import PhotoChangedError, PhotoUnavailableError
from models.settings import get_settings
from models.vocabulary import PhotoReason
from tasks.pixel_budget import PixelBudget
from tasks.preview_store import (
    PreviewRecipe,
    StoredPreview,
    put_preview,
    read_preview,
    read_version,
)
from tasks.preview_work import OriginalRef
from tasks.previews import make_preview
from tasks.storage import Bucket

logger = logging.getLogger(__name__)

# In memory at a time, by all threads together: ten usual originals, or one at the usual limit.
BYTES_AT_A_TIME = 200_000_000
PIXELS_AT_A_TIME = 50_000_000
# Looks at an original that is replaced while it is read.
MOST_CHANGES = 3
# Of an unreadable original too large to be a preview: its beginning says as well what is wrong.
HEAD_BYTES = 1_000_000


class Verdict(StrEnum):
    """What came of one original."""

    MADE = "made"
    KEPT = "kept"  # its preview is up to date, or the photographer's own
    STOOD_IN = "stood_in"  # it cannot be read: its bytes are put, for the sync to say why
    LEFT_OUT = "left_out"  # nothing could be put


@dataclass(frozen=True)
class Outcome:
    """What came of an original, and for which reason where it got no preview."""

    verdict: Verdict
    reason: PhotoReason | None = None


KEPT = Outcome(Verdict.KEPT)


def bring_preview(bucket: Bucket, original: OriginalRef, recipe: PreviewRecipe) -> Outcome:
    """See to it that an original has its preview.

    Never raises about one photo; S3DownloadError and S3AccessError about S3 itself.
    """
    try:
        for _ in range(MOST_CHANGES):
            try:
                return _bring(bucket, original, recipe)
            except PhotoChangedError:
                etag, size = read_version(bucket, original.s3_key)
                original = replace(original, etag=etag, size=size)
    except PhotoUnavailableError as error:
        return Outcome(Verdict.LEFT_OUT, PhotoReason(error.reason))
    return Outcome(Verdict.LEFT_OUT, PhotoReason.VANISHED)


def _bring(bucket: Bucket, original: OriginalRef, recipe: PreviewRecipe) -> Outcome:
    stored = read_preview(bucket, original.preview_key)
    if stored is not None and (not stored.is_own or stored.fits(original.etag, recipe)):
        return KEPT
    limit = get_settings().max_original_bytes
    if original.size > limit:
        raise PhotoUnavailableError(PhotoReason.TOO_MANY_BYTES)
    with _hold_bytes(original.size):
        content = bucket.read_photo(original.s3_key, original.etag, limit)
        preview, reason = _shrink(content, recipe)
        return _put(bucket, original, recipe, preview, reason, stored)


def _shrink(content: bytes, recipe: PreviewRecipe) -> tuple[bytes, PhotoReason | None]:
    """The preview; or what stands in for it, and why."""
    pixels = get_pixel_budget()
    try:
        return make_preview(content, recipe.side, pixels.reserve), None
    except PhotoUnavailableError as error:
        reason = PhotoReason(error.reason)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 (one damaged file must not fail its batch)
        logger.warning("No preview could be made of a photo: %s", type(error).__name__)
        reason = PhotoReason.UNPROCESSABLE
    finally:
        pixels.release()
    limit = get_settings().max_photo_bytes
    return content[: limit if len(content) <= limit else min(limit, HEAD_BYTES)], reason


def _put(
    bucket: Bucket,
    original: OriginalRef,
    recipe: PreviewRecipe,
    preview: bytes,
    reason: PhotoReason | None,
    stored: StoredPreview | None,
) -> Outcome:
    is_put = put_preview(
        bucket,
        original.preview_key,
        preview,
        original_etag=original.etag,
        recipe=recipe,
        replaces=stored,
    )
    if not is_put:
        return KEPT
    return Outcome(Verdict.MADE if reason is None else Verdict.STOOD_IN, reason)


@lru_cache(maxsize=1)
def get_pixel_budget() -> PixelBudget:
    """What all threads of this process may hold decoded."""
    return PixelBudget(PIXELS_AT_A_TIME)


@lru_cache(maxsize=1)
def get_byte_budget() -> PixelBudget:
    """The same for originals as they were read, in bytes."""
    return PixelBudget(BYTES_AT_A_TIME)


@contextmanager
def _hold_bytes(size: int) -> Iterator[None]:
    budget = get_byte_budget()
    budget.reserve(size)
    try:
        yield
    finally:
        budget.release()
