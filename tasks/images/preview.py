"""Previews: small upright JPEGs of originals in sRGB, without the camera's metadata.

A recipe (size, quality, version) says how they are made. The push tool uses the same code, and
S3 metadata records the recipe.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from models.vocabulary import PhotoReason
from tasks.images.colours import convert_to_srgb
from tasks.images.decode import decode_picture, refuse_damaged

PREVIEW_QUALITY = 85
RECIPE_VERSION = 2  # raised when make_preview makes other bytes
# An original may be a medium format camera's 151 million pixels; a preview never is. A JPEG's are
# counted as they are decoded.
MAX_ORIGINAL_PIXELS = 160_000_000


@dataclass(frozen=True)
class PreviewRecipe:
    """How previews are made. side: pixels of the longer side, at most."""

    side: int
    quality: int = PREVIEW_QUALITY
    version: int = RECIPE_VERSION

    def __str__(self) -> str:
        """As it stands in a preview's notes, like 640q85v2: another name makes it anew."""
        return f"{self.side}q{self.quality}v{self.version}"


def make_preview(
    original: bytes, recipe: PreviewRecipe, reserve: Callable[[int], None] | None = None
) -> bytes:
    """A preview of an original (a photo or a camera's file, see formats.py), as JPEG.

    EXIF's orientation is applied and no EXIF is kept, so no place where it was taken either. The
    colours are sRGB, on white, so no profile is kept: they are converted after the picture was made
    small, in a few milliseconds. Smaller originals are not enlarged. `reserve` is told the number
    of pixels before they are decoded. The same bytes give the same preview. Raises
    PhotoUnavailableError, whatever a damaged file makes the decoder raise.
    """
    preview = BytesIO()
    with refuse_damaged(PhotoReason.UNPROCESSABLE):
        image, profiles = decode_picture(
            original, MAX_ORIGINAL_PIXELS, reserve, enough_pixels=recipe.side
        )
        image.thumbnail((recipe.side, recipe.side), Image.Resampling.LANCZOS)
        image = convert_to_srgb(image, profiles)
        image.info.clear()  # Pillow would write some of it into the preview
        image.save(preview, "JPEG", quality=recipe.quality, optimize=True, progressive=True)
    return preview.getvalue()
