"""Previews: small upright JPEGs of originals, without the camera's metadata.

A recipe (size, quality, version) says how they are made. The push tool uses the same code, and
S3 metadata records the recipe.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from models.vocabulary import PhotoReason
from tasks.images.decode import decode_photo, refuse_damaged
from tasks.images.formats import recognise_format

PREVIEW_QUALITY = 85
RECIPE_VERSION = 1  # raised when make_preview makes other bytes
# An original may be a medium format camera's 151 million pixels; a preview never is. A JPEG's are
# counted as they are decoded.
MAX_ORIGINAL_PIXELS = 160_000_000
MAX_COLOUR_PROFILE_BYTES = 50_000  # cameras' have some 600 to 3,000; a printer's would be megabytes


@dataclass(frozen=True)
class PreviewRecipe:
    """How previews are made. side: pixels of the longer side, at most."""

    side: int
    quality: int = PREVIEW_QUALITY
    version: int = RECIPE_VERSION

    def __str__(self) -> str:
        """As it stands in a preview's notes, like 640q85v1: another name makes it anew."""
        return f"{self.side}q{self.quality}v{self.version}"


def make_preview(
    original: bytes, recipe: PreviewRecipe, reserve: Callable[[int], None] | None = None
) -> bytes:
    """A preview of an original (a photo or a camera's file, see formats.py), as JPEG.

    EXIF's orientation is applied and no EXIF is kept, so no place where it was taken either; a
    colour profile stays, or Adobe RGB would look pale. Smaller originals are not enlarged.
    `reserve` is told the number of pixels before they are decoded. The same bytes give the same
    preview. Raises PhotoUnavailableError, whatever a damaged file makes the decoder raise.
    """
    preview = BytesIO()
    with refuse_damaged(PhotoReason.UNPROCESSABLE):
        pixels = decode_photo(original, MAX_ORIGINAL_PIXELS, reserve, enough_pixels=recipe.side)
        image = Image.fromarray(pixels[:, :, ::-1])
        image.thumbnail((recipe.side, recipe.side), Image.Resampling.LANCZOS)
        image.save(
            preview,
            "JPEG",
            quality=recipe.quality,
            optimize=True,
            progressive=True,
            icc_profile=_read_colour_profile(original),
        )
    return preview.getvalue()


def _read_colour_profile(original: bytes) -> bytes | None:
    """The profile of an RGB original; another model's says nothing of the preview's colours."""
    try:
        with Image.open(BytesIO(original), formats=[recognise_format(original)]) as image:
            profile = image.info.get("icc_profile")
            is_rgb = image.mode in {"RGB", "RGBA"}
    except Exception:  # noqa: BLE001 (what surrounds a picture may be damaged in any way)
        return None
    if not is_rgb or not isinstance(profile, bytes) or len(profile) > MAX_COLOUR_PROFILE_BYTES:
        return None
    return profile
