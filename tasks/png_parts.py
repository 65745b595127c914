"""A PNG cut into the picture and its notes, with bounds; see tasks/picture_parts.py for why."""

import binascii
import struct
import zlib
from collections.abc import Iterator

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason
from tasks.photo_notes import PhotoNotes

# 50 MB in the usual 8 KiB make 6,000; as many empty ones as fit took Pillow 20 s and 500 MB.
MAX_CHUNKS = 100_000
MAX_NOTE_BYTES = 1_000_000  # a compressed note may inflate a thousandfold

_HEAD = 8  # the signature
_PNG_PICTURE = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_PNG_XMP = b"XML:com.adobe.xmp"
_OLD_EXIF = b"Raw profile type exif"  # ImageMagick's, from before PNG knew EXIF


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
