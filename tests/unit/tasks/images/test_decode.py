"""Bytes to pixels: upright BGR, or a reason of the fixed list; nothing else ever comes out."""

import random
import struct
import zlib
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason
from tasks.images import decode
from tasks.images.decode import decode_photo
from tests.support.photos import encode_jpeg

MAX_PIXELS = 50_000_000
ORIENTATION = 0x0112
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}}

Pixels = npt.NDArray[np.uint8]

# What a person sees, from how the camera stored it: the eight values of EXIF's orientation.
UPRIGHT = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored, 1),
}


def make_pixels(height: int = 20, width: int = 31, seed: int = 1) -> Pixels:
    """An RGB picture that looks different turned any way."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """The picture as a file."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read_reason(content: bytes, max_pixels: int = MAX_PIXELS) -> str:
    """Why these bytes are refused."""
    with pytest.raises(PhotoUnavailableError) as refusal:
        decode_photo(content, max_pixels)
    return refusal.value.reason


def check_shape(photo: Pixels, height: int, width: int) -> None:
    """BGR uint8 (H, W, 3), contiguous."""
    assert (photo.dtype, photo.shape) == (np.uint8, (height, width, 3))
    assert photo.flags.c_contiguous


PHOTO = encode(Image.fromarray(make_pixels()), "JPEG")


# --- orientation ---


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_photo_is_upright_whatever_way_the_camera_was_held(kind: str, orientation: int) -> None:
    stored = make_pixels()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = encode(Image.fromarray(stored), kind, exif=exif, **LOSSLESS[kind])
    upright = UPRIGHT[orientation](stored)
    photo = decode_photo(content, MAX_PIXELS)
    check_shape(photo, *upright.shape[:2])
    np.testing.assert_array_equal(photo[:, :, ::-1], upright)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_upright_too(orientation: int) -> None:
    corners = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255] * 3, [0] * 3, [128] * 3]])
    stored = corners.astype(np.uint8).repeat(32, axis=0).repeat(32, axis=1)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = encode(Image.fromarray(stored), "JPEG", quality=95, subsampling=0, exif=exif)
    middles = decode_photo(content, MAX_PIXELS)[16::32, 16::32, ::-1]
    upright = UPRIGHT[orientation](corners)
    assert middles.shape == upright.shape
    assert np.abs(middles.astype(int) - upright).max() <= 4


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_the_test_photos_come_out_as_they_went_in(orientation: int) -> None:
    picture = Image.fromarray(make_pixels(64, 96))
    turned = decode_photo(encode_jpeg(picture, orientation=orientation), MAX_PIXELS)
    check_shape(turned, 64, 96)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_leaves_the_photo_as_it_is(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = encode(Image.fromarray(make_pixels()), "PNG", exif=exif)
    np.testing.assert_array_equal(decode_photo(content, MAX_PIXELS)[:, :, ::-1], make_pixels())


def test_damaged_exif_of_a_jpeg_does_not_cost_the_photo() -> None:
    content = encode(Image.fromarray(make_pixels()), "JPEG", exif=b"Exif\0\0not a TIFF header")
    check_shape(decode_photo(content, MAX_PIXELS), 20, 31)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_damaged_exif_of_another_format_does_not_cost_the_photo(kind: str) -> None:
    content = encode(Image.fromarray(make_pixels()), kind, exif=b"not a TIFF header")
    check_shape(decode_photo(content, MAX_PIXELS), 20, 31)


# --- colours ---


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "bgr"),
    [
        ("RGB", (255, 0, 0), "PNG", (0, 0, 255)),
        ("RGBA", (255, 128, 0, 255), "PNG", (0, 128, 255)),
        ("RGBA", (255, 128, 0, 255), "WEBP", (0, 128, 255)),
        ("L", 77, "PNG", (77, 77, 77)),
        ("L", 77, "JPEG", (77, 77, 77)),
        ("LA", (77, 255), "PNG", (77, 77, 77)),
        ("1", 1, "PNG", (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), "JPEG", (0, 0, 255)),
        ("YCbCr", (76, 85, 255), "JPEG", (0, 0, 255)),
    ],
)
def test_every_way_to_store_a_colour_gives_the_same_bgr(
    mode: str, colour: int | tuple[int, ...], kind: str, bgr: tuple[int, int, int]
) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encode(Image.new(mode, (24, 16), colour), kind, **options)
    photo = decode_photo(content, MAX_PIXELS)
    check_shape(photo, 16, 24)
    assert np.abs(photo.astype(int) - bgr).max() <= 2


def test_a_palette_is_looked_up() -> None:
    picture = Image.new("P", (4, 3), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    photo = decode_photo(encode(picture, "PNG", transparency=0), MAX_PIXELS)
    check_shape(photo, 3, 4)
    assert (photo == (30, 20, 10)).all()


def test_sixteen_bits_a_channel_become_eight() -> None:
    rows = (make_pixels(3, 4).astype(">u2") * 257).reshape(3, -1)
    photo = decode_photo(build_png(4, 3, rows, depth=16, colour_type=2), MAX_PIXELS)
    np.testing.assert_array_equal(photo[:, :, ::-1], make_pixels(3, 4))


def test_sixteen_bits_of_grey_become_eight() -> None:
    grey = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    photo = decode_photo(encode(Image.fromarray(grey), "PNG"), MAX_PIXELS)
    check_shape(photo, 16, 16)
    np.testing.assert_array_equal(photo[:, :, 0], (grey >> 8).astype(np.uint8))


def build_png(
    width: int, height: int, rows: npt.NDArray[np.uint16], *, depth: int, colour_type: int
) -> bytes:
    """A PNG that Pillow itself cannot write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


# --- formats ---


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_content_decides_since_a_name_is_never_asked(kind: str) -> None:
    check_shape(decode_photo(encode(Image.fromarray(make_pixels()), kind), MAX_PIXELS), 20, 31)


def test_a_progressive_jpeg_with_a_colour_profile_is_a_photo() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = Image.fromarray(make_pixels())
    content = encode(picture, "JPEG", progressive=True, icc_profile=profile)
    check_shape(decode_photo(content, MAX_PIXELS), 20, 31)


def test_a_cameras_jpeg_of_several_pictures_gives_the_first_one() -> None:
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    content = encode(first, "MPO", save_all=True, append_images=[second])
    assert decode_photo(content, MAX_PIXELS)[4, 4, 2] > 250


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_gives_its_first_picture(kind: str) -> None:
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    content = encode(first, kind, save_all=True, append_images=[second], **LOSSLESS[kind])
    assert (decode_photo(content, MAX_PIXELS) == (0, 0, 255)).all()


@pytest.mark.parametrize("kind", ["GIF", "BMP", "PPM", "ICO", "JPEG2000"])
def test_formats_that_no_guide_promises_are_refused(kind: str) -> None:
    content = encode(Image.fromarray(make_pixels(32, 32)), kind)
    assert read_reason(content) == PhotoReason.NOT_AN_IMAGE


@pytest.mark.parametrize(
    "content",
    [b"not a photo", "фото".encode(), b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\0", b"\xff"],
)
def test_what_is_no_picture_is_not_an_image(content: bytes) -> None:
    assert read_reason(content) == PhotoReason.NOT_AN_IMAGE


def test_no_bytes_are_an_empty_photo() -> None:
    assert read_reason(b"") == PhotoReason.EMPTY


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_half_an_upload_is_truncated(kind: str, share: float) -> None:
    content = encode(Image.fromarray(make_pixels(60, 80)), kind)
    assert read_reason(content[: int(len(content) * share)]) == PhotoReason.TRUNCATED


def test_half_an_upload_of_a_webp_is_truncated_too() -> None:
    content = encode(Image.fromarray(make_pixels(60, 80)), "WEBP")
    assert read_reason(content[: len(content) // 2]) == PhotoReason.TRUNCATED


# --- size ---


def claim_size(width: int, height: int) -> bytes:
    """A PNG whose header claims a size, and no pixel behind it."""
    no_rows = np.zeros((0, 0), np.uint16)
    return build_png(width, height, no_rows, depth=8, colour_type=2)


@pytest.mark.parametrize("side", [10_001, 20_000, 60_000])
def test_a_header_that_claims_too_many_pixels_is_refused_before_any_is_decoded(side: int) -> None:
    # There is no pixel to decode: looking for one would end as truncated.
    assert read_reason(claim_size(side, 10_000), 100_000_000) == PhotoReason.TOO_MANY_PIXELS


def test_a_jpegs_claim_is_refused_before_any_pixel_is_decoded() -> None:
    start = PHOTO.index(b"\xff\xc0") + 5
    claim = struct.pack(">HH", 65_000, 1_000)
    content = PHOTO[:start] + claim + PHOTO[start + 4 :]
    assert read_reason(content) == PhotoReason.TOO_MANY_PIXELS


def test_exactly_the_limit_is_allowed() -> None:
    check_shape(decode_photo(PHOTO, 20 * 31), 20, 31)
    assert read_reason(PHOTO, 20 * 31 - 1) == PhotoReason.TOO_MANY_PIXELS


def test_the_number_of_pixels_is_told_before_the_first_is_decoded() -> None:
    class StopError(Exception):
        pass

    def stop(pixels: int) -> None:
        assert pixels == 20 * 31
        raise StopError

    broken = PHOTO[: PHOTO.index(b"\xff\xda") + 20]  # decoding it would end as truncated
    with pytest.raises(StopError):
        decode_photo(broken, MAX_PIXELS, stop)


def test_a_photo_taller_than_a_strip_is_copied_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "STRIP_PIXELS", 31 * 3)
    content = encode(Image.fromarray(make_pixels()), "PNG")
    np.testing.assert_array_equal(decode_photo(content, MAX_PIXELS)[:, :, ::-1], make_pixels())


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_damaged_jpeg_is_decoded_or_refused_in_silence(
    mode: str, capfd: pytest.CaptureFixture[str]
) -> None:
    content = bytearray(encode(Image.fromarray(make_pixels(200, 300)).convert(mode), "JPEG"))
    chance = random.Random(mode)
    for _ in range(50):
        content[chance.randrange(content.index(b"\xff\xda"), len(content) - 2)] ^= 0x55
        decode_or_refuse(bytes(content))
    assert capfd.readouterr() == ("", "")


# --- anything at all ---


def decode_or_refuse(content: bytes, max_pixels: int = 1_000_000) -> None:
    """Whatever the bytes are: a photo, or a reason of the fixed list."""
    try:
        photo = decode_photo(content, max_pixels)
    except PhotoUnavailableError as refusal:
        assert refusal.reason in set(PhotoReason)
        return
    check_shape(photo, *photo.shape[:2])
    assert 0 < photo.shape[0] * photo.shape[1] <= max_pixels


@given(st.binary(max_size=200), st.sampled_from([b"", PHOTO[:20], b"\x89PNG\r\n\x1a\n", b"RIFF"]))
def test_random_bytes_never_raise_anything_but_a_refusal(content: bytes, head: bytes) -> None:
    decode_or_refuse(head + content)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow tells of damaged EXIF
@given(
    st.sampled_from(["JPEG", "progressive JPEG", "PNG", "WEBP"]),
    st.integers(0, 2**32 - 1),
    st.integers(0, 12),
    st.floats(0, 1),
    st.sampled_from([600, 1_000_000]),
)
def test_a_damaged_photo_never_raises_anything_but_a_refusal(
    kind: str, seed: int, flips: int, share: float, max_pixels: int
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    options = {"exif": exif, "progressive": kind.startswith("progressive")}
    content = bytearray(encode(Image.fromarray(make_pixels()), kind.split()[-1], **options))
    del content[int(len(content) * max(share, 0.02)) :]
    chance = random.Random(seed)
    for _ in range(flips):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    decode_or_refuse(bytes(content), max_pixels)
