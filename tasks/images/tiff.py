"""TIFF: reduced to its first picture, and told from the RAW files that have its form.

Pillow reads every value that a directory names, as often as it is named. So a new directory is made
that has only what describes the pixels of the first picture.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason

MAX_DIRECTORIES = 32  # looked at to tell a RAW file; a camera writes about 5
MAX_STRIPS = 100_000  # a strip a line, and one for each colour
LARGEST_TILE = 4_096  # pixels a side, of pictures that are smaller than that

_SUBFILE, _REDUCED = 254, 0b101  # of its bits: a smaller copy, and what is to be seen of another
_WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC = 256, 257, 259, 262
_STRIP_OFFSETS, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS = 273, 322, 323, 324
_PIECES = ((273, 279), (324, 325))  # strips and tiles: where they lie, and their bytes
_SUB_DIRECTORIES, _DNG_VERSION = 330, 50706
# Sizes, bits, compression, colours, strips, orientation, palette, tiles, alpha, JPEG's tables,
# subsampling and the colour profile.
_PICTURE = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320}
    | {322, 323, 324, 325, 332, 338, 339, 347, 513, 514, 529, 530, 531, 532, 34675}
)
_SENSORS = frozenset({32803, 34892})  # a mosaic of colours, and what was made of one
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}


@dataclass(frozen=True)
class Form:
    """The byte order, and how long counts and offsets are: BigTIFF's have eight bytes."""

    order: str
    is_big: bool

    @property
    def offset(self) -> str:
        """struct's letter for an offset."""
        return "Q" if self.is_big else "I"

    @property
    def first(self) -> int:
        """Where the place of the first directory stands."""
        return 8 if self.is_big else 4

    @property
    def entry(self) -> struct.Struct:
        """Tag, type, count and the value, or its place."""
        return struct.Struct(self.order + ("HHQ8s" if self.is_big else "HHI4s"))

    @property
    def number(self) -> str:
        """struct's letter for the number of a directory's entries."""
        return "Q" if self.is_big else "H"


@dataclass
class Directory:
    """The entries of a directory as they lie in the file; of two with one tag the first counts."""

    form: Form
    entries: dict[int, bytes] = field(default_factory=dict)
    following: int = 0  # the place of the next directory; 0: there is none

    def count(self, tag: int) -> int:
        """How many values a tag has."""
        return int(self.form.entry.unpack(self.entries[tag])[2]) if tag in self.entries else 0

    def measure(self, tag: int) -> int:
        """The bytes of a tag's values."""
        kind = self.form.entry.unpack(self.entries[tag])[1]
        return self.count(tag) * _SIZES.get(kind, 1)

    def read(self, content: bytes, tag: int, limit: int = 1) -> list[int]:
        """A tag's first values, where they are integers."""
        if tag not in self.entries:
            return []
        _, kind, count, value = self.form.entry.unpack(self.entries[tag])
        letter, many = _INTEGERS.get(kind), min(count, limit)
        if letter is None:
            return []
        if self.measure(tag) <= len(value):
            return list(struct.unpack_from(f"{self.form.order}{many}{letter}", value))
        (place,) = struct.unpack(self.form.order + self.form.offset, value)
        return list(struct.unpack_from(f"{self.form.order}{many}{letter}", content, place))


def read_form(content: bytes) -> Form | None:
    """How a TIFF is written; None for other content. Cameras' own magic numbers count as well."""
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None or len(content) < 8:
        return None
    return Form(order, is_big=struct.unpack_from(f"{order}H", content, 2)[0] == 43)


def is_sensor_file(content: bytes) -> bool:
    """Whether a TIFF is a RAW file: it holds what the sensor saw, in some directory."""
    try:
        return any(
            _DNG_VERSION in directory.entries
            or _SENSORS.intersection(directory.read(content, _PHOTOMETRIC))
            for directory in _walk(content)
        )
    except (struct.error, OverflowError):
        return False


def is_cut(content: bytes) -> bool:
    """Whether a RAW file in TIFF's own form ends before what its sensor saw does."""
    if not content.startswith((b"II*\0", b"MM\0*")):
        return False
    try:
        for directory in _walk(content):
            if not _SENSORS.intersection(directory.read(content, _PHOTOMETRIC)):
                continue
            for starts, sizes in _PIECES:
                pairs = zip(
                    directory.read(content, starts, MAX_STRIPS),
                    directory.read(content, sizes, MAX_STRIPS),
                    strict=False,
                )
                if any(start + size > len(content) for start, size in pairs):
                    return True
    except (struct.error, OverflowError):
        return True
    return False


def split_tiff(content: bytes) -> bytes:
    """The same TIFF with its first picture alone that is no thumbnail, without notes.

    Raises PhotoUnavailableError for one built to keep its reader busy, and struct.error where it
    breaks off.
    """
    directories = _walk(content)
    first = next(directories)
    if _is_reduced(first, content):
        first = next((one for one in directories if not _is_reduced(one, content)), first)
    form, kept = first.form, sorted(first.entries.keys() & _PICTURE)
    width, height = (first.read(content, tag) or [0] for tag in (_WIDTH, _HEIGHT))
    tile = (first.read(content, tag) or [0] for tag in (_TILE_WIDTH, _TILE_HEIGHT))
    if (
        sum(map(first.measure, kept)) > len(content)
        or max(first.count(_STRIP_OFFSETS), first.count(_TILE_OFFSETS)) > MAX_STRIPS
        or any(
            side > max(whole, LARGEST_TILE)
            for (side,), (whole,) in zip(tile, (width, height), strict=True)
        )
    ):
        raise PhotoUnavailableError(PhotoReason.UNPROCESSABLE)
    place = len(content) + len(content) % 2
    directory = [
        struct.pack(form.order + form.number, len(kept)),
        *(first.entries[tag] for tag in kept),
        struct.pack(form.order + form.offset, 0),
    ]
    start = struct.pack(form.order + form.offset, place)
    rest = memoryview(content)[form.first + len(start) :]
    padding = bytes(place - len(content))
    return b"".join([content[: form.first], start, rest, padding, *directory])


def _is_reduced(directory: Directory, content: bytes) -> bool:
    """Whether a directory is a thumbnail's or a mask's, or no picture's."""
    kind = directory.read(content, _SUBFILE) or [0]
    return bool(kind[0] & _REDUCED) or _WIDTH not in directory.entries


def _walk(content: bytes) -> Iterator[Directory]:
    """The first directory, those after it, and their sub-directories; so many at most."""
    form = read_form(content)
    if form is None:
        return
    waiting = list(struct.unpack_from(form.order + form.offset, content, form.first))
    for _ in range(MAX_DIRECTORIES):
        if not waiting:
            return
        directory = _read_directory(content, form, waiting.pop(0))
        waiting += directory.read(content, _SUB_DIRECTORIES, MAX_DIRECTORIES)
        waiting += [directory.following] if directory.following else []
        yield directory


def _read_directory(content: bytes, form: Form, place: int) -> Directory:
    (count,) = struct.unpack_from(form.order + form.number, content, place)
    place += struct.calcsize(form.order + form.number)
    size, directory = form.entry.size, Directory(form)
    for start in range(place, place + min(count, 0xFFFF) * size, size):
        tag, *_ = form.entry.unpack_from(content, start)
        directory.entries.setdefault(tag, content[start : start + size])
    end = place + min(count, 0xFFFF) * size
    if end + struct.calcsize(form.order + form.offset) <= len(content):
        (directory.following,) = struct.unpack_from(form.order + form.offset, content, end)
    return directory
