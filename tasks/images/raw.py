"""RAW: the JPEG that a camera puts into the file beside what its sensor saw.

The JPEG is what the camera shows on its screen; the sensor's data are never developed.
"""

from io import BytesIO

from PIL import Image

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason
from tasks.images.exif import PhotoNotes
from tasks.images.formats import split_jpeg
from tasks.images.tiff import is_cut

# The first cameras put in pictures of 160 or 320 pixels: too small to find a face in.
LEAST_SIDE = 480

_ON_THEIR_SIDE = frozenset({5, 6, 7, 8})  # EXIF's orientations


def extract_jpeg(content: bytes) -> tuple[bytes, PhotoNotes]:
    """The largest JPEG in a RAW file, without notes; and the notes, which say how to turn it.

    Raises PhotoUnavailableError: truncated where the file breaks off, unprocessable where it has
    no JPEG of use or is not known.
    """
    if is_cut(content):
        raise PhotoUnavailableError(PhotoReason.TRUNCATED)
    thumbnail, sensor = _extract(content)
    jpeg, notes = split_jpeg(thumbnail)
    with Image.open(BytesIO(jpeg), formats=["JPEG"]) as image:
        width, height = image.size
    if max(width, height) < LEAST_SIDE:
        raise PhotoUnavailableError(PhotoReason.UNPROCESSABLE)
    # Some programs turn the JPEG, and leave the note for the sensor's data.
    is_turned = (width > height) != (sensor[0] > sensor[1]) and width != height
    return jpeg, PhotoNotes() if is_turned and notes.orientation in _ON_THEIR_SIDE else notes


def _extract(content: bytes) -> tuple[bytes, tuple[int, int]]:
    """The JPEG as LibRaw gives it, with the file's orientation in EXIF; the sensor's sides."""
    import rawpy

    try:
        with rawpy.RawPy() as raw:
            raw.open_buffer(BytesIO(content))
            thumbnail = raw.extract_thumb()
            sensor = raw.sizes.width, raw.sizes.height
    except (rawpy.LibRawIOError, rawpy.LibRawDataError) as error:
        raise PhotoUnavailableError(PhotoReason.TRUNCATED) from error
    except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
        raise PhotoUnavailableError(PhotoReason.UNPROCESSABLE) from error
    if not isinstance(thumbnail.data, bytes):
        raise PhotoUnavailableError(PhotoReason.UNPROCESSABLE)
    return thumbnail.data, sensor
