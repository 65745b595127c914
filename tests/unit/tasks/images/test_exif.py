"""The orientation from EXIF as it should be, and as it should not."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.images.exif import PhotoNotes

ORIENTATION = 0x0112
HEADS = (b"", b"Exif\0\0", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"Exif\0\0II*\0\x08\0\0\0")


def make_exif(kind: int, value: bytes, order: str = "<") -> bytes:
    """One entry: the orientation, of a TIFF type."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(f"{order}HHI", ORIENTATION, kind, 1) + value.ljust(4, b"\0")
    return mark + struct.pack(f"{order}IH", 8, 1) + entry + bytes(4)


@given(st.integers(0, 65_535), st.sampled_from("<>"), st.booleans())
def test_an_orientation_is_read_and_one_that_does_not_exist_is_upright(
    value: int, order: str, prefixed: bool
) -> None:
    exif = make_exif(3, struct.pack(f"{order}H", value), order)
    notes = PhotoNotes(exif=b"Exif\0\0" * prefixed + exif)
    assert notes.orientation == (value if 1 <= value <= 8 else 1)


@given(st.dictionaries(st.sampled_from([0x010F, 0x0110, 0x0131, 0x8298]), st.text(max_size=40)))
def test_it_is_found_among_other_tags_as_pillow_writes_them(tags: dict[int, str]) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 8
    for tag, text in tags.items():
        exif[tag] = text
    assert PhotoNotes(exif=exif.tobytes()).orientation == 8


@pytest.mark.parametrize(
    ("kind", "value", "orientation"),
    [(1, b"\x06", 6), (4, b"\x06\0\0\0", 6), (2, b"6\0", 1), (5, b"\x06", 1), (999, b"\x06", 1)],
)
def test_any_whole_number_counts_and_nothing_else(
    kind: int, value: bytes, orientation: int
) -> None:
    assert PhotoNotes(exif=make_exif(kind, value)).orientation == orientation


def test_a_directory_that_ends_early_or_points_to_itself_is_read_as_far_as_it_goes() -> None:
    exif = make_exif(3, b"\x06\0")
    circle = exif[:-4] + struct.pack("<I", 8)
    endless = exif[:8] + b"\xff\xff" + exif[10:]
    assert PhotoNotes(exif=circle).orientation == 6
    assert PhotoNotes(exif=endless).orientation == 6
    assert PhotoNotes(exif=exif[:16]).orientation == 1


@given(st.sampled_from(HEADS), st.binary(max_size=300), st.binary(max_size=50))
def test_no_bytes_raise_anything(head: bytes, exif: bytes, xmp: bytes) -> None:
    assert 1 <= PhotoNotes(head + exif, xmp).orientation <= 8


def test_xmp_is_asked_where_exif_says_nothing() -> None:
    xmp = b"<rdf tiff:Orientation='1' tiff:Orientation=\"3\">"
    assert PhotoNotes(xmp=xmp).orientation == 3
    assert PhotoNotes(exif=make_exif(3, b"\x06\0"), xmp=xmp).orientation == 6
    assert PhotoNotes(xmp=b'tiff:Orientation="9"').orientation == 1
