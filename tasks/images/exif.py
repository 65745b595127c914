"""The orientation of a picture, read from EXIF or XMP.

Pillow's parser is not used: it copies every value that a note claims to have, and rewrites the
whole note to change one value. A damaged or hostile note would then cost the photo.
"""

import re
import struct
from dataclasses import dataclass

UPRIGHT = 1
ORIENTATION_TAG = 0x0112
_BYTE_ORDERS = {b"II": "<", b"MM": ">"}
_INTEGERS = {1: "B", 3: "H", 4: "I"}  # TIFF's BYTE, SHORT and LONG
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


@dataclass(frozen=True)
class PhotoNotes:
    """EXIF and XMP as they lie in the file; empty where there are none."""

    exif: bytes = b""
    xmp: bytes = b""

    @property
    def orientation(self) -> int:
        """EXIF's 1 to 8, or XMP's where EXIF says nothing; 1 where neither makes sense."""
        said = _read_exif_orientation(self.exif)
        if said is None:
            found = _XMP_ORIENTATION.search(self.xmp)
            said = int(found[1]) if found else UPRIGHT
        return said if 1 <= said <= 8 else UPRIGHT


def _read_exif_orientation(exif: bytes) -> int | None:
    """The first directory's orientation; no other directory is followed, so none can circle."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = _BYTE_ORDERS.get(tiff[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, place)
            if tag == ORIENTATION_TAG:
                integer = _INTEGERS.get(kind)
                value = integer and struct.unpack_from(f"{order}{integer}", tiff, place + 8)
                return int(value[0]) if value else None
    except struct.error:
        pass  # it ends before what it announces
    return None
