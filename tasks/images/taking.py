"""The moment of taking and the camera of a photo, read from EXIF, or from XMP where EXIF is silent.

Any file of a camera will do: EXIF is looked for by the marks that stand before it. TIFF and most
RAW files are such directories themselves. Damaged and impossible values count as none, and no place
and no person's name is read.
"""

import logging
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from hashlib import sha256

from models.errors import PhotoUnavailableError
from models.vocabulary import Taking
from tasks.images.exif import PhotoNotes
from tasks.images.formats import split_jpeg, split_png

logger = logging.getLogger(__name__)

# What stands before a TIFF header, and how far. WebP's has its chunk's length behind it. CR3 has a
# header for each directory. AVIF's says how far on the header begins: at once.
_EXIF = (b"Exif\0\0", 6)
_WEBP = (_EXIF, (b"EXIF", 8))
_BOXES = ((b"CMT1", 4), (b"CMT2", 4), _EXIF, (b"\0\0\0\0II*\0", 4), (b"\0\0\0\0MM\0*", 4))
_TIFF = re.compile(rb"II[*UR]|MM\0[*]|IIRO|IIRS")
_BYTE_ORDERS = {b"II": "<", b"MM": ">"}
# Looks at places where a mark stands: the same bytes may occur in a picture by chance.
MOST_LOOKS = 20
# Notes stand at a file's beginning, but for formats of boxes and small files.
HEAD_BYTES = 4_000_000
MOST_ENTRIES = 1_000  # of a directory; cameras write some dozens
MOST_TEXT_BYTES = 200
MOST_NAME_LETTERS = 60
_TEXTS = {1, 2, 7, 129}  # TIFF's BYTE, ASCII and UNDEFINED, EXIF 3's UTF-8
_LONG, _IFD = 4, 13

_MAKE, _MODEL, _PHOTO_DIRECTORY = 0x010F, 0x0110, 0x8769
_SERIAL, _DNG_SERIAL = 0xA431, 0xC62F
# Time, fraction of its second and offset: of taking, of digitising, of the file's last change.
_MOMENTS = ((0x9003, 0x9291, 0x9011), (0x9004, 0x9292, 0x9012), (0x0132, 0x9290, 0x9010))
_COMMON_OFFSET = 0x9010
_WANTED = {_MAKE, _MODEL, _SERIAL, _DNG_SERIAL, _COMMON_OFFSET, *(t for m in _MOMENTS for t in m)}

_TIME = re.compile(r"(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d)(?::(\d\d))?(?:[.,](\d+))?")
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)|Z")
_XMP_TIMES = [
    re.compile(name + rb"(?:=[\"']|>)([0-9T:.+Z-]{16,40})[\"'<]")
    for name in (rb"exif:DateTimeOriginal", rb"photoshop:DateCreated", rb"xmp:CreateDate")
]
_XMP_CAMERA = {
    _MAKE: re.compile(rb"tiff:Make(?:=[\"']|>)([^\"'<]{1,80})[\"'<]"),
    _MODEL: re.compile(rb"tiff:Model(?:=[\"']|>)([^\"'<]{1,80})[\"'<]"),
}
_XMP_PACKET = b"<x:xmpmeta"
MOST_XMP_BYTES = 200_000
MOST_OFFSET_MIN = 14 * 60


def read_taking(content: bytes) -> Taking | None:
    """When and by which camera a photo was taken; None where its file does not tell a time."""
    try:
        return _read_taking(content)
    except Exception as error:  # noqa: BLE001 (a time must not cost a photo)
        logger.debug("No time of taking was read: %s", type(error).__name__)
        return None


def _read_taking(content: bytes) -> Taking | None:
    notes = _split_notes(content)
    texts: dict[int, str] = {}
    for tiff in _list_headers(content, notes):
        texts = {**_read_tiff(tiff), **texts}
        if {_MODEL, _MOMENTS[0][0]} <= texts.keys():
            break
    told = _read_xmp(notes.xmp if notes else content)
    # A program that exports a photo may leave the time of taking in XMP alone.
    if _MOMENTS[0][0] not in texts:
        texts = {**told, **texts}
    return _judge(texts) or _judge({**texts, **told})


def _split_notes(content: bytes) -> PhotoNotes | None:
    """The notes of a JPEG or PNG, which are followed; None for other formats."""
    with suppress(PhotoUnavailableError):
        if content.startswith(b"\xff\xd8"):
            return split_jpeg(content)[1]
        if content.startswith(b"\x89PNG"):
            return split_png(content)[1]
    return None


def _list_headers(content: bytes, notes: PhotoNotes | None) -> Iterator[bytes | memoryview]:
    """Where EXIF may begin, most probable first."""
    if notes is not None:
        yield notes.exif.removeprefix(_EXIF[0])
    elif _TIFF.match(content):
        yield memoryview(content)
    elif content[4:8] == b"ftyp":
        yield from _find_headers(content, _BOXES, len(content))
    elif content[:4] == b"RIFF":
        yield from _find_headers(content, _WEBP, len(content))
    else:
        yield from _find_headers(content, (_EXIF,), HEAD_BYTES)


def _find_headers(
    content: bytes, marks: Sequence[tuple[bytes, int]], end: int
) -> Iterator[memoryview]:
    for mark, length in marks:
        place = -1
        for _ in range(MOST_LOOKS):
            place = content.find(mark, place + 1, end)
            if place < 0:
                break
            if _TIFF.match(content, place + length):
                yield memoryview(content)[place + length :]
                break


def _read_tiff(tiff: bytes | memoryview) -> dict[int, str]:
    """The texts of the first directory and of the photo's own; no other one is followed."""
    order, texts = _BYTE_ORDERS.get(bytes(tiff[:2]), "<"), dict[int, str]()
    # Each is read as far as it goes: what is damaged ends before what it announces.
    with suppress(struct.error):
        directories = [struct.unpack_from(f"{order}I", tiff, 4)[0]]
        for start in directories:
            with suppress(struct.error):
                for tag, value in _read_directory(tiff, order, start):
                    if isinstance(value, str):
                        texts.setdefault(tag, value)
                    elif len(directories) == 1:
                        directories.append(value)
    return texts


def _read_directory(
    tiff: bytes | memoryview, order: str, start: int
) -> Iterator[tuple[int, str | int]]:
    """The wanted tags, as text, and where the directory of the photo's own data is."""
    (count,) = struct.unpack_from(f"{order}H", tiff, start)
    for place in range(start + 2, start + 2 + 12 * min(count, MOST_ENTRIES), 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", tiff, place)
        (number,) = struct.unpack_from(f"{order}I", tiff, place + 8)
        if tag == _PHOTO_DIRECTORY and kind in {_LONG, _IFD}:
            yield tag, int(number)
        elif tag in _WANTED and kind in _TEXTS and length <= MOST_TEXT_BYTES:
            at = place + 8 if length <= 4 else number
            text = bytes(tiff[at : at + length]).split(b"\0")[0]
            if words := _clean(text.decode("utf-8", "replace")):
                yield tag, words


def _read_xmp(content: bytes) -> dict[int, str]:
    """The same tags, as a program wrote them into an export."""
    place = content.find(_XMP_PACKET, 0, HEAD_BYTES)
    packet = content[place : place + MOST_XMP_BYTES] if place >= 0 else b""
    texts = {}
    found = next(filter(None, (pattern.search(packet) for pattern in _XMP_TIMES)), None)
    if found is not None:
        texts[_MOMENTS[0][0]] = found[1].decode()
    for tag, pattern in _XMP_CAMERA.items():
        if named := pattern.search(packet):
            texts[tag] = _clean(named[1].decode("utf-8", "replace"))
    return texts


def _judge(texts: dict[int, str]) -> Taking | None:
    """The first of the times that makes sense, with its camera."""
    for time_tag, fraction_tag, offset_tag in _MOMENTS:
        moment = _read_time(texts.get(time_tag, ""), texts.get(fraction_tag, ""))
        if moment is None:
            continue
        taken_at, said_offset = moment
        offsets = (said_offset, texts.get(offset_tag, ""), texts.get(_COMMON_OFFSET, ""))
        offset = next((o for o in map(_read_offset, offsets) if o is not None), None)
        taking = Taking(taken_at, offset, *_describe_camera(texts))
        if taking.is_plausible:
            return taking
    return None


def _read_time(text: str, fraction: str) -> tuple[datetime, str] | None:
    """A clock's time, and what stands behind it: an offset, in XMP."""
    found = _TIME.match(text.strip())
    if found is None or not text.isascii():
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    digits = found[7] or (fraction.strip() if fraction.strip().isdecimal() else "")
    micros = int(digits[:6].ljust(6, "0")) if digits.isascii() else 0
    try:
        # Some phones write midnight as 24 o'clock of the day that begins.
        taken_at = datetime(year, month, day, 0 if hour == 24 else hour, minute)  # noqa: DTZ001 (a camera's clock has no zone)
    except ValueError:
        return None
    # A leap second, or a clock that counts to sixty.
    return taken_at.replace(second=min(second, 59), microsecond=micros), text.strip()[found.end() :]


def _read_offset(text: str) -> int | None:
    """Minutes from UTC."""
    found = _OFFSET.fullmatch(text.strip()) if text.isascii() else None
    if found is None:
        return None
    if found[1] is None:
        return 0
    minutes = int(found[2]) * 60 + int(found[3])
    if minutes > MOST_OFFSET_MIN:
        return None
    return -minutes if found[1] == "-" else minutes


def _describe_camera(texts: dict[int, str]) -> tuple[str, str | None]:
    """What tells the camera from others, and its name for people.

    Eight digits: enough for the cameras of an event, and too few to find the serial number by
    trying all that there are.
    """
    make, model = texts.get(_MAKE, ""), texts.get(_MODEL, "")
    serial = texts.get(_SERIAL) or texts.get(_DNG_SERIAL, "")
    digest = sha256("\0".join((make, model, serial)).encode()).hexdigest()[:8]
    maker = make.split(" ")[0]
    is_named = model.casefold().startswith(maker.casefold())
    name = model if is_named else f"{make} {model}"
    return digest, name.strip()[:MOST_NAME_LETTERS].strip() or None


def _clean(text: str) -> str:
    """Without what does not print; one space between words."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
