"""JPEG: decoded at a share of its size, within limits, also where its last bytes are missing.

A baseline JPEG costs what is kept of it: of 200 million pixels an eighth of each side is decoded in
half a second. One whose scans make the picture together is kept whole by the decoder.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops
from PIL._imaging import map_buffer
from simplejpeg import decode_jpeg

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason

# Ordinary ones have a few dozen; 50 MB of empty comments took Pillow 20 s and 900 MB.
MAX_SEGMENTS = 10_000
# Cameras write 1, progressive encoders about 10. At 50 megapixels a scan of 75 bytes takes 50 ms
# to decode: a file within the limit of bytes could keep a core busy for ten hours.
MAX_SCANS = 50
# What cameras join of several exposures has 400 million; time, not memory, is the bound.
MAX_CLAIMED_PIXELS = 500_000_000
# A JPEG above the limit is decoded at a share of its size, unless too little would be left of it.
LEAST_SIDE = 1280
# A picture that lacks more than its last 32nd is torn.
TORN_SHARE = 32

_SHARES = (8, 4, 2, 1)
# Components -> Pillow's mode, and what its decoder is asked for: CMYK is stored inverted.
_MODES = {1: ("L", "L"), 3: ("RGB", "RGB"), 4: ("CMYK", "CMYK;I")}
_END = b"\xff\xd9"
_CELL = 16  # pixels: the blocks of a JPEG that are decoded together, at its own size
_BLEED = 2  # pixels: colours are smoothed across the border of two cells
_COEFFICIENT_BYTES, _BYTES_A_PIXEL = 2, 16
# Read where the data should go on, it gives pixels that no data gives; no byte begins a marker.
_PROBE = bytes(number * 73 % 255 for number in range(1, 255))
_STRIP_PIXELS = 1_000_000
_LEAST_FILL = 32  # zero bytes: no data have so many in a row

_SOI, _EOI, _SOS, _DRI = 0xD8, 0xD9, 0xDA, 0xDD
_RESTARTS = [bytes((0xFF, 0xD0 + number)) for number in range(8)]
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_BASELINE = frozenset({0xC0, 0xC1})
_PLAIN = frozenset({1, 3})  # components
_PLAIN_SEGMENTS = 50  # before the first scan; ordinary ones have a dozen
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF})
# Inside a scan: zeros and restart markers belong to its data.
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")
_FRAME = struct.Struct(">BHHB")  # bits, height, width, components
_BITS = 8  # a component has; libjpeg's other depths are not Pillow's
_COEFFICIENTS = 64
_UNSEEN = 99  # more bits than a coefficient has


@dataclass
class Scans:
    """What the scans of a JPEG hold; `end` is where their data do, before the end marker."""

    end: int = 0
    has_end: bool = False
    is_buffered: bool = False  # several scans make the picture: all coefficients are kept
    is_lossless: bool = False  # has no coefficients, and one size
    size: tuple[int, int] = (0, 0)  # width and height
    bits: int = 0  # a component has
    components: int = 0
    restarts: bool = False  # markers in the data, at which a decoder may begin anew
    missing_bits: dict[int, list[int]] = field(default_factory=dict)  # component -> a coefficient

    @property
    def is_complete(self) -> bool:
        """Whether every coefficient is in some scan with all its bits."""
        return bool(self.missing_bits) and not any(map(any, self.missing_bits.values()))


@dataclass
class JpegPicture:
    """A JPEG whose headers were read, before its pixels are decoded.

    `content` has an end marker, and nothing but segments before its first scan: libjpeg reads the
    size where it is read here. Pillow's decoder gets it as a whole, and Pillow's own parser does
    not see it: Python's share of the work is what keeps other threads from theirs.
    """

    content: bytes
    scans: Scans
    share: int = 1  # of each side, the part that is decoded: the whole, a half, ...

    @classmethod
    def open(cls, content: bytes) -> "JpegPicture":
        """Read the headers of what split_jpeg returns. Raises PhotoUnavailableError."""
        scans = read_scans(content)
        if scans.components not in _MODES or scans.bits != _BITS or not all(scans.size):
            raise PhotoUnavailableError(PhotoReason.TRUNCATED)
        end = content[: scans.end + 2] if scans.has_end else content[: scans.end] + _END
        return cls(end, scans)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as they are decoded."""
        width, height = self.scans.size
        return -(-width // self.share), -(-height // self.share)

    def shrink(self, max_pixels: int, enough_pixels: int | None) -> int:
        """Choose the share to decode: the pixels that the decoder then takes memory for.

        Raises PhotoUnavailableError for too many.
        """
        width, height = self.scans.size
        claimed = width * height
        if claimed > (max_pixels if self.scans.is_buffered else MAX_CLAIMED_PIXELS):
            raise PhotoUnavailableError(PhotoReason.TOO_MANY_PIXELS)
        self.share = self._choose_share(max_pixels, enough_pixels)
        width, height = self.size
        if width * height > max_pixels:
            raise PhotoUnavailableError(PhotoReason.TOO_MANY_PIXELS)
        kept = claimed * self.scans.components * _COEFFICIENT_BYTES if self.scans.is_buffered else 0
        return max(width * height, kept // _BYTES_A_PIXEL)

    def decode(self) -> Image.Image:
        """The picture. Raises PhotoUnavailableError where it is torn, and what Pillow raises."""
        image = self._decode(self.content)
        whole = self.scans.has_end or (self.scans.is_complete and not self._is_torn(image))
        if not whole:
            raise PhotoUnavailableError(PhotoReason.TRUNCATED)
        return image

    def _decode(self, content: bytes) -> Image.Image:
        mode, wanted = _MODES[self.scans.components]
        width, height = self.size
        # Memory of Pillow's own would first be filled with zeros, while other threads wait. This is
        # what Image.frombuffer does, for modes that RGB is not one of.
        pixels = np.empty((height, width * (1 if mode == "L" else 4)), np.uint8)
        image = Image.Image()._new(map_buffer(pixels, self.size, "raw", 0, (mode, 0, 1)))
        image.frombytes(content, "jpeg", wanted, "", self.share, 0)
        return image

    def _choose_share(self, max_pixels: int, enough_pixels: int | None) -> int:
        width, height = self.scans.size
        if self.scans.is_lossless:
            return 1
        if enough_pixels is not None:
            share = next(s for s in _SHARES if s == 1 or min(width, height) // s >= enough_pixels)
        else:
            fitting = [s for s in _SHARES if -(-width // s) * -(-height // s) <= max_pixels]
            share = min(fitting, default=1)
            share = share if min(width, height) // share >= LEAST_SIDE else 1
        # At a smaller share the last scans of one that lacks its end would not show.
        lacks_scans = self.scans.is_buffered and not self.scans.has_end
        return min(share, 2) if lacks_scans else share

    def _is_torn(self, image: Image.Image) -> bool:
        """Whether more than a little of the picture is missing where its data break off.

        The decoder fills what is missing, and says nothing. So it is decoded once more with other
        bytes behind the data: they change nothing of a picture that is whole.
        """
        width, height = image.size
        side = -(-_CELL * height // self.scans.size[1])
        columns, rows = -(-width // side), -(-height // side)
        row, column = divmod(columns * rows - columns * rows // TORN_SHARE, columns)
        top = row * side
        above = (0, 0, width, height if row == rows else max(0, top - _BLEED))
        before = (0, top, max(0, column * side - _BLEED), min(top + side, height))
        return any(
            _differ(image, probe, box)
            for probe in map(self._probe, self._list_markers())
            for box in (above, before)
        )

    def _probe(self, marker: bytes) -> Image.Image:
        return self._decode(self.content[: self.scans.end] + marker + _PROBE + _END)

    def _list_markers(self) -> list[bytes]:
        """Ways to go on behind the data: at once, and by the restart marker that is due.

        A decoder that looks for the marker takes all else for rubbish, and fills in the rest.
        """
        if not self.scans.restarts:
            return [b""]
        places = [self.content.rfind(marker, 0, self.scans.end) for marker in _RESTARTS]
        due = (places.index(max(places)) + 1) % len(_RESTARTS) if max(places) >= 0 else 0
        return [b"", _RESTARTS[due]]


def _differ(one: Image.Image, other: Image.Image, box: tuple[int, int, int, int]) -> bool:
    """Whether two pictures differ in a box; strip by strip, so that no copy is large."""
    left, top, right, bottom = box
    if right <= left:
        return False
    step = max(1, _STRIP_PIXELS // (right - left))
    strips = ((left, y, right, min(y + step, bottom)) for y in range(top, bottom, step))
    return any(
        ImageChops.difference(one.crop(strip), other.crop(strip)).getbbox(alpha_only=False)
        for strip in strips
    )


def decode_plain(
    content: bytes, max_pixels: int, reserve: Callable[[int], None] | None
) -> npt.NDArray[np.uint8] | None:
    """The pixels of a plain JPEG, BGR uint8 (H, W, 3), as it is stored; None of any other.

    Plain: it is decoded at its own size, has an end, three components or one, and libjpeg warns of
    nothing. One call decodes it, in which other threads go on; the pixels are those of Pillow's
    decoder. `reserve` is told the number of pixels first, also where None comes of it.
    """
    try:
        size, counted = _read_plain_size(content, max_pixels)
    except Exception:  # noqa: BLE001 (whatever it is, the other way finds out the reason)
        return None
    if not counted:
        return None
    if reserve is not None:
        reserve(counted)
    try:
        pixels: npt.NDArray[np.uint8] = decode_jpeg(content, "BGR", strict=True)
    except ValueError:  # libjpeg's warnings as well: what is left of it the other way finds out
        return None
    return pixels if pixels.shape[1::-1] == size else None


def _read_plain_size(content: bytes, max_pixels: int) -> tuple[tuple[int, int], int]:
    """Width and height of what split_jpeg returns, and the pixels to reserve for its decoder.

    0 of these where it is not plain. Of one scan that holds all nothing but the frame is read.
    Raises PhotoUnavailableError as JpegPicture does.
    """
    width, height = _read_baseline_size(content)
    if 0 < width * height <= max_pixels:
        return (width, height), width * height
    jpeg = JpegPicture.open(content)
    counted = jpeg.shrink(max_pixels, None)
    scans = jpeg.scans
    plain = scans.has_end and scans.components in _PLAIN and not scans.is_lossless
    return scans.size, counted if plain and jpeg.share == 1 else 0


def _read_baseline_size(content: bytes) -> tuple[int, int]:
    """Width and height of a JPEG whose first scan is all there is; 0 and 0 of any other."""
    size, components, place = (0, 0), 0, 2
    for _ in range(_PLAIN_SEGMENTS):
        if content[place : place + 1] != b"\xff" or place + 4 > len(content):
            break
        marker, body = content[place + 1], place + 4
        place += 2 + int.from_bytes(content[place + 2 : body], "big")
        if marker == _SOS:
            return size if content[body : body + 1] == bytes([components]) else (0, 0)
        if marker in _FRAMES:
            if components or marker not in _BASELINE or place - body < _FRAME.size:
                break
            bits, height, width, components = _FRAME.unpack_from(content, body)
            if bits != _BITS or components not in _PLAIN:
                break
            size = width, height
    return (0, 0)


def read_scans(content: bytes) -> Scans:
    """Follow the markers to the picture's end; what lies behind it is not looked at.

    Raises PhotoUnavailableError for a JPEG built to keep its decoder busy.
    """
    scans, place, number = Scans(), 2, 0
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(content, place)
        if found is None or found[1][0] in {_SOI, _EOI}:
            break
        marker, body = found[1][0], found.end()
        place = body + max(int.from_bytes(content[body : body + 2], "big"), 2)
        if place > len(content):
            break
        segment = content[body + 2 : place]
        if marker in _FRAMES and not number and not scans.bits:  # libjpeg takes one, before scans
            _note_frame(scans, marker, segment)
        elif marker == _DRI:
            scans.restarts = any(segment[:2])
        elif marker == _SOS:
            number += 1
            _note_scan(scans, segment)
        if number > MAX_SCANS:
            raise PhotoUnavailableError(PhotoReason.UNPROCESSABLE)
    else:
        raise PhotoUnavailableError(PhotoReason.UNPROCESSABLE)
    scans.has_end = found is not None and found[1][0] == _EOI
    scans.end = len(content) if found is None else found.start()
    if not scans.has_end:
        data = content[: scans.end].rstrip(b"\xff")  # half a marker
        # An upload that broke off into a file made as large as it should become.
        filled = len(data) - len(bare := data.rstrip(b"\0"))
        scans.end = len(bare) if filled >= _LEAST_FILL else len(data)
    return scans


def _note_frame(scans: Scans, marker: int, segment: bytes) -> None:
    scans.is_buffered |= marker in _PROGRESSIVE
    scans.is_lossless |= marker in _LOSSLESS
    if len(segment) >= _FRAME.size:
        scans.bits, height, width, scans.components = _FRAME.unpack_from(segment)
        scans.size = width, height
    scans.missing_bits = {component: [_UNSEEN] * _COEFFICIENTS for component in segment[6::3]}


def _note_scan(scans: Scans, segment: bytes) -> None:
    count = segment[0] if segment else 0
    first, last, bits = (*segment[1 + 2 * count :], 0, 0, 0)[:3]
    scans.is_buffered |= count < scans.components
    for component in segment[1 : 1 + 2 * count : 2]:
        if missing := scans.missing_bits.get(component):
            missing[first : last + 1] = [bits & 15] * len(missing[first : last + 1])
