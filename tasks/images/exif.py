"""The orientation and the colours of a picture, read from EXIF or XMP.

Pillow's parser is not used: it copies every value that a note claims to have, and rewrites the
whole note to change one value. A damaged or hostile note would then cost the photo.
"""

import re
import struct
from dataclasses import dataclass

UPRIGHT = 1
ORIENTATION_TAG = 0x0112
_PHOTO_DIRECTORY, _COLOUR_SPACE = 0x8769, 0xA001
_INTEROP_DIRECTORY, _INTEROP_INDEX = 0xA005, 0x0001
_SRGB, _ADOBE_RGB = 1, 2
_BYTE_ORDERS = {b"II": "<", b"MM": ">"}
_INTEGERS = {1: "B", 3: "H", 4: "I"}  # TIFF's BYTE, SHORT and LONG
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


@dataclass(frozen=True)
class PhotoNotes:
    """EXIF, XMP and the colour profile as they lie in the file; empty where there are none."""

    exif: bytes = b""
    xmp: bytes = b""
    profile: bytes = b""
    turn: int | None = None  # the orientation, where it is known better than the notes say it

    @property
    def orientation(self) -> int:
        """EXIF's 1 to 8, or XMP's where EXIF says nothing; 1 where neither makes sense."""
        said = read_exif_number(self.exif, ORIENTATION_TAG) if self.turn is None else self.turn
        if said is None:
            found = _XMP_ORIENTATION.search(self.xmp)
            said = int(found[1]) if found else UPRIGHT
        return said if 1 <= said <= 8 else UPRIGHT

    @property
    def is_adobe_rgb(self) -> bool | None:
        """Whether EXIF says Adobe RGB: as DCF's option file R03, or as ColorSpace 2.

        None where it says nothing of its colours.
        """
        # Without its usual place, as in Canon's CR3, the directory is the first one itself.
        photo = read_exif_number(self.exif, _PHOTO_DIRECTORY) or 0
        space = read_exif_number(self.exif, _COLOUR_SPACE, photo)
        if space in {_SRGB, _ADOBE_RGB}:
            return space == _ADOBE_RGB
        interop = read_exif_number(self.exif, _INTEROP_DIRECTORY, photo)
        index = _find_exif_entry(self.exif, _INTEROP_INDEX, interop)
        return None if index is None else index[2].startswith(b"R03")


def read_exif_number(exif: bytes, tag: int, directory: int | None = 0) -> int | None:
    """An integer of a directory, which lies at an offset; 0: the first directory."""
    entry = _find_exif_entry(exif, tag, directory)
    if entry is None or entry[1] not in _INTEGERS:
        return None
    order, kind, value = entry
    return int(struct.unpack_from(f"{order}{_INTEGERS[kind]}", value)[0])


def _find_exif_entry(exif: bytes, tag: int, directory: int | None) -> tuple[str, int, bytes] | None:
    """Byte order, type and the four bytes of a value; no directory is followed, so none can circle.

    None where there is no such entry, or EXIF ends before it.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = _BYTE_ORDERS.get(tiff[:2])
    if order is None or directory is None:
        return None
    try:
        start = directory or struct.unpack_from(f"{order}I", tiff, 4)[0]
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            if struct.unpack_from(f"{order}H", tiff, place)[0] == tag:
                kind, value = struct.unpack_from(f"{order}H4x4s", tiff, place + 2)
                return order, kind, value
    except struct.error:
        pass  # it ends before what it announces
    return None
