"""A photo's file before Pillow sees it: which format, and the picture alone.

Pillow reads everything a file brings along before it tells the picture's size: profiles, texts,
comments, frames of an animation, each into memory, without a bound on their number. Here a file is
walked once, what is not the picture is left out, and what would keep a decoder busy is refused.
"""

import struct

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason
from tasks.jpeg_parts import split_jpeg
from tasks.photo_notes import PhotoNotes
from tasks.png_parts import split_png

_WEBP = (b"RIFF", b"WEBP")


def recognise_format(content: bytes) -> str:
    """JPEG, PNG or WEBP, by the first bytes; the name is never asked.

    Raises PhotoUnavailableError: not_an_image for any other content.
    """
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    # Of a WebP that breaks off in its first bytes, what there is must fit.
    if content.startswith(_WEBP[0]) and _WEBP[1].startswith(content[8:12]):
        return "WEBP"
    raise PhotoUnavailableError(PhotoReason.NOT_AN_IMAGE)


def split_picture(content: bytes, kind: str) -> tuple[bytes, PhotoNotes]:
    """The picture as a file of the same format, and its notes (a WebP's stay in it).

    Raises PhotoUnavailableError.
    """
    match kind:
        case "JPEG":
            return split_jpeg(content)
        case "PNG":
            return split_png(content)
        case _:
            return content, PhotoNotes()


def count_claimed_pixels(content: bytes, kind: str) -> int:
    """What a WebP's header claims; 0 for formats that Pillow opens without a canvas.

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
