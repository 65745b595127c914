"""A file cut into picture and notes: the same pixels, nothing else, and bounds that hold."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from models.errors import PhotoUnavailableError
from tasks.images import formats
from tasks.images.decode import decode_photo
from tasks.images.formats import (
    MAX_NOTE_BYTES,
    count_claimed_pixels,
    recognise_format,
    split_jpeg,
    split_png,
)
from tasks.images.jpeg import MAX_SCANS

PICTURE = Image.effect_noise((64, 48), 60).convert("RGB")
TURNED = Image.Exif()
TURNED[0x0112] = 6
MAX_PIXELS = 1_000_000


def encode(kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    PICTURE.convert(str(options.pop("mode", "RGB"))).save(buffer, kind, **options)
    return buffer.getvalue()


def make_segment(marker: int, body: bytes = b"") -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def make_chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def refine(scans: int) -> bytes:
    """A progressive JPEG of so many scans."""
    content = encode("JPEG", progressive=True)
    start = content.rindex(b"\xff\xda")
    more = scans - content.count(b"\xff\xda")
    return content[:-2] + content[start:-2] * more + b"\xff\xd9"


def read_pixels(content: bytes) -> np.ndarray:
    with Image.open(BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def read_reason(content: bytes) -> str:
    with pytest.raises(PhotoUnavailableError) as refusal:
        decode_photo(content, MAX_PIXELS)
    return refusal.value.reason


# --- JPEG ---


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"mode": "CMYK"},
        {"mode": "L"},
        {"optimize": True, "restart_marker_blocks": 2},
        {"exif": TURNED, "icc_profile": b"x" * 200_000, "comment": b"a comment"},
    ],
)
def test_a_jpegs_picture_has_the_pixels_of_the_whole_file(options: dict[str, object]) -> None:
    content = encode("JPEG", **options)
    picture, _ = split_jpeg(content)
    np.testing.assert_array_equal(read_pixels(picture), read_pixels(content))


def test_a_jpegs_notes_are_left_out_of_its_picture() -> None:
    content = encode("JPEG", exif=TURNED, icc_profile=b"x" * 200_000, comment=b"a comment")
    picture, notes = split_jpeg(content)
    assert not [word for word in (b"Exif", b"ICC", b"xxx", b"comment") if word in picture]
    assert notes.orientation == 6


def test_padding_and_stray_markers_between_segments_are_tolerated() -> None:
    content = encode("JPEG")
    for junk in (b"\xff\xff\xff", b"\xff\x00", b"\xff\xd0", b"\xff\x01"):
        padded = content[:2] + junk + content[2:]
        np.testing.assert_array_equal(decode_photo(padded, 4000), decode_photo(content, 4000))


def test_a_jpeg_may_have_as_many_scans_as_any_encoder_writes_and_no_more() -> None:
    assert decode_photo(refine(MAX_SCANS), MAX_PIXELS).shape == (48, 64, 3)
    assert read_reason(refine(MAX_SCANS + 1)) == "unprocessable"
    assert read_reason(refine(5_000)) == "unprocessable"


def test_scans_of_a_baseline_jpeg_are_counted_too() -> None:
    content = encode("JPEG", mode="L")
    start = content.rindex(b"\xff\xda")
    empty_scan = content[start : start + 10]
    assert read_reason(content[:start] + empty_scan * 500 + b"\xff\xd9") == "unprocessable"


def test_what_looks_like_a_scan_behind_the_picture_or_in_a_note_is_none() -> None:
    content = encode("JPEG")
    film = content + b"\xff\xda\0\x0c" * 500
    noted = content[:2] + make_segment(0xE1, b"Exif\0\0" + b"\xff\xda" * 500) + content[2:]
    for photo in (film, noted):
        np.testing.assert_array_equal(
            decode_photo(photo, MAX_PIXELS), decode_photo(content, MAX_PIXELS)
        )


def test_segments_without_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_SEGMENTS", 100)
    content = encode("JPEG")
    assert decode_photo(content[:2] + make_segment(0xFE) * 50 + content[2:], MAX_PIXELS).size
    assert read_reason(content[:2] + make_segment(0xFE) * 100 + content[2:]) == "unprocessable"


@pytest.mark.parametrize("end", [b"", b"\xff", b"\xff\xd9", b"\xff\xe0\0\0", b"junk"])
def test_a_jpeg_that_breaks_off_before_its_first_scan_is_truncated(end: bytes) -> None:
    assert read_reason(b"\xff\xd8" + make_segment(0xE0, b"JFIF") + end) == "truncated"


# --- PNG ---


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_a_pngs_picture_has_the_pixels_of_the_whole_file(mode: str) -> None:
    content = encode("PNG", mode=mode, exif=TURNED, icc_profile=b"x" * 2000)
    picture, notes = split_png(content)
    np.testing.assert_array_equal(read_pixels(picture), read_pixels(content))
    assert b"eXIf" not in picture
    assert b"iCCP" not in picture
    assert notes.orientation == 6


def insert(chunks: bytes) -> bytes:
    """A PNG with chunks before its pixels."""
    content = encode("PNG")
    return content[:33] + chunks + content[33:]


OLD_EXIF = b"\nexif\n 26\n" + TURNED.tobytes().hex().encode()
XMP = b'<x tiff:Orientation="6"/>'


@pytest.mark.parametrize(
    "chunk",
    [
        make_chunk(b"eXIf", TURNED.tobytes()[6:]),
        make_chunk(b"tEXt", b"Raw profile type exif\0" + OLD_EXIF),
        make_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(OLD_EXIF)),
        make_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
        make_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP)),
    ],
)
def test_every_way_in_which_a_png_says_it_is_turned_is_understood(chunk: bytes) -> None:
    turned = decode_photo(insert(chunk), MAX_PIXELS)
    np.testing.assert_array_equal(turned[:, :, ::-1], np.rot90(np.asarray(PICTURE), -1))


@pytest.mark.parametrize(
    "chunk",
    [
        make_chunk(b"zTXt", b"Raw profile type exif\0\0not compressed"),
        make_chunk(b"tEXt", b"Raw profile type exif\0\n\n\nno hexadecimal"),
        make_chunk(b"tEXt", b"Raw profile type exif"),
        make_chunk(b"iTXt", b"XML:com.adobe.xmp"),
        make_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0"),
        make_chunk(b"iCCP", b"p\0\0not compressed"),
        make_chunk(b"acTL", b"\xff" * 8),
    ],
)
def test_a_damaged_note_does_not_cost_the_png(chunk: bytes) -> None:
    photo = decode_photo(insert(chunk), MAX_PIXELS)
    np.testing.assert_array_equal(photo[:, :, ::-1], np.asarray(PICTURE))


def test_a_note_is_inflated_up_to_its_bound() -> None:
    bomb = zlib.compress(b"\n\n\n" + b"0" * (20 * MAX_NOTE_BYTES))
    _, notes = split_png(insert(make_chunk(b"zTXt", b"Raw profile type exif\0\0" + bomb)))
    assert len(notes.exif) <= MAX_NOTE_BYTES


def test_chunks_without_number_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_CHUNKS", 100)
    assert decode_photo(insert(make_chunk(b"prVt") * 50), MAX_PIXELS).size
    assert read_reason(insert(make_chunk(b"prVt") * 100)) == "unprocessable"
    assert read_reason(insert(make_chunk(b"IDAT") * 100)) == "unprocessable"


# --- WebP, and which format ---


def test_a_webp_claims_what_pillow_reads() -> None:
    lossy, lossless = encode("WEBP"), encode("WEBP", lossless=True)
    extended = encode("WEBP", exif=TURNED)
    assert [content[12:16] for content in (lossy, lossless, extended)] == [
        b"VP8 ",
        b"VP8L",
        b"VP8X",
    ]
    for content in (lossy, lossless, extended):
        assert count_claimed_pixels(content, "WEBP") == 64 * 48


def test_a_webps_canvas_is_refused_before_the_decoder_asks_for_it() -> None:
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\xff" * 2
    content = b"RIFF" + struct.pack("<I", 4 + len(canvas)) + b"WEBP" + canvas
    assert count_claimed_pixels(content, "WEBP") == 2**48
    assert read_reason(content) == "too_many_pixels"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\xff\xd8\xff", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"RIFF1234WEBP", "WEBP"),
        (b"RIFF1234WE", "WEBP"),
        (b"RIFF", "WEBP"),
    ],
)
def test_a_format_is_known_by_its_first_bytes(content: bytes, kind: str) -> None:
    assert recognise_format(content) == kind


@pytest.mark.parametrize("content", [b"RIFF1234WAVEfmt ", b"RIF", b"\xff\xd8", b"GIF89a", b"\0"])
def test_other_first_bytes_are_no_photos(content: bytes) -> None:
    with pytest.raises(PhotoUnavailableError, match="not_an_image"):
        recognise_format(content)
