"""Logos of studios: small WebP pictures, transparent where what was sent is."""

from io import BytesIO

from PIL import Image

from models.vocabulary import PhotoReason
from tasks.images.colours import convert_to_srgb
from tasks.images.decode import decode_picture, refuse_damaged

LOGO_SIDE = 400  # pixels of the longer side, at most
MAX_LOGO_PIXELS = 16_000_000


def make_logo(content: bytes) -> bytes:
    """A logo of any picture that is decoded here, as WebP in sRGB without metadata.

    It is not enlarged. Raises PhotoUnavailableError.
    """
    logo = BytesIO()
    image, profiles = decode_picture(content, MAX_LOGO_PIXELS, enough_pixels=LOGO_SIDE)
    with refuse_damaged(PhotoReason.UNPROCESSABLE):
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
