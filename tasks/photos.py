"""Bytes to pixels: what is refused, and why."""

import logging
import warnings
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


def decode_photo(content: bytes, max_pixels: int) -> BgrImage:
    """Decode a photo, upright.

    Returns BGR uint8 (H, W, 3) with the EXIF orientation applied, as a person sees it. The size
    is read from the header first. Raises PhotoUnavailableError with the reason.
    """
    if not content:
        raise PhotoUnavailableError(PhotoReason.EMPTY)
    with _refuse(PhotoReason.NOT_AN_IMAGE):
        image = Image.open(BytesIO(content), formats=FORMATS)
    with image:
        if image.width * image.height > max_pixels:
            raise PhotoUnavailableError(PhotoReason.TOO_MANY_PIXELS)
        # The header is fine: what fails now is missing or damaged.
        with _refuse(PhotoReason.TRUNCATED):
            upright = ImageOps.exif_transpose(image).convert("RGB")
    return np.ascontiguousarray(np.asarray(upright)[:, :, ::-1])


@contextmanager
def _refuse(reason: PhotoReason) -> Iterator[None]:
    """Turn a decoder's error into the photo's reason, whatever it is.

    A damaged file makes Pillow's plugins raise anything from struct.error to KeyError; one photo
    must not fail its batch.
    """
    try:
        # The pixel limit is ours; Pillow's own warning about large pictures would only add noise.
        with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
            yield
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise PhotoUnavailableError(PhotoReason.TOO_MANY_PIXELS) from error
    except Exception as error:
        logger.debug("A photo was refused as %s: %s", reason.value, type(error).__name__)
        raise PhotoUnavailableError(reason) from error
