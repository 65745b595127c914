"""Views: the pictures of a photo that guests look at, made from its original like a preview; logos.

A thumb (WebP) for a grid's cell, a view (WebP) for a screen, and the view as JPEG to take home;
colours, orientation and what is left out of the file are a preview's (preview.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason, ViewKind
from tasks.images.colours import convert_to_srgb
from tasks.images.decode import decode_picture, refuse_damaged
from tasks.images.preview import (
    DecodedOriginal,
    decode_original,
)

VIEWS_RECIPE = "views1"  # another name makes all of them anew
VIEW_SIDE, THUMB_SIDE = 2048, 400  # pixels of the longer side, at most
MOST_THUMB_BYTES = 20_000
# Of a thumb: the first quality that gives no more than AIMED_BYTES, else the first one that is
# allowed at all. Below 50 blocks are seen, which only what is all noise needs.
AIMED_BYTES = 14_000
_QUALITIES = (74, 66, 58, 50)
_LAST_QUALITIES = (40, 30, 20, 10)
# Of a 2048-pixel view on one core: 0.15 to 0.24 s; 4, the usual, makes it 5 % smaller in 0.35 to
# 0.5 s.
_VIEW_METHOD = 2
_VIEW_QUALITY, _JPEG_QUALITY = 76, 82
LOGO_SIDE = 400  # pixels of the longer side, at most
MAX_LOGO_PIXELS = 16_000_000


@dataclass(frozen=True)
class Views:
    """A photo's views, encoded; width and height are the view's, colour is the mean, rrggbb."""

    contents: dict[ViewKind, bytes]
    width: int
    height: int
    colour: str

    @property
    def look(self) -> str:
        """As it stands in their notes."""
        return f"{self.width}x{self.height} {self.colour}"


def make_views(original: bytes, reserve: Callable[[int], None] | None = None) -> Views:
    """The views of an original, decoded once; smaller ones are not enlarged.

    `reserve` is told the number of pixels before they are decoded. The same bytes give the same
    views. Raises PhotoUnavailableError, whatever a damaged file makes the decoder raise.
    """
    with refuse_damaged(PhotoReason.UNPROCESSABLE):
        return encode_views(decode_original(original, VIEW_SIDE, reserve))


def try_views(original: bytes, reserve: Callable[[int], None] | None = None) -> Views | None:
    """The views of an original; None where it cannot be decoded."""
    try:
        return make_views(original, reserve)
    except PhotoUnavailableError:
        return None


def encode_views(decoded: DecodedOriginal) -> Views:
    """The views of a decoded original."""
    view = decoded.shrink(VIEW_SIDE)
    thumb = view.copy()
    thumb.thumbnail((THUMB_SIDE, THUMB_SIDE), Image.Resampling.LANCZOS)
    contents = {
        ViewKind.THUMB: encode_thumb(thumb),
        ViewKind.VIEW: _encode(view, "WEBP", quality=_VIEW_QUALITY, method=_VIEW_METHOD),
        ViewKind.VIEW_JPEG: _encode(
            view, "JPEG", quality=_JPEG_QUALITY, optimize=True, progressive=True
        ),
    }
    return Views(contents, view.width, view.height, measure_colour(thumb))


def encode_thumb(thumb: Image.Image) -> bytes:
    """A thumb of MOST_THUMB_BYTES at most, whatever it shows."""
    for quality in _QUALITIES:
        content = _encode(thumb, "WEBP", quality=quality)
        if len(content) <= AIMED_BYTES:
            return content
    for quality in _LAST_QUALITIES:
        if len(content) <= MOST_THUMB_BYTES:
            return content
        content = _encode(thumb, "WEBP", quality=quality)
    while len(content) > MOST_THUMB_BYTES:
        thumb = thumb.reduce(2)
        content = _encode(thumb, "WEBP", quality=_LAST_QUALITIES[-1])
    return content


def measure_colour(image: Image.Image) -> str:
    """The mean colour of an sRGB picture, as rrggbb."""
    pixel = image.convert("RGB").resize((1, 1), Image.Resampling.BOX)
    return pixel.tobytes().hex()


def _encode(image: Image.Image, kind: str, **options: int) -> bytes:
    content = BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def make_logo(content: bytes) -> bytes:
    """A studio's logo of any picture that is decoded here, as WebP in sRGB without metadata.

    It is not enlarged. Raises PhotoUnavailableError.
    """
    logo = BytesIO()
    with refuse_damaged(PhotoReason.UNPROCESSABLE):
        image, profiles = decode_picture(content, MAX_LOGO_PIXELS, enough_pixels=LOGO_SIDE)
        image.thumbnail((LOGO_SIDE, LOGO_SIDE), Image.Resampling.LANCZOS)
        alpha = image.getchannel("A") if image.mode in {"LA", "RGBA"} else None
        if alpha is not None:
            image = image.convert(image.mode[:-1])  # white is not put behind what is transparent
        image = convert_to_srgb(image, profiles)
        if alpha is not None:
            image.putalpha(alpha)
        image.info.clear()
        image.save(logo, "WEBP", quality=90, method=6)
    return logo.getvalue()
