"""Views: how large they are, how they stand, in which colours, and what no view is made of."""

from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image

from models.errors import PhotoUnavailableError
from models.vocabulary import ViewKind
from tasks.images.views import (
    AIMED_BYTES,
    MOST_THUMB_BYTES,
    encode_thumb,
    make_views,
    try_views,
)
from tests.support.camera_files import build_cr2
from tests.support.colours import (
    ADOBE,
    P3,
    encode_colours,
    measure_distance,
    write_rgb_profile,
)
from tests.support.photos import encode_jpeg, read_group

FORMATS = {ViewKind.THUMB: "WEBP", ViewKind.VIEW: "WEBP", ViewKind.VIEW_JPEG: "JPEG"}


def open_views(original: bytes) -> dict[ViewKind, Image.Image]:
    contents = make_views(original).contents
    assert list(contents) == list(ViewKind)
    return {kind: Image.open(BytesIO(content)) for kind, content in contents.items()}


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def draw_noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("size", "thumb", "view"),
    [
        ((4000, 3000), (400, 300), (2048, 1536)),
        ((3000, 4000), (300, 400), (1536, 2048)),
        ((640, 480), (400, 300), (640, 480)),
        ((120, 90), (120, 90), (120, 90)),
        ((9000, 90), (400, 4), (2048, 20)),
        ((1, 1), (1, 1), (1, 1)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_sides_are_bounded_and_nothing_is_enlarged(
    kind: str, size: tuple[int, int], thumb: tuple[int, int], view: tuple[int, int]
) -> None:
    original = encode(read_group().resize(size), kind)
    views = open_views(original)
    assert {key: image.format for key, image in views.items()} == FORMATS
    assert views[ViewKind.THUMB].size == thumb
    assert views[ViewKind.VIEW].size == views[ViewKind.VIEW_JPEG].size == view
    made = make_views(original)
    assert (made.width, made.height) == view
    assert made == make_views(original)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_views_stand_as_the_camera_was_held_and_tell_nothing_of_it(orientation: int) -> None:
    upright = read_group().resize((600, 400))
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose
    turn = undo.get(orientation)
    stored = upright if turn is None else upright.transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Make] = "Leica"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (55.0, 45.0, 21.0)
    original = encode(stored, "JPEG", quality=95, exif=exif, comment=b"Leica")
    for kind, content in make_views(original).contents.items():
        assert b"Leica" not in content
        with Image.open(BytesIO(content)) as image:
            assert not image.getexif()
            assert not {"icc_profile", "xmp", "exif", "comment"} & image.info.keys()
            expected = upright.resize(image.size)
            assert measure_distance(image.convert("RGB"), expected) < (6 if kind == "thumb" else 4)


@pytest.mark.parametrize("primaries", [ADOBE, P3])
def test_colours_are_those_that_a_profile_means(
    primaries: tuple[tuple[float, float], ...],
) -> None:

    picture = read_group().resize((800, 560))
    profile = write_rgb_profile(primaries, 2.2)
    stored = encode_colours(picture, primaries, 2.2)
    plain = make_views(encode(picture)).contents
    for kind, content in make_views(encode(stored, icc_profile=profile)).contents.items():
        with Image.open(BytesIO(content)) as image, Image.open(BytesIO(plain[kind])) as expected:
            assert measure_distance(image, expected) < 3  # of which half is WebP's


def test_the_mean_colour_is_that_of_what_is_seen() -> None:
    red = Image.new("RGB", (900, 600), (255, 0, 0))
    assert make_views(encode(red)).colour == "ff0000"
    red.paste((0, 0, 255), (450, 0, 900, 600))
    mean = make_views(encode(red)).colour
    assert mean[2:4] in {"00", "01"}
    assert all(120 < int(part, 16) < 135 for part in (mean[:2], mean[4:]))
    glass = Image.new("RGBA", (50, 50), (0, 0, 0, 0))
    assert make_views(encode(glass)).colour == "ffffff"
    assert make_views(encode(Image.new("L", (50, 50), 128))).colour == "808080"


@pytest.mark.parametrize("grain", [0, 12, 40])
def test_a_photo_s_thumb_stays_small(grain: int) -> None:
    group = read_group().resize((3000, 2000))
    grains = np.random.default_rng(0).normal(0, grain, (2000, 3000, 3))
    noisy = Image.fromarray((np.asarray(group) + grains).clip(0, 255).astype(np.uint8))
    views = make_views(encode(noisy, "JPEG", quality=92))
    assert 5_000 < len(views.contents[ViewKind.THUMB]) <= AIMED_BYTES * 1.2


@pytest.mark.parametrize("size", [(400, 400), (400, 266), (400, 3)])
def test_a_thumb_of_nothing_but_noise_is_small_too(size: tuple[int, int]) -> None:
    assert len(encode_thumb(draw_noise(*size))) <= MOST_THUMB_BYTES
    black_and_white = draw_noise(*size).convert("1").convert("RGB")
    assert len(encode_thumb(black_and_white)) <= MOST_THUMB_BYTES


@pytest.mark.parametrize(
    "original",
    [
        b"",
        b"no photo",
        encode_jpeg(read_group())[:5000],
        b"\xff\xd8\xff" * 100,
        b"RIFF1234WEBPVP8 ",
    ],
)
def test_what_is_no_photo_is_refused_and_raises_nothing_else(original: bytes) -> None:
    with pytest.raises(PhotoUnavailableError):
        make_views(original)
    assert try_views(original) is None


def test_damaged_bytes_anywhere_never_raise_anything_else() -> None:
    draw = np.random.default_rng(0)
    originals = [
        encode(read_group().resize((160, 120)), kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF")
    ]
    for original in originals:
        for _ in range(20):
            damaged = bytearray(original)
            for place in draw.integers(0, len(damaged), 5):
                damaged[place] = int(draw.integers(0, 256))
            try_views(bytes(damaged))


def test_a_raw_file_s_views_are_its_picture_s() -> None:
    picture = encode_jpeg(read_group().resize((1500, 1000)))
    assert make_views(build_cr2(picture)) == make_views(picture)
