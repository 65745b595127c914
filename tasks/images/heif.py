"""HEIF: which of its formats a file is, and HEIC opened for Pillow.

The parts of such a file are boxes, and items are pieces of the file that its boxes name. HEIC turns
and mirrors its picture by itself, so EXIF's orientation is no longer true of what is decoded.
"""

import re
import struct
from collections.abc import Iterator
from io import BytesIO
from itertools import islice

from PIL import Image

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason

MAX_BOXES = 1_000
MAX_ITEMS = 4_000  # pieces of the file: the tiles of 200 megapixels are 800

# The brands of the first box: the sequences' too, whose first picture is taken.
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_AVIF = frozenset({b"avif", b"avis"})
_EITHER = frozenset({b"mif1", b"mif2", b"msf1", b"miaf"})
_CANON_RAW = b"crx "
_MOST_BRANDS = 64
_HEAD_BYTES = 4_096  # the items' types stand in them
# The reference by which EXIF and XMP describe a picture.
_DESCRIBES = b"cdsc"
_EXIF = re.compile(rb"Exif\0\0(?:II\*\0|MM\0\*)")
MOST_EXIF_BYTES = 65_536
_SEQUENCE_HEADER = 1  # AV1's, of its units
MOST_UNITS = 8  # before the first frame; an encoder writes two


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
    is_av1 = bool(brands & _AVIF) or b"av01" in content[:_HEAD_BYTES]
    if brand in _AVIF or (brand in _EITHER and is_av1):
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
                for _, _, length in _list_pieces(content[first:last]):
                    total, number = total + length, number + 1
                    if total > len(content) or number > MAX_ITEMS:
                        raise PhotoUnavailableError(PhotoReason.TRUNCATED)


def open_heic(content: bytes) -> Image.Image:
    """The primary picture, its size known and nothing decoded. Raises what libheif raises.

    Its notes are hidden: pi_heif dies of some that are damaged, and the picture turns itself.
    """
    import pi_heif

    check_items(content)
    for name in ("THUMBNAILS", "DEPTH_IMAGES", "AUX_IMAGES"):
        setattr(pi_heif.options, name, False)
    image: Image.Image = pi_heif.HeifImageFile(BytesIO(hide_notes(content)))
    return image


def find_exif(content: bytes) -> bytes:
    """EXIF of a file whose notes are hidden from its decoder; empty where there is none."""
    found = _EXIF.search(content)
    return content[found.start() : found.start() + MOST_EXIF_BYTES] if found else b""


def open_avif(content: bytes) -> Image.Image:
    """The primary picture, of a sequence too; without notes where these are damaged.

    Raises what Pillow raises.
    """
    if content[8:12] == b"avis":  # else the film beside the picture would be opened
        content = content[:8] + b"avif" + content[12:]
    try:
        return Image.open(BytesIO(content), formats=["AVIF"])
    except Exception:  # noqa: BLE001 (whatever the decoder says of the notes, it says again)
        return Image.open(BytesIO(hide_notes(content)), formats=["AVIF"])


def hide_notes(content: bytes) -> bytes:
    """The same file, in which EXIF and XMP describe nothing; all bytes stay where they are."""
    kept, end = [], 0
    for kind, start, after in _list_boxes(content, 0, len(content)):
        if kind == b"mdat":
            kept += [content[end:start].replace(_DESCRIBES, b"xxxx"), content[start:after]]
            end = after
    return b"".join([*kept, content[end:].replace(_DESCRIBES, b"xxxx")])


def count_frame_pixels(content: bytes) -> int:
    """The pixels of the largest frame that an AVIF's items hold, by AV1's own headers.

    The decoder takes memory for these, and then makes of them what the file's boxes claim.
    """
    most = 0
    for kind, start, end in _list_boxes(content, 0, len(content)):
        if kind != b"meta":
            continue
        inner = list(_list_boxes(content, start + 4, end))
        data = next((first for kind, first, _ in inner if kind == b"idat"), 0)
        for name, first, last in inner:
            if name == b"iloc":
                for method, place, _ in islice(_list_pieces(content[first:last]), MAX_ITEMS):
                    most = max(most, _measure_frame(content, place + (data if method else 0)))
    return most


def _measure_frame(content: bytes, place: int) -> int:
    """Width by height of AV1's sequence header, if one begins here; else 0."""
    for _ in range(MOST_UNITS):
        head = content[place : place + 2]
        if len(head) < 2 or head[0] & 0x80 or not head[0] & 2:
            return 0
        place += 2 if head[0] & 4 else 1
        size = shift = 0
        for byte in content[place : place + 8]:
            place, size = place + 1, size | (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        if head[0] >> 3 & 15 == _SEQUENCE_HEADER:
            return _read_frame_size(content[place : place + min(size, 128)])
        place += size
    return 0


def _read_frame_size(header: bytes) -> int:
    """The pixels of the largest frame, by the syntax of AV1's specification, section 5.5.1."""
    bits = _Bits(header)
    bits.take(4)  # profile, still picture
    has_model = model_bits = has_delay = 0
    if bits.take(1):  # the short form of a still picture
        bits.take(5)
    else:
        if bits.take(1):
            bits.take(64)
            if bits.take(1):
                bits.take_unary()
            has_model = bits.take(1)
            if has_model:
                model_bits = bits.take(5) + 1
                bits.take(42)
        has_delay = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if has_model and bits.take(1):
                bits.take(2 * model_bits + 1)
            if has_delay and bits.take(1):
                bits.take(4)
    width, height = bits.take(4) + 1, bits.take(4) + 1
    return (bits.take(width) + 1) * (bits.take(height) + 1)


class _Bits:
    """Bits from the highest on; zeros behind the last."""

    def __init__(self, content: bytes) -> None:
        self._number, self._left = int.from_bytes(content, "big"), len(content) * 8

    def take(self, count: int) -> int:
        """The next bits as a number."""
        self._left -= count
        shifted = self._number >> self._left if self._left >= 0 else self._number << -self._left
        return shifted & ((1 << count) - 1)

    def take_unary(self) -> None:
        """Skip a number that is written as so many zeros, a one, and so many bits."""
        zeros = 0
        while zeros < 32 and self._left > 0 and not self.take(1):
            zeros += 1
        self.take(zeros)


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


def _list_pieces(box: bytes) -> Iterator[tuple[int, int, int]]:
    """Method, place and length of all pieces that an iloc box names; ends where the box does.

    Method 1: the place is one in the box idat. Without a length the piece is the whole file.
    """
    version, sizes = box[0], int.from_bytes(box[4:6], "big")
    offset, length, base = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index = sizes & 15 if version else 0
    wide = 4 if version == 2 else 2
    place = 6 + wide
    for _ in range(int.from_bytes(box[6:place], "big")):
        place += wide
        method = int.from_bytes(box[place : place + 2], "big") & 15 if version else 0
        place += (2 if version else 0) + 2
        start = int.from_bytes(box[place : place + base], "big")
        pieces = int.from_bytes(box[place + base : place + base + 2], "big")
        place += base + 2
        for _ in range(pieces):
            place += index
            if place + offset + length > len(box):
                return
            at = start + int.from_bytes(box[place : place + offset], "big")
            place += offset
            yield method, at, int.from_bytes(box[place : place + length], "big")
            place += length
        if place >= len(box):
            return
