"""JPEGs larger than any limit, and JPEGs without their last bytes."""

import random
import struct
from contextlib import suppress
from io import BytesIO

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason
from tasks.images import jpeg
from tasks.images.decode import decode_photo
from tasks.images.preview import PreviewRecipe, make_preview
from tests.support.photos import read_sample

MAX_PIXELS = 50_000_000
WAYS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_rows": 1},
    "progressive with restart markers": {"restart_marker_rows": 1, "progressive": True},
    "full colours": {"subsampling": 0},
}


def encode(image: Image.Image, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=85, **options)
    return buffer.getvalue()


def make_large(width: int, height: int, **options: object) -> bytes:
    """A phone's picture: noise, so that it does not end as soon as it begins."""
    return encode(
        Image.effect_noise((width // 16, height // 16), 40).resize((width, height)), **options
    )


def claim(content: bytes, width: int, height: int) -> bytes:
    """The same JPEG with another size in its header."""
    start = max(content.find(marker) for marker in (b"\xff\xc0", b"\xff\xc2")) + 5
    return content[:start] + struct.pack(">HH", height, width) + content[start + 4 :]


def join_scans(image: Image.Image) -> bytes:
    """A baseline JPEG whose three colours are scans of their own."""
    content, parts = b"", []
    for number, band in enumerate(image.convert("YCbCr").split(), 1):
        content = content or encode(band)
        data = encode(band)
        start = data.index(b"\xff\xda") + 10
        head = struct.pack(">HB", 8, 1) + bytes((number, 0, 0, 63, 0))
        parts.append(b"\xff\xda" + head + data[start:-2])
    start, end = content.index(b"\xff\xc0"), content.index(b"\xff\xda")
    frame = struct.pack(">HBHHB", 17, 8, image.height, image.width, 3)
    frame += b"\x01\x11\0\x02\x11\0\x03\x11\0"
    after = start + 2 + struct.unpack_from(">H", content, start + 2)[0]
    return b"".join([content[:start], b"\xff\xc0", frame, content[after:end], *parts, b"\xff\xd9"])


def read_reason(content: bytes, max_pixels: int = MAX_PIXELS, enough: int | None = None) -> str:
    with pytest.raises(PhotoUnavailableError) as refusal:
        decode_photo(content, max_pixels, enough_pixels=enough)
    return refusal.value.reason


# --- pixels ---

SUBSAMPLINGS = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    "4:1:1": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
}


def read_by_pillow(content: bytes, share: int = 1) -> npt.NDArray[np.uint8]:
    """BGR as Pillow's own reader gives it. Raises what Pillow raises."""
    with Image.open(BytesIO(content), formats=["JPEG"]) as image:
        image.draft(None, (max(1, image.width // share), max(1, image.height // share)))
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))[:, :, ::-1]


@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    subsampling=st.sampled_from([*SUBSAMPLINGS]),
    is_grey=st.booleans(),
    is_progressive=st.booleans(),
    restarts=st.integers(0, 3),
    quality=st.integers(5, 100),
    orientation=st.integers(0, 9),
    share=st.sampled_from([1, 2, 4, 8]),
)
def test_every_way_to_store_a_jpeg_gives_the_decoders_own_pixels(
    *,
    size: tuple[int, int],
    subsampling: str,
    is_grey: bool,
    is_progressive: bool,
    restarts: int,
    quality: int,
    orientation: int,
    share: int,
) -> None:
    shape = (*size, 3)[: 2 if is_grey else 3]
    options = {
        cv2.IMWRITE_JPEG_QUALITY: quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR: SUBSAMPLINGS[subsampling],
        cv2.IMWRITE_JPEG_PROGRESSIVE: int(is_progressive),
        cv2.IMWRITE_JPEG_RST_INTERVAL: restarts,
    }
    pixels = np.random.default_rng(size).integers(0, 256, shape, np.uint8)
    content = cv2.imencode(".jpg", pixels, [n for pair in options.items() for n in pair])[1]
    exif = Image.Exif()
    exif[0x0112] = orientation
    note = exif.tobytes()
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(note)) + note
    photo = content[:2].tobytes() + segment + content[2:].tobytes()
    enough = max(1, min(size) // share)
    share = next(s for s in (8, 4, 2, 1) if s == 1 or min(size) // s >= enough)
    found = decode_photo(photo, MAX_PIXELS, enough_pixels=enough)
    np.testing.assert_array_equal(found, read_by_pillow(photo, share))


@pytest.mark.parametrize("mode", ["RGB", "CMYK"])
def test_colours_that_are_not_transformed_are_the_decoders_own(mode: str) -> None:
    picture = read_sample("astronaut.png").convert(mode)
    content = encode(picture, **{"keep_rgb": True} if mode == "RGB" else {})
    np.testing.assert_array_equal(decode_photo(content, MAX_PIXELS), read_by_pillow(content))


@pytest.mark.parametrize("way", WAYS)
def test_what_is_damaged_in_the_middle_gives_the_decoders_own_pixels_or_none(way: str) -> None:
    whole = encode(read_sample("astronaut.png").resize((200, 200)), **WAYS[way])
    first = whole.index(b"\xff\xda")
    chance = random.Random(way)
    decoded = 0
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(first, len(content) - 2)] = chance.randrange(255)
        with suppress(PhotoUnavailableError):
            found = decode_photo(bytes(content), MAX_PIXELS)
            np.testing.assert_array_equal(found, read_by_pillow(bytes(content)))
            decoded += 1
    assert decoded > 20


@pytest.mark.parametrize("place", ["before its frame", "before its scan", "in its data"])
@pytest.mark.parametrize("size", [(1, 1), (4_000, 4_000)])
def test_a_second_size_is_never_decoded(place: str, size: tuple[int, int]) -> None:
    """The decoder believes the first frame: memory of another size would be written beyond."""
    content = encode(read_sample("astronaut.png"))
    frame = content.index(b"\xff\xc0")
    other = claim(content, *size)[frame : frame + 19]
    at = {"before its frame": frame, "before its scan": content.index(b"\xff\xda")}
    split = at.get(place, len(content) // 2)
    assert read_reason(content[:split] + other + content[split:]) == PhotoReason.TRUNCATED


@pytest.mark.parametrize(
    ("place", "value"),
    [(4, 12), (4, 0), (9, 2), (9, 5), (9, 0), (6, 0), (8, 0)],
    ids=["12 bits", "no bits", "2 colours", "5 colours", "no colour", "no height", "no width"],
)
def test_frames_that_the_decoder_has_no_picture_for_are_refused(place: int, value: int) -> None:
    content = bytearray(encode(Image.new("RGB", (64, 48))))  # sides below 256
    content[content.index(b"\xff\xc0") + place] = value
    assert read_reason(bytes(content)) == PhotoReason.TRUNCATED


# --- size ---


def test_a_phones_200_megapixels_get_a_preview_and_cost_what_is_decoded() -> None:
    told: list[int] = []
    content = make_large(16_320, 12_240)
    with Image.open(BytesIO(make_preview(content, PreviewRecipe(640), told.append))) as preview:
        assert preview.size == (640, 480)
    assert told == [2_040 * 1_530]


@pytest.mark.parametrize(
    ("size", "shape"),
    [((8_160, 6_144), (3_072, 4_080, 3)), ((12_000, 9_000), (4_500, 6_000, 3))],
)
def test_a_photo_above_the_limit_is_read_at_a_share_of_its_size(
    size: tuple[int, int], shape: tuple[int, ...]
) -> None:
    assert decode_photo(make_large(*size), MAX_PIXELS).shape == shape


def test_a_photo_of_which_too_little_would_be_left_is_refused() -> None:
    content = encode(Image.new("RGB", (2_000, 1_500)))
    assert read_reason(content, 2_999_999) == PhotoReason.TOO_MANY_PIXELS
    assert read_reason(content, 100_000) == PhotoReason.TOO_MANY_PIXELS


@pytest.mark.parametrize("size", [(9_000, 6_000), (16_320, 12_240)])
def test_scans_that_the_decoder_keeps_count_fully(size: tuple[int, int]) -> None:
    picture = Image.new("RGB", (640, 480))
    for content in (encode(picture, progressive=True), join_scans(picture)):
        large = claim(content, *size)
        assert read_reason(large, enough=640) == PhotoReason.TOO_MANY_PIXELS


def test_the_memory_of_kept_scans_is_reserved() -> None:
    told: list[int] = []
    content = encode(Image.new("RGB", (1_600, 1_600)), progressive=True)
    decode_photo(content, MAX_PIXELS, told.append, enough_pixels=200)
    assert told == [1_600 * 1_600 * 3 * 2 // 16]


@pytest.mark.parametrize("size", [(65_500, 65_500), (30_000, 20_000)])
def test_a_claim_beyond_any_camera_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    content = claim(encode(Image.new("RGB", (64, 64))), *size)
    assert read_reason(content, 10**10, enough=640) == PhotoReason.TOO_MANY_PIXELS


# --- the end ---


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("enough", [None, 100])
def test_a_jpeg_without_its_end_marker_is_the_same_picture(
    way: str, mode: str, enough: int | None
) -> None:
    content = encode(read_sample("astronaut.png").convert(mode), **WAYS[way])
    # Of scans that lack their end more is decoded: at a small share the last ones do not show.
    least = 256 if "progressive" in way else 0
    expected = decode_photo(content, MAX_PIXELS, enough_pixels=enough and max(enough, least))
    for cut in (1, 2):
        found = decode_photo(content[:-cut], MAX_PIXELS, enough_pixels=enough)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cut", [3, 20, 300])
def test_a_few_missing_bytes_cost_a_few_rows(way: str, cut: int) -> None:
    content = encode(read_sample("astronaut.png").resize((1_000, 886)), **WAYS[way])
    expected = decode_photo(content, MAX_PIXELS)
    found = decode_photo(content[:-cut], MAX_PIXELS)
    damaged = (found != expected).any(axis=(1, 2))
    assert damaged.sum() <= 886 // 32
    assert not damaged[: 886 - 886 // 16].any()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("enough", [None, 100])
def test_half_an_upload_is_refused(way: str, share: float, enough: int | None) -> None:
    content = encode(read_sample("astronaut.png"), **WAYS[way])
    half = content[: int(len(content) * share)]
    assert read_reason(half, enough=enough) == PhotoReason.TRUNCATED
    # As large as the whole would be, as some programs make a file before they fill it.
    assert read_reason(half.ljust(len(content), b"\0")) == PhotoReason.TRUNCATED


@pytest.mark.parametrize("blocks", [1, 4, 40])
def test_half_an_upload_is_refused_wherever_a_restart_marker_is_due(blocks: int) -> None:
    """A decoder that looks for the marker takes what else comes for rubbish."""
    content = encode(read_sample("astronaut.png"), restart_marker_blocks=blocks)
    places = [
        place
        for place in range(len(content) // 4, len(content) * 9 // 10)
        if content[place] == 0xFF and 0xD0 <= content[place + 1] <= 0xD7
    ]
    for place in places[:: max(1, len(places) // 12)]:
        for cut in (place, place + 1, place + 2):
            assert read_reason(content[:cut]) == PhotoReason.TRUNCATED


def test_zeros_between_two_segments_are_gone_over() -> None:
    content = encode(read_sample("astronaut.png"))
    second = content.index(b"\xff\xdb")
    loose = content[:second] + bytes(7) + content[second:]
    np.testing.assert_array_equal(
        decode_photo(loose, MAX_PIXELS), decode_photo(content, MAX_PIXELS)
    )


def test_scans_of_one_colour_each_may_lack_their_end_and_no_scan() -> None:
    content = join_scans(read_sample("astronaut.png"))
    expected = decode_photo(content, MAX_PIXELS)
    np.testing.assert_array_equal(decode_photo(content[:-2], MAX_PIXELS), expected)
    for last in (content.rindex(b"\xff\xda"), content.rindex(b"\xff\xda") + 500):
        assert read_reason(content[:last]) == PhotoReason.TRUNCATED


def test_an_even_bottom_is_not_taken_for_a_missing_one() -> None:
    picture = Image.new("RGB", (640, 640), (128, 128, 128))
    picture.paste(read_sample("astronaut.png").resize((640, 200)))
    for options in ({}, {"progressive": True}):
        content = encode(picture, **options)
        expected = decode_photo(content, MAX_PIXELS)
        np.testing.assert_array_equal(decode_photo(content[:-2], MAX_PIXELS), expected)


@pytest.mark.parametrize("has_end", [True, False])
@pytest.mark.parametrize("junk", [b"\0" * 500, b"a film " * 300, encode(Image.new("L", (9, 9)))])
def test_what_lies_behind_the_picture_changes_nothing(junk: bytes, has_end: bool) -> None:
    content = encode(read_sample("astronaut.png"))
    expected = decode_photo(content, MAX_PIXELS)
    whole = content if has_end else content[:-2]
    np.testing.assert_array_equal(decode_photo(whole + junk, MAX_PIXELS), expected)


def test_a_thumbnails_end_is_not_the_pictures() -> None:
    exif = b"Exif\0\0" + encode(Image.new("L", (9, 9)))
    content = encode(read_sample("astronaut.png"), exif=exif)
    assert decode_photo(content[:-2], MAX_PIXELS).shape == (512, 512, 3)
    assert read_reason(content[: len(content) // 2]) == PhotoReason.TRUNCATED


def test_a_large_picture_is_compared_strip_by_strip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg, "_STRIP_PIXELS", 5_000)
    content = encode(read_sample("astronaut.png"))
    assert decode_photo(content[:-2], MAX_PIXELS).shape == (512, 512, 3)
    assert read_reason(content[: len(content) * 3 // 4]) == PhotoReason.TRUNCATED


@pytest.mark.parametrize(
    "content", [b"\xff\xd8\xff\xda\x00\x02", b"\xff\xd8\xff\xc0\x00\x02\xff\xda\x00\x02"]
)
def test_a_scan_without_a_body_is_refused_as_any_other_file(content: bytes) -> None:
    with pytest.raises(PhotoUnavailableError):
        decode_photo(content, 1_000_000)
