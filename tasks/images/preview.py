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


@dataclass(frozen=True)
class DecodedOriginal:
    """An original's upright pixels, in the colours that it is stored in, and their profiles."""

    image: Image.Image
    profiles: list[bytes]

    def shrink(self, side: int) -> Image.Image:
        """Its picture in sRGB, the longer side this long at most; the decoded one stays as it is.

        Colours are converted after the picture was made small, in a few milliseconds.
        """
        small = self.image._new(self.image.im)  # the same pixels: `thumbnail` takes others
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        small = convert_to_srgb(small, self.profiles)
        small.info.clear()  # Pillow would write some of it into the preview
        return small


def decode_original(
    original: bytes, side: int, reserve: Callable[[int], None] | None = None
) -> DecodedOriginal:
    """An original (a photo or a camera's file, see formats.py), as large as `side` needs it.

    `reserve` is told the number of pixels before they are decoded. Raises PhotoUnavailableError.
    """
    picture = decode_picture(original, MAX_ORIGINAL_PIXELS, reserve, enough_pixels=side)
    return DecodedOriginal(*picture)


def make_preview(
    original: bytes, recipe: PreviewRecipe, reserve: Callable[[int], None] | None = None
) -> bytes:
    """A preview of an original, as JPEG.

    EXIF's orientation is applied and no EXIF is kept, so no place where it was taken either. The
    colours are sRGB, on white, so no profile is kept. Smaller originals are not enlarged. The same
    bytes give the same preview. Raises PhotoUnavailableError, whatever a damaged file makes the
    decoder raise.
    """
    with refuse_damaged(PhotoReason.UNPROCESSABLE):
        return encode_preview(decode_original(original, recipe.side, reserve), recipe)


def encode_preview(decoded: DecodedOriginal, recipe: PreviewRecipe) -> bytes:
    """The preview of a decoded original."""
    preview = BytesIO()
    image = decoded.shrink(recipe.side)
    image.save(preview, "JPEG", quality=recipe.quality, optimize=True, progressive=True)
    return preview.getvalue()
