"""Bytes to pixels: what is refused, and why."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from models.errors import PhotoUnavailableError
from models.tables import PhotoReason

logger = logging.getLogger(__name__)

BgrImage: TypeAlias = npt.NDArray[np.uint8]

FORMATS = ("JPEG", "PNG", "WEBP")
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")


def decode_photo(content: bytes, max_pixels: int, enough_pixels: int | None = None) -> BgrImage:
    """Decode a photo, upright.

    Returns BGR uint8 (H, W, 3) with the EXIF orientation applied, as a person sees it. The size
    is read from the header first. A JPEG is decoded at a half, a quarter or an eighth of its size
    where both sides keep `enough_pixels`: a phone's 12 million pixels in 14 ms instead of 300.
    Raises PhotoUnavailableError with the reason.
    """
    if not content:
        raise PhotoUnavailableError(PhotoReason.EMPTY)
    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, and told as a reason of ours
    begun = content.startswith(_SIGNATURES)
    with _refuse(PhotoReason.TRUNCATED if begun else PhotoReason.NOT_AN_IMAGE):
        image = Image.open(BytesIO(content), formats=FORMATS)
    with image:
        if image.width * image.height > max_pixels:
            raise PhotoUnavailableError(PhotoReason.TOO_MANY_PIXELS)
        # The header is fine: what fails now is missing or damaged.
        with _refuse(PhotoReason.TRUNCATED):
            if enough_pixels is not None:
                image.draft(None, (enough_pixels, enough_pixels))
            image.load()
            pixels = _reduce_depth(_turn_upright(image)).convert("RGB")
    return np.ascontiguousarray(np.asarray(pixels)[:, :, ::-1])


def _turn_upright(image: Image.Image) -> Image.Image:
    """The picture as EXIF wants it seen; as it is where EXIF is damaged."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 (a parser of foreign bytes raises anything)
        return image


def _reduce_depth(image: Image.Image) -> Image.Image:
    """Grey of 16 bits as 8 bits: Pillow's own conversion would clip it to white."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))


@contextmanager
def _refuse(reason: PhotoReason) -> Iterator[None]:
    """Turn a decoder's error into the photo's reason, whatever it is.

    A damaged file makes Pillow's plugins raise anything from struct.error to KeyError; one photo
    must not fail its batch.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        logger.debug("A photo was refused as %s: %s", reason.value, type(error).__name__)
        raise PhotoUnavailableError(reason) from error
