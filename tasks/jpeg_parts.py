"""A JPEG cut into the picture and its notes, with bounds; see tasks/picture_parts.py for why."""

import re

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason
from tasks.photo_notes import PhotoNotes

# Ordinary ones have a few dozen; 50 MB of empty comments took Pillow 20 s and 900 MB.
MAX_SEGMENTS = 10_000
# Cameras write 1, progressive encoders about 10. At 50 megapixels a scan of 75 bytes takes 50 ms
# to decode: a file within the limit of bytes could keep a core busy for ten hours.
MAX_SCANS = 50

_SOI, _EOI, _SOS, _APP1 = 0xD8, 0xD9, 0xDA, 0xE1
# Frame headers and tables; JFIF's and Adobe's notes say how the colours are stored.
_JPEG_PICTURE = frozenset({*range(0xC0, 0xD0), *range(0xDB, 0xE0), 0xE0, 0xEE})
_WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
_EXIF, _JPEG_XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_NEXT = re.compile(rb"\xff+([^\xff])", re.DOTALL)
# Inside a scan: zeros and restart markers belong to its data.
_AFTER_SCAN = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")


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
            _check_scans(content, place)
            return b"".join([*kept, b"\xff\xda", memoryview(content)[body:]]), PhotoNotes(exif, xmp)
        if marker in _JPEG_PICTURE:
            kept.append(b"\xff" + content[body - 1 : place])
        elif marker == _APP1 and content.startswith(_EXIF, body + 2):
            exif = exif or content[body + 2 : place]
        elif marker == _APP1 and content.startswith(_JPEG_XMP, body + 2):
            xmp = xmp or content[body + 2 : place]
    raise PhotoUnavailableError(PhotoReason.UNPROCESSABLE)


def _read_length(content: bytes, place: int) -> int:
    """A segment's length with its own two bytes."""
    length = int.from_bytes(content[place : place + 2], "big")
    if length < 2 or place + length > len(content):
        raise PhotoUnavailableError(PhotoReason.TRUNCATED)
    return length


def _check_scans(content: bytes, place: int) -> None:
    """Refuse more than MAX_SCANS; `place` is where the first one's data begins."""
    if content.count(b"\xff\xda", place) < MAX_SCANS:
        return  # what else looks like a scan, in a film behind the picture, only adds to these
    scans = 1
    for _ in range(MAX_SEGMENTS):
        found = _AFTER_SCAN.search(content, place)
        if not found or found[1][0] in {_SOI, _EOI}:
            return
        scans += found[1][0] == _SOS
        if scans > MAX_SCANS:
            break
        place = found.end() + max(int.from_bytes(content[found.end() : found.end() + 2], "big"), 2)
    raise PhotoUnavailableError(PhotoReason.UNPROCESSABLE)
