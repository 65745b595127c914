"""The preview of one original: made, and put into S3 if it is missing or out of date.

Our previews have S3 metadata: the original's ETag, the recipe, and when the original was taken
(tasks/s3/objects.py). A preview without it is the photographer's own and is never replaced.
"""

import logging
from base64 import b64encode
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from hashlib import md5
from typing import TYPE_CHECKING

from models.errors import PhotoChangedError, PhotoUnavailableError
from models.keys import build_previews_prefix, is_image_key, name_original
from models.settings import get_settings
from models.vocabulary import PhotoReason, Taking
from tasks.faces.limits import PixelBudget
from tasks.images.preview import PreviewRecipe, make_preview
from tasks.images.taking import read_taking
from tasks.previews.find import OriginalRef
from tasks.s3.bucket import Bucket
from tasks.s3.errors import explain_write_error, map_s3_errors
from tasks.s3.objects import (
    MD5,
    ORIGINAL,
    RECIPE,
    describe_taking,
    put_unless_changed,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import PutObjectRequestTypeDef

logger = logging.getLogger(__name__)

# An object beside the previews, no photo: the recipe by which all of ours were last found made.
RECIPE_MARK = ".facepass-recipe"
# In memory at a time, by all threads together: ten usual originals, or one at the usual limit.
BYTES_AT_A_TIME = 200_000_000
PIXELS_AT_A_TIME = 50_000_000
# Looks at an original that is replaced while it is read.
MOST_CHANGES = 3
# Of an unreadable original too large to be a preview: its beginning says as well what is wrong.
HEAD_BYTES = 1_000_000


@dataclass(frozen=True)
class StoredPreview:
    """A preview that is there; the notes are None where it is not ours."""

    etag: str
    original: str | None
    recipe: str | None

    @property
    def is_own(self) -> bool:
        """Whether we made it, and so may make it anew."""
        return self.original is not None and self.recipe is not None

    def fits(self, original_etag: str, recipe: PreviewRecipe) -> bool:
        """Whether it was made from this original by this recipe."""
        return (self.original, self.recipe) == (original_etag, str(recipe))


def read_preview(bucket: Bucket, key: str) -> StoredPreview | None:
    """A preview's notes; None where there is no preview.

    Raises PhotoUnavailableError where it may not be looked at, S3DownloadError or S3AccessError
    about S3 itself.
    """
    head = bucket.find_head(key)
    if head is None:
        return None
    notes = head.get("Metadata", {})
    return StoredPreview(head["ETag"].strip('"'), notes.get(ORIGINAL), notes.get(RECIPE))


def put_preview(
    bucket: Bucket,
    key: str,
    content: bytes,
    *,
    original_etag: str,
    recipe: PreviewRecipe,
    replaces: StoredPreview | None,
    taking: Taking | None = None,
) -> bool:
    """Put a preview where there is none, or in the place of the one that was seen there.

    False where somebody else was quicker: theirs stays. Raises S3DownloadError or S3AccessError.
    """
    recognised = content.startswith(b"\xff\xd8\xff")
    request: PutObjectRequestTypeDef = {
        "Bucket": bucket.name,
        "Key": key,
        "Body": content,
        "ContentMD5": b64encode(md5(content, usedforsecurity=False).digest()).decode(),
        "ContentType": "image/jpeg" if recognised else "application/octet-stream",
        "Metadata": {ORIGINAL: original_etag, RECIPE: str(recipe), **describe_taking(taking)},
    }
    try:
        put_unless_changed(bucket, request, replaces.etag if replaces else None)
    except PhotoChangedError:
        # Also after an answer that was lost on its way: then the one that is there is ours.
        stored = read_preview(bucket, key)
        return stored is not None and stored.fits(original_etag, recipe)
    return True


def is_marked(bucket: Bucket, folder: str, recipe: PreviewRecipe) -> bool:
    """Whether every preview of ours was found made by this recipe, at the end of some run."""
    stored = read_preview(bucket, build_previews_prefix(folder) + RECIPE_MARK)
    return stored is not None and stored.recipe == str(recipe)


def mark_recipe(bucket: Bucket, folder: str, recipe: PreviewRecipe) -> None:
    """Remember that every preview of ours is made by this recipe."""
    with map_s3_errors(bucket.name, explain_write_error):
        bucket.client.put_object(
            Bucket=bucket.name,
            Key=build_previews_prefix(folder) + RECIPE_MARK,
            Body=str(recipe).encode(),
            ContentType="text/plain",
            Metadata={RECIPE: str(recipe)},
        )


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
                head = bucket.read_head(original.s3_key)
                etag = head["ETag"].strip('"')
                original = replace(original, etag=etag, size=head["ContentLength"])
    except PhotoUnavailableError as error:
        return Outcome(Verdict.LEFT_OUT, PhotoReason(error.reason))
    return Outcome(Verdict.LEFT_OUT, PhotoReason.VANISHED)


def has_exported_preview(bucket: Bucket, original: OriginalRef) -> bool:
    """Whether the photographer made a preview of an original whose own is called otherwise.

    IMG_1.jpg is IMG_1.CR2's, unless there is an original IMG_1.jpg; and IMG_1.CR2.jpg is that of a
    JPEG of this name, unless there is an original IMG_1.CR2.
    """
    stem, _, suffix = name_original(original.preview_key).rpartition(".")
    if f"{stem}.{suffix}" == original.preview_key:
        return False
    folder = original.s3_key.rpartition("/")[0]
    for page in bucket.list_pages(f"{stem}."):
        for item in page:
            name = item.s3_key.rpartition("/")[2]
            is_alike = item.s3_key.rpartition(".")[0] == stem and is_image_key(name)
            if is_alike and read_preview(bucket, f"{folder}/{name_original(name)}") is None:
                return True
    return False


def _bring(bucket: Bucket, original: OriginalRef, recipe: PreviewRecipe) -> Outcome:
    stored = read_preview(bucket, original.preview_key)
    if stored is not None and (not stored.is_own or stored.fits(original.etag, recipe)):
        return KEPT
    if stored is not None and _is_pushed(bucket, original, stored, recipe):
        return KEPT
    if stored is None and has_exported_preview(bucket, original):
        return KEPT
    limit = get_settings().max_original_bytes
    if original.size > limit:
        raise PhotoUnavailableError(PhotoReason.TOO_MANY_BYTES)
    in_memory = get_byte_budget()
    in_memory.reserve(original.size)
    try:
        content = bucket.read_photo(original.s3_key, original.etag, limit)
        preview, reason = _shrink(content, recipe)
        is_put = put_preview(
            bucket,
            original.preview_key,
            preview,
            original_etag=original.etag,
            recipe=recipe,
            replaces=stored,
            taking=read_taking(content),
        )
    finally:
        in_memory.release()
    if not is_put:
        return KEPT
    return Outcome(Verdict.MADE if reason is None else Verdict.STOOD_IN, reason)


def _is_pushed(
    bucket: Bucket, original: OriginalRef, stored: StoredPreview, recipe: PreviewRecipe
) -> bool:
    """Whether a preview was sent ahead of this original, by `facepass push`: its note says the MD5.

    That is the ETag too, except with some encryptions.
    """
    if stored.recipe != str(recipe):
        return False
    head = bucket.find_head(original.s3_key)
    digest = None if head is None else head.get("Metadata", {}).get(MD5)
    return digest is not None and stored.fits(digest, recipe)


def _shrink(content: bytes, recipe: PreviewRecipe) -> tuple[bytes, PhotoReason | None]:
    """The preview; or what stands in for it, and why."""
    pixels = get_pixel_budget()
    try:
        return make_preview(content, recipe, pixels.reserve), None
    except PhotoUnavailableError as error:
        reason = PhotoReason(error.reason)
        if reason is PhotoReason.UNPROCESSABLE and error.__cause__ is not None:
            kind = type(error.__cause__).__name__
            logger.warning("No preview could be made of a photo: %s", kind)
    finally:
        pixels.release()
    limit = get_settings().max_photo_bytes
    return content[: limit if len(content) <= limit else min(limit, HEAD_BYTES)], reason


@lru_cache(maxsize=1)
def get_pixel_budget() -> PixelBudget:
    """What all threads of this process may hold decoded."""
    return PixelBudget(PIXELS_AT_A_TIME)


@lru_cache(maxsize=1)
def get_byte_budget() -> PixelBudget:
    """The same for originals as they were read, in bytes."""
    return PixelBudget(BYTES_AT_A_TIME)
