"""RAW: the JPEG that a camera puts into the file beside what its sensor saw.

The JPEG is what the camera shows on its screen; the sensor's data are never developed.
"""

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO

from PIL import Image

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason
from tasks.images.colours import build_adobe_profile
from tasks.images.exif import ORIENTATION_TAG, UPRIGHT, PhotoNotes, read_exif_number
from tasks.images.formats import split_jpeg
from tasks.images.tiff import is_cut

# The first cameras put in pictures of 160 or 320 pixels: too small to find a face in.
LEAST_SIDE = 480

_ON_THEIR_SIDE = frozenset({5, 6, 7, 8})  # EXIF's orientations
_ORIENTATIONS = {1: 2, 2: 4, 3: 3, 4: 5, 5: 8, 6: 6, 7: 7}  # LibRaw's number -> EXIF's
_CANON_HEAD = b"ftypcrx "
_CANON_EXIF, _CANON_HEAD_BYTES = b"CMT2", 100_000  # the box of CR3's EXIF, and where it lies


def extract_jpeg(content: bytes) -> tuple[bytes, PhotoNotes]:
    """The largest JPEG in a RAW file, without notes; and the notes, which say how to turn it.

    Raises PhotoUnavailableError: truncated where the file breaks off, unprocessable where it has
    no JPEG of use or is not known.
    """
    if is_cut(content):
        raise PhotoUnavailableError(PhotoReason.TRUNCATED)
    thumbnail, sensor, flip = _extract(content)
    jpeg, notes = split_jpeg(thumbnail)
    with Image.open(BytesIO(jpeg), formats=["JPEG"]) as image:
        width, height = image.size
    if max(width, height) < LEAST_SIDE:
        raise PhotoUnavailableError(PhotoReason.UNPROCESSABLE)
    if not notes.profile and _is_adobe_rgb(content, thumbnail, notes):
        notes = replace(notes, profile=build_adobe_profile())
    if flip in _ORIENTATIONS and read_exif_number(notes.exif, ORIENTATION_TAG) is None:
        notes = replace(notes, turn=_ORIENTATIONS[flip])
    # Some programs turn the JPEG, and leave the note for the sensor's data.
    is_turned = (width > height) != (sensor[0] > sensor[1]) and width != height
    if is_turned and notes.orientation in _ON_THEIR_SIDE:
        notes = replace(notes, turn=UPRIGHT)
    return jpeg, notes


def _is_adobe_rgb(content: bytes, thumbnail: bytes, notes: PhotoNotes) -> bool:
    """What the JPEG's own EXIF says of its colours, or the RAW file's where it says nothing."""
    said = (one.is_adobe_rgb for one in _list_notes(content, thumbnail, notes))
    return next((one for one in said if one is not None), False)


def _list_notes(content: bytes, thumbnail: bytes, notes: PhotoNotes) -> Iterator[PhotoNotes]:
    yield notes
    # Where the JPEG does not begin with EXIF, LibRaw puts one of its own in front.
    if thumbnail[2:4] == b"\xff\xe1":
        yield split_jpeg(thumbnail[:2] + thumbnail[4 + int.from_bytes(thumbnail[4:6], "big") :])[1]
    start = 0
    if content[4:12] == _CANON_HEAD:
        start = content.find(_CANON_EXIF, 0, _CANON_HEAD_BYTES) + len(_CANON_EXIF)
    yield PhotoNotes(content[start:])


def _extract(content: bytes) -> tuple[bytes, tuple[int, int], int]:
    """The JPEG as LibRaw gives it; the sensor's sides, and how the file says to turn them."""
    import rawpy

    try:
        with rawpy.RawPy() as raw:
            raw.open_buffer(BytesIO(content))
            thumbnail = raw.extract_thumb()
            sizes = raw.sizes
    except (rawpy.LibRawIOError, rawpy.LibRawDataError) as error:
        raise PhotoUnavailableError(PhotoReason.TRUNCATED) from error
    except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
        raise PhotoUnavailableError(PhotoReason.UNPROCESSABLE) from error
    if not isinstance(thumbnail.data, bytes):
        raise PhotoUnavailableError(PhotoReason.UNPROCESSABLE)
    return thumbnail.data, (sizes.width, sizes.height), sizes.flip
