"""HEIF: which of its formats a file is, and HEIC opened for Pillow.

The parts of such a file are boxes, and items are pieces of the file that its boxes name. HEIC turns
and mirrors its picture by itself, so EXIF's orientation is no longer true of what is decoded.
"""

import struct
from collections.abc import Iterator
from io import BytesIO

from PIL import Image

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason

MAX_BOXES = 1_000
MAX_ITEMS = 4_000  # pieces of the file: the tiles of 200 megapixels are 800

# The brands of the first box: the sequences' too, whose first picture is taken.
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF = frozenset({b"avif", b"avis"})
_EITHER = frozenset({b"mif1", b"mif2", b"msf1"})
_CANON_RAW = b"crx "
_MOST_BRANDS = 64


def recognise_brand(content: bytes) -> str | None:
    """HEIF, AVIF or RAW (Canon's CR3), by the brands of the first box; None for others."""
    if content[4:8] != b"ftyp":
        return None
    size = min(int.from_bytes(content[:4], "big"), 16 + 4 * _MOST_BRANDS)
    brand = content[8:12]
    brands = {brand, *(content[place : place + 4] for place in range(16, size, 4))}
    if brand == _CANON_RAW:
        return "RAW"
    # A film may name a picture's brand among those that it is compatible with.
    if brand not in _HEIC | _AVIF | _EITHER:
        return None
    if brand in _AVIF or (brand in _EITHER and brands & _AVIF):
        return "AVIF"
    return "HEIF"


def check_items(content: bytes) -> None:
    """Refuse a file whose items are larger together than the file: each is read into memory.

    Raises PhotoUnavailableError: such a file breaks off, or names the same bytes over and over.
    """
    total = number = 0
    for kind, start, end in _list_boxes(content, 0, len(content)):
        if kind != b"meta":
            continue
        for inner, first, last in _list_boxes(content, start + 4, end):
            if inner == b"iloc":
                for length in _list_lengths(content[first:last]):
                    total, number = total + length, number + 1
                    if total > len(content) or number > MAX_ITEMS:
                        raise PhotoUnavailableError(PhotoReason.TRUNCATED)


def open_heic(content: bytes) -> Image.Image:
    """The primary picture, its size known and nothing decoded. Raises what libheif raises."""
    import pi_heif

    check_items(content)
    for name in ("THUMBNAILS", "DEPTH_IMAGES", "AUX_IMAGES"):
        setattr(pi_heif.options, name, False)
    image: Image.Image = pi_heif.HeifImageFile(BytesIO(content))
    return image


def _list_boxes(content: bytes, place: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of the content of each box; the last one may lack its end."""
    for _ in range(MAX_BOXES):
        if place + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", content, place)
        start = place + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", content, start)
            start += 8
        after = min(place + size, end) if size else end
        if after < start:
            return
        yield kind, start, after
        place = after


def _list_lengths(box: bytes) -> Iterator[int]:
    """The lengths of all pieces that an iloc box names; ends where the box does."""
    version, sizes = box[0], int.from_bytes(box[4:6], "big")
    offset, length, base = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index = sizes & 15 if version else 0
    wide = 4 if version == 2 else 2
    place = 6 + wide
    for _ in range(int.from_bytes(box[6:place], "big")):
        place += wide + (2 if version else 0) + 2 + base
        pieces = int.from_bytes(box[place : place + 2], "big")
        place += 2
        for _ in range(pieces):
            place += index + offset
            if place + length > len(box):
                return
            # Without a length the piece is the whole file.
            yield int.from_bytes(box[place : place + length], "big")
            place += length
        if place >= len(box):
            return
