"""Previews in S3: what their notes say, and putting one there without touching another's.

A preview of ours carries two notes in its object's metadata: `facepass-original`, the ETag of the
original it was made from, and `facepass-recipe`, how. Without them it is the photographer's own.
"""

from base64 import b64encode
from dataclasses import dataclass
from hashlib import md5
from typing import TYPE_CHECKING

from models.errors import PhotoChangedError, PhotoUnavailableError
from models.keys import default_prefix
from models.vocabulary import PhotoReason
from tasks.previews import PREVIEW_QUALITY
from tasks.s3_errors import map_object_errors, map_write_errors
from tasks.storage import Bucket
from tasks.uploads import ORIGINAL, RECIPE, RECIPE_VERSION

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import PutObjectRequestTypeDef

# An object beside the previews, no photo: the recipe by which all of ours were last found made.
RECIPE_MARK = ".facepass-recipe"


@dataclass(frozen=True)
class PreviewRecipe:
    """How previews are made. side: pixels of the longer side."""

    side: int
    quality: int = PREVIEW_QUALITY
    version: int = RECIPE_VERSION

    def __str__(self) -> str:
        """As it stands in a preview's notes, like 640q85v1."""
        return f"{self.side}q{self.quality}v{self.version}"


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
    try:
        with map_object_errors(bucket.name):
            head = bucket.client.head_object(Bucket=bucket.name, Key=key)
    except PhotoUnavailableError as error:
        if error.reason == PhotoReason.VANISHED:
            return None
        raise
    notes = head.get("Metadata", {})
    return StoredPreview(head["ETag"].strip('"'), notes.get(ORIGINAL), notes.get(RECIPE))


def read_version(bucket: Bucket, key: str) -> tuple[str, int]:
    """An object's ETag and size now. Raises as `read_preview` does, also where it is gone."""
    with map_object_errors(bucket.name):
        head = bucket.client.head_object(Bucket=bucket.name, Key=key)
    return head["ETag"].strip('"'), head["ContentLength"]


def put_preview(
    bucket: Bucket,
    key: str,
    content: bytes,
    *,
    original_etag: str,
    recipe: PreviewRecipe,
    replaces: StoredPreview | None,
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
        "Metadata": {ORIGINAL: original_etag, RECIPE: str(recipe)},
    }
    if replaces is None:
        request["IfNoneMatch"] = "*"
    else:
        request["IfMatch"] = f'"{replaces.etag}"'
    try:
        with map_write_errors(bucket.name):
            bucket.client.put_object(**request)
    except PhotoChangedError:
        # Also after an answer that was lost on its way: then the one that is there is ours.
        stored = read_preview(bucket, key)
        return stored is not None and stored.fits(original_etag, recipe)
    return True


def is_marked(bucket: Bucket, event_id: int, recipe: PreviewRecipe) -> bool:
    """Whether every preview of ours was found made by this recipe, at the end of some run."""
    stored = read_preview(bucket, default_prefix(event_id) + RECIPE_MARK)
    return stored is not None and stored.recipe == str(recipe)


def mark_recipe(bucket: Bucket, event_id: int, recipe: PreviewRecipe) -> None:
    """Remember that every preview of ours is made by this recipe."""
    with map_write_errors(bucket.name):
        bucket.client.put_object(
            Bucket=bucket.name,
            Key=default_prefix(event_id) + RECIPE_MARK,
            Body=str(recipe).encode(),
            ContentType="text/plain",
            Metadata={RECIPE: str(recipe)},
        )
