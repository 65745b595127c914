"""Formats of photo files: recognised by their first bytes, and reduced to the picture alone.

Pillow loads profiles, texts, comments and animation frames into memory without a limit. So each
file is read once here: other data is left out, and a file built to keep a decoder busy is refused.
"""

import binascii
import re
import struct
import zlib
from collections.abc import Iterator

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason
from tasks.images.exif import PhotoNotes
from tasks.images.heif import recognise_brand
from tasks.images.jpeg import MAX_SEGMENTS
from tasks.images.tiff import is_sensor_file, split_tiff

# JPEG

_EOI, _SOS, _APP1 = 0xD9, 0xDA, 0xE1
# Frame headers and tables; JFIF's and Adobe's notes say how the colours are stored.
_JPEG_PICTURE = frozenset({*range(0xC0, 0xD0), *range(0xDB, 0xE0), 0xE0, 0xEE})
_WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
_EXIF, _JPEG_XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_NEXT = re.compile(rb"\xff+([^\xff])", re.DOTALL)

# PNG

# 50 MB in the usual 8 KiB make 6,000; as many empty ones as fit took Pillow 20 s and 500 MB.
MAX_CHUNKS = 100_000
MAX_NOTE_BYTES = 1_000_000  # a compressed note may inflate a thousandfold

_HEAD = 8  # the signature
_PNG_PICTURE = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
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
    """The same JPEG without notes and comments, and its first EXIF and XMP.

    Raises PhotoUnavailableError where it breaks off before the first scan, or is built to keep
    its reader busy.
    """
    kept, exif, xmp, place = [content[:2]], b"", b"", 2
    for _ in range(MAX_SEGMENTS):
        found = _NEXT.match(content, place)
        if not found or found[1][0] == _EOI:
            raise PhotoUnavailableError(PhotoReason.TRUNCATED)
        marker, body = found[1][0], found.end()
        if marker in _WITHOUT_LENGTH:
            place = body
            continue
        place = body + _read_length(content, body)
        if marker == _SOS:
            return b"".join([*kept, b"\xff\xda", memoryview(content)[body:]]), PhotoNotes(exif, xmp)
        if marker in _JPEG_PICTURE:
            kept.append(b"\xff" + content[body - 1 : place])
        elif marker == _APP1 and content.startswith(_EXIF, body + 2):
            exif = exif or content[body + 2 : place]
        elif marker == _APP1 and content.startswith(_JPEG_XMP, body + 2):
            xmp = xmp or content[body + 2 : place]
    raise PhotoUnavailableError(PhotoReason.UNPROCESSABLE)


def split_png(content: bytes) -> tuple[bytes, PhotoNotes]:
    """The same PNG without texts, profiles and animation, and its EXIF and XMP.

    Raises PhotoUnavailableError for one built to keep its reader busy.
    """
    kept: list[bytes | memoryview] = [content[:_HEAD]]
    exif = old_exif = xmp = b""
    for kind, start, end in _list_chunks(content):
        body = memoryview(content)[start + 8 : end - 4]
        if kind in _PNG_PICTURE:
            kept.append(memoryview(content)[start:end])
        elif kind == b"eXIf":
            exif = bytes(body)
        elif kind == b"iTXt" and body[: len(_PNG_XMP)] == _PNG_XMP:
            xmp = _read_international_text(bytes(body))
        elif kind in {b"tEXt", b"zTXt"} and body[: len(_OLD_EXIF)] == _OLD_EXIF:
            old_exif = _read_old_exif(bytes(body), is_packed=kind == b"zTXt")
    return b"".join(kept), PhotoNotes(exif or old_exif, xmp)


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


def _inflate(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, MAX_NOTE_BYTES)
    except zlib.error:
        return b""
