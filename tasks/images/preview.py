"""Previews: a small JPEG of an original, upright, without what else the camera wrote down."""

from collections.abc import Callable
from io import BytesIO

from PIL import Image

from tasks.images.decode import decode_photo
from tasks.images.formats import recognise_format

PREVIEW_QUALITY = 85
# An original may be a medium format camera's 151 million pixels; a preview never is.
MAX_ORIGINAL_PIXELS = 160_000_000
MAX_COLOUR_PROFILE_BYTES = 50_000  # cameras' have some 600 to 3,000; a printer's would be megabytes


def make_preview(
    original: bytes, longest_side: int, reserve: Callable[[int], None] | None = None
) -> bytes:
    """A preview of an original (JPEG, PNG or WebP): JPEG, its longest side at most `longest_side`.

    EXIF's orientation is applied and no EXIF is kept, so no place where it was taken either; a
    colour profile stays, or Adobe RGB would look pale. Smaller originals are not enlarged.
    `reserve` is told the number of pixels before they are decoded. The same bytes give the same
    preview. Raises PhotoUnavailableError.
    """
    pixels = decode_photo(original, MAX_ORIGINAL_PIXELS, reserve, enough_pixels=longest_side)
    image = Image.fromarray(pixels[:, :, ::-1])
    image.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    preview = BytesIO()
    image.save(
        preview,
        "JPEG",
        quality=PREVIEW_QUALITY,
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
