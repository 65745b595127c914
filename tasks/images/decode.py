"""Decoding of photos: from bytes to upright pixels, or to the reason why a photo is refused."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason
from tasks.images.colours import (
    list_profiles,
    put_on_white,
    read_coded_profile,
    simplify,
)
from tasks.images.exif import UPRIGHT, PhotoNotes
from tasks.images.formats import count_claimed_pixels, recognise_format, split_jpeg, split_picture
from tasks.images.heif import count_frame_pixels, find_exif, open_avif, open_heic
from tasks.images.jpeg import JpegPicture, decode_plain
from tasks.images.raw import extract_jpeg

logger = logging.getLogger(__name__)

BgrImage: TypeAlias = npt.NDArray[np.uint8]

# A preview is one strip: at each, other threads may take the interpreter's lock for a while.
STRIP_PIXELS = 1_000_000

_JPEG = b"\xff\xd8\xff"
# Formats of which a pixel takes a share of the memory that it takes elsewhere.
_LIGHTER = {"HEIF": 2}
# EXIF's orientation -> what turns the stored picture upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_photo(
    content: bytes,
    max_pixels: int,
    reserve: Callable[[int], None] | None = None,
    enough_pixels: int | None = None,
) -> BgrImage:
    """Decode a photo, upright.

    Returns BGR uint8 (H, W, 3) with the EXIF orientation applied, as a person sees it. The size
    is read from the header first; `reserve` is told the number of pixels before the first one is
    decoded, and `max_pixels` bounds those that are. Of an animation only the first picture is.
    What is transparent becomes white; colours are taken for sRGB, since faces are found in any.
    Raises PhotoUnavailableError.
    """
    tell = _tell_once(reserve)
    if enough_pixels is None:
        plain = _decode_plain_jpeg(content, max_pixels, tell)
        if plain is not None:
            return plain
    image, _ = _decode_upright(content, max_pixels, tell, enough_pixels)
    return _copy_as_bgr(put_on_white(image))


def _tell_once(reserve: Callable[[int], None] | None) -> Callable[[int], None]:
    """`reserve` for a photo that is begun in two ways: what it has reserved once is enough."""
    calls = iter([reserve] if reserve else [])

    def tell(pixels: int) -> None:
        for call in calls:
            call(pixels)

    return tell


def _decode_plain_jpeg(
    content: bytes, max_pixels: int, reserve: Callable[[int], None]
) -> BgrImage | None:
    """The pixels of an upright JPEG with nothing unusual, as previews are; None of all others."""
    if not content.startswith(_JPEG):
        return None
    try:
        picture, notes = split_jpeg(content)
    except PhotoUnavailableError:
        return None
    upright = notes.orientation not in _TURNS
    return decode_plain(picture, max_pixels, reserve) if upright else None


def decode_picture(
    content: bytes,
    max_pixels: int,
    reserve: Callable[[int], None] | None = None,
    enough_pixels: int | None = None,
) -> tuple[Image.Image, list[bytes]]:
    """Decode a photo, upright, in the colours that it is stored in.

    Returns L, LA, RGB, RGBA, CMYK or LAB of eight bits a channel, and the profiles that say what
    they mean, the surest first. A JPEG is decoded at a half, a quarter or an eighth of its size
    where both sides keep `enough_pixels`: a phone's 12 million pixels in 14 ms instead of 300; also
    where it is larger than `max_pixels` and its sides stay long. Raises PhotoUnavailableError.
    """
    image, notes = _decode_upright(content, max_pixels, reserve, enough_pixels)
    return image, list_profiles(image.mode, notes)


def _decode_upright(
    content: bytes,
    max_pixels: int,
    reserve: Callable[[int], None] | None,
    enough_pixels: int | None,
) -> tuple[Image.Image, PhotoNotes]:
    """Picture and notes. What the decoder held, up to 16 bytes a pixel, is free on return."""
    if not content:
        raise PhotoUnavailableError(PhotoReason.EMPTY)
    kind = recognise_format(content)
    if count_claimed_pixels(content, kind) > max_pixels:
        raise PhotoUnavailableError(PhotoReason.TOO_MANY_PIXELS)
    Image.MAX_IMAGE_PIXELS = None  # the limit is ours, and told as a reason of ours
    if kind in {"JPEG", "RAW"}:
        image, notes = _decode_jpeg(content, kind, max_pixels, reserve, enough_pixels)
    else:
        image, notes = _decode_other(content, kind, max_pixels, reserve)
    with refuse_damaged(PhotoReason.TRUNCATED):
        image, turn = simplify(image), _TURNS.get(notes.orientation)
        return image if turn is None else image.transpose(turn), notes


def _decode_jpeg(
    content: bytes,
    kind: str,
    max_pixels: int,
    reserve: Callable[[int], None] | None,
    enough_pixels: int | None,
) -> tuple[Image.Image, PhotoNotes]:
    """The picture of a JPEG or a RAW file as it is stored."""
    # The first bytes are a photo's: what fails from here on is missing or damaged.
    with refuse_damaged(PhotoReason.TRUNCATED):
        picture, notes = extract_jpeg(content) if kind == "RAW" else split_jpeg(content)
        jpeg = JpegPicture.open(picture)
    pixels = jpeg.shrink(max_pixels, enough_pixels)
    if reserve is not None:
        reserve(pixels)
    with refuse_damaged(PhotoReason.TRUNCATED):
        return jpeg.decode(), notes


def _decode_other(
    content: bytes, kind: str, max_pixels: int, reserve: Callable[[int], None] | None
) -> tuple[Image.Image, PhotoNotes]:
    """The picture of a file in another format as it is stored, or already turned."""
    with refuse_damaged(PhotoReason.TRUNCATED):
        picture, notes = split_picture(content, kind)
        image = _open(picture, kind)
    with image:
        if kind != "PNG":
            notes = PhotoNotes(
                exif=_find_exif(image, content, kind),
                # An AVIF is turned by its own boxes, which Pillow tells as EXIF.
                xmp=b"" if kind == "AVIF" else image.info.get("xmp") or b"",
                profile=image.info.get("icc_profile") or read_coded_profile(image, content),
                # HEIC's and TIFF's pictures are turned when they are opened.
                turn=UPRIGHT if kind in {"HEIF", "TIFF"} else None,
            )
        pixels = image.width * image.height
        if kind == "AVIF":
            pixels = max(pixels, count_frame_pixels(picture))
        if pixels > max_pixels:
            raise PhotoUnavailableError(PhotoReason.TOO_MANY_PIXELS)
        if reserve is not None:
            reserve(pixels // _LIGHTER.get(kind, 1))
        with refuse_damaged(PhotoReason.TRUNCATED):
            image.load()
        return image, notes


def _find_exif(image: Image.Image, content: bytes, kind: str) -> bytes:
    if kind == "TIFF":  # is such a directory itself
        return content
    return find_exif(content) if kind == "HEIF" else image.info.get("exif") or b""


def _open(picture: bytes, kind: str) -> Image.Image:
    if kind == "HEIF":
        return open_heic(picture)
    if kind == "AVIF":
        return open_avif(picture)
    try:
        return Image.open(BytesIO(picture), formats=[kind])
    except UnidentifiedImageError as error:
        if kind == "TIFF":  # of a kind that Pillow does not know
            raise PhotoUnavailableError(PhotoReason.UNPROCESSABLE) from error
        raise


def _copy_as_bgr(image: Image.Image) -> BgrImage:
    """Strip by strip, through a small buffer: Pillow's own export holds the interpreter's lock.

    A copy within Pillow and one within OpenCV let other threads decode meanwhile.
    """
    import cv2  # heavy: only where faces are looked for

    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = min(height, max(1, STRIP_PIXELS // width))
    strip = np.empty((rows, width, 4), np.uint8)  # a pixel takes four bytes within Pillow
    window = Image.frombuffer("RGBX", (width, rows), strip, "raw", "RGBX", 0, 1)
    for top in range(0, height, rows):
        window.im.paste(image.im, (0, -top, width, height - top))
        part = pixels[top : top + rows]
        cv2.cvtColor(strip[: len(part)], cv2.COLOR_RGBA2BGR, dst=part)
    return pixels


@contextmanager
def refuse_damaged(reason: PhotoReason) -> Iterator[None]:
    """Turn a decoder's error into the photo's reason, whatever it is.

    A damaged file makes Pillow's plugins raise anything from struct.error to KeyError; one photo
    must not fail its batch.
    """
    try:
        yield
    except (MemoryError, PhotoUnavailableError):
        raise
    except Exception as error:
        logger.debug("A photo was refused as %s: %s", reason, type(error).__name__)
        raise PhotoUnavailableError(reason) from error
