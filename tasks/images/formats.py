"""Formats of photo files: recognised by their first bytes, and reduced to the picture alone.

Pillow loads profiles, texts, comments and animation frames into memory without a limit. So each
file is read once here: the notes that matter are kept apart within a bound, other data is left out,
and a file built to keep a decoder busy is refused.
"""

import binascii
import re
import struct
import zlib
from collections.abc import Iterator

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason
from tasks.images.colours import (
    MAX_PROFILE_BYTES,
    SRGB_CURVE,
    SRGB_POINTS,
    Curve,
    build_coded_profile,
    build_profile,
)
from tasks.images.exif import PhotoNotes
from tasks.images.heif import recognise_brand
from tasks.images.jpeg import MAX_SEGMENTS
from tasks.images.tiff import is_sensor_file, split_tiff

# JPEG

MAX_GAP = 65_536  # bytes between two segments
_EOI, _SOS, _APP1, _APP2 = 0xD9, 0xDA, 0xE1, 0xE2
# Frame headers and tables; JFIF's and Adobe's notes say how the colours are stored.
_JPEG_PICTURE = frozenset({*range(0xC0, 0xD0), *range(0xDB, 0xE0), 0xE0, 0xEE})
_WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
_EXIF, _JPEG_XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_PROFILE = b"ICC_PROFILE\0"  # then the segment's number, and how many there are
_NEXT = re.compile(rb"\xff+([^\xff])", re.DOTALL)

# PNG

# 50 MB in the usual 8 KiB make 6,000; as many empty ones as fit took Pillow 20 s and 500 MB.
MAX_CHUNKS = 100_000
MAX_NOTE_BYTES = 1_000_000  # a compressed note may inflate a thousandfold

_HEAD = 8  # the signature
_PNG_HEADER = 29  # with IHDR's values
_PNG_PICTURE = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_PNG_COLOURS = frozenset({b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"})
_SRGB_GAMMA = range(45_000, 46_000)  # what PNG's gAMA says of sRGB, in 1/100000
_PNG_XMP = b"XML:com.adobe.xmp"
_OLD_EXIF = b"Raw profile type exif"  # ImageMagick's, from before PNG knew EXIF

_WEBP = (b"RIFF", b"WEBP")

# RAW files that are not in TIFF's form: Canon's old ones, Fujifilm's, Minolta's, Sigma's; and
# Olympus's and Panasonic's, which are, by a magic number of their own.
_RAW = (
    *(b"II\x1a\0\0\0HEAPCCDR", b"FUJIFILMCCD-RAW", b"\0MRM", b"FOVb"),
    *(b"IIRO", b"IIRS", b"MMOR", b"IIU\0"),
)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_CANON = b"CR"  # behind a TIFF's head
# What a browser shows, so that guests see it as a preview.
SHOWN_BY_BROWSERS = frozenset({"JPEG", "PNG", "WEBP", "AVIF"})


def recognise_format(content: bytes) -> str:
    """JPEG, PNG, WEBP, AVIF, HEIF, TIFF or RAW, by the content; the name is never asked.

    Raises PhotoUnavailableError: not_an_image for any other content.
    """
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    # Of a WebP that breaks off in its first bytes, what there is must fit.
    if content.startswith(_WEBP[0]) and _WEBP[1].startswith(content[8:12]):
        return "WEBP"
    if content.startswith(_RAW):
        return "RAW"
    if content.startswith(_TIFF):
        return "RAW" if content[8:10] == _CANON or is_sensor_file(content) else "TIFF"
    if brand := recognise_brand(content):
        return brand
    raise PhotoUnavailableError(PhotoReason.NOT_AN_IMAGE)


def split_picture(content: bytes, kind: str) -> tuple[bytes, PhotoNotes]:
    """The picture as a file of the same format, and its notes; most formats' stay in it.

    Raises PhotoUnavailableError.
    """
    match kind:
        case "JPEG":
            return split_jpeg(content)
        case "PNG":
            return split_png(content)
        case "TIFF":
            return split_tiff(content), PhotoNotes()
        case _:
            return content, PhotoNotes()


def count_claimed_pixels(content: bytes, kind: str) -> int:
    """The pixels a WebP's header claims; 0 for formats that Pillow opens without a canvas.

    WebP's decoder asks for two canvases, of up to 16 gigabytes each, when it is opened.
    """
    if kind != "WEBP" or len(content) < 30:
        return 0
    match content[12:16]:
        case b"VP8X":
            width, height = (int.from_bytes(content[i : i + 3], "little") + 1 for i in (24, 27))
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", content, 21)
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, 26))
    return width * height


def split_jpeg(content: bytes) -> tuple[bytes, PhotoNotes]:
    """The same JPEG without notes and comments; its first EXIF and XMP, and its colour profile.

    Raises PhotoUnavailableError where it breaks off before the first scan, or is built to keep
    its reader busy.
    """
    kept, exif, xmp, place = [content[:2]], b"", b"", 2
    profile: dict[int, bytes] = {}
    for _ in range(MAX_SEGMENTS):
        # Some programs leave zeros between two segments; every decoder goes over them.
        found = _NEXT.search(content, place, place + MAX_GAP)
        if not found or found[1][0] == _EOI:
            raise PhotoUnavailableError(PhotoReason.TRUNCATED)
        marker, body = found[1][0], found.end()
        if marker in _WITHOUT_LENGTH:
            place = body
            continue
        place = body + _read_length(content, body)
        if marker == _SOS:
            notes = PhotoNotes(exif, xmp, _join_profile(profile))
            return b"".join([*kept, b"\xff\xda", memoryview(content)[body:]]), notes
        if marker in _JPEG_PICTURE:
            kept.append(b"\xff" + content[body - 1 : place])
        elif marker == _APP1 and content.startswith(_EXIF, body + 2):
            exif = exif or content[body + 2 : place]
        elif marker == _APP1 and content.startswith(_JPEG_XMP, body + 2):
            xmp = xmp or content[body + 2 : place]
        elif marker == _APP2 and content.startswith(_JPEG_PROFILE, body + 2):
            segment = content[body + 2 + len(_JPEG_PROFILE) : place]
            profile.setdefault(segment[0] if segment else 0, segment)
    raise PhotoUnavailableError(PhotoReason.UNPROCESSABLE)


def split_png(content: bytes) -> tuple[bytes, PhotoNotes]:
    """The same PNG without texts, profiles and animation; its EXIF, XMP and colour profile.

    Raises PhotoUnavailableError for one built to keep its reader busy.
    """
    kept: list[bytes | memoryview] = [content[:_HEAD]]
    exif = old_exif = xmp = b""
    colours: dict[bytes, bytes] = {}
    for kind, start, end in _list_chunks(content):
        body = memoryview(content)[start + 8 : end - 4]
        if kind in _PNG_PICTURE:
            kept.append(memoryview(content)[start:end])
        elif kind == b"tRNS":
            kept.append(_mend_transparency(bytes(body), content))
        elif kind == b"eXIf":
            exif = bytes(body)
        elif kind in _PNG_COLOURS:
            colours.setdefault(kind, bytes(body))
        elif kind == b"iTXt" and body[: len(_PNG_XMP)] == _PNG_XMP:
            xmp = _read_international_text(bytes(body))
        elif kind in {b"tEXt", b"zTXt"} and body[: len(_OLD_EXIF)] == _OLD_EXIF:
            old_exif = _read_old_exif(bytes(body), is_packed=kind == b"zTXt")
    return b"".join(kept), PhotoNotes(exif or old_exif, xmp, _read_png_profile(colours))


def _join_profile(segments: dict[int, bytes]) -> bytes:
    """A JPEG's profile from its segments; empty where one is missing, or it is far too large."""
    numbers = sorted(segments)
    total = segments[1][1:2] if 1 in segments else b""
    if not total or numbers != list(range(1, total[0] + 1)):
        return b""
    profile = b"".join(segments[number][2:] for number in numbers)
    return profile if len(profile) <= MAX_PROFILE_BYTES else b""


def _mend_transparency(body: bytes, content: bytes) -> bytes:
    """The chunk that says what is transparent; empty where it does not fit the picture.

    Pillow compares the grey of fewer than eight bits with what it has scaled to eight.
    """
    if len(content) < _PNG_HEADER:
        return b""
    depth, colour_type = content[24], content[25]
    sizes = {0: range(2, 3), 2: range(6, 7), 3: range(1, 257)}
    if len(body) not in sizes.get(colour_type, ()):
        return b""
    if colour_type == 0 and depth < 8:
        body = struct.pack(">H", min(body[1] * 255 // (2**depth - 1), 255))
    head = b"tRNS" + body
    return struct.pack(">I", len(body)) + head + struct.pack(">I", zlib.crc32(head))


def _read_png_profile(colours: dict[bytes, bytes]) -> bytes:
    """The profile that a PNG carries, or that its chunks describe; empty for plain sRGB."""
    coded = colours.get(b"cICP", b"")
    if len(coded) == 4 and (profile := build_coded_profile(coded[0], coded[1])):
        return profile
    packed = colours.get(b"iCCP", b"").partition(b"\0")[2][1:]
    if profile := _inflate(packed, MAX_PROFILE_BYTES + 1):
        return profile
    gamma = int.from_bytes(colours.get(b"gAMA", b""), "big")
    if b"sRGB" in colours or not gamma:
        return b""
    points, curve = SRGB_POINTS, SRGB_CURVE
    if len(colours.get(b"cHRM", b"")) == 32:
        numbers = [number / 100_000 for number in struct.unpack(">8I", colours[b"cHRM"])]
        points = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    if gamma not in _SRGB_GAMMA:
        curve = Curve(100_000 / gamma)
    return build_profile(points, curve) or b""


def _read_length(content: bytes, place: int) -> int:
    """A segment's length with its own two bytes."""
    length = int.from_bytes(content[place : place + 2], "big")
    if length < 2 or place + length > len(content):
        raise PhotoUnavailableError(PhotoReason.TRUNCATED)
    return length


def _list_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and end of every chunk; the last one may lack its end."""
    place = _HEAD
    for _ in range(MAX_CHUNKS):
        if place + 8 > len(content):
            return
        length, kind = struct.unpack_from(">I4s", content, place)
        yield kind, place, place + length + 12
        place += length + 12
        if kind == b"IEND":
            return
    raise PhotoUnavailableError(PhotoReason.UNPROCESSABLE)


def _read_international_text(body: bytes) -> bytes:
    """An iTXt's text: keyword, two flags, language and translated keyword stand before it."""
    _, _, rest = body.partition(b"\0")
    text = rest[2:].split(b"\0", 2)[-1]
    return _inflate(text) if rest[:1] == b"\1" else text


def _read_old_exif(body: bytes, *, is_packed: bool) -> bytes:
    """EXIF in hexadecimal, after three lines of text."""
    text = body.partition(b"\0")[2]
    text = _inflate(text[1:]) if is_packed else text
    try:
        return binascii.unhexlify(b"".join(text.split(b"\n")[3:]))
    except ValueError:
        return b""


def _inflate(packed: bytes, limit: int = MAX_NOTE_BYTES) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, limit)
    except zlib.error:
        return b""
