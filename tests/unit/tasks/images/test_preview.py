"""Previews of originals: small, upright, silent about the camera, the same every time."""

from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from models.errors import PhotoUnavailableError
from models.vocabulary import PhotoReason
from tasks.images.preview import PreviewRecipe, make_preview
from tests.support.photos import encode_jpeg, read_sample


def open_preview(original: bytes, longest_side: int = 640) -> Image.Image:
    """The preview, read back."""
    return Image.open(BytesIO(make_preview(original, PreviewRecipe(longest_side))))


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """The picture as a file."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((3000, 2000), (640, 427)),
        ((2000, 3000), (427, 640)),
        ((6400, 10), (640, 1)),
        ((300, 200), (300, 200)),
    ],
)
def test_the_longest_side_is_bounded_and_small_ones_stay(
    kind: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    preview = open_preview(encode(Image.new("RGB", size, "teal"), kind))
    assert (preview.format, preview.mode, preview.size) == ("JPEG", "RGB", expected)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_preview_looks_as_the_photo_does(orientation: int) -> None:
    photo = read_sample("astronaut.png")
    preview = open_preview(encode_jpeg(photo, orientation=orientation), 256)
    expected = photo.resize((256, 256), Image.Resampling.LANCZOS)
    difference = np.abs(np.asarray(preview, np.int16) - np.asarray(expected, np.int16))
    assert difference.mean() < 4


def test_nothing_the_camera_wrote_down_is_kept() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Leica"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (55.0, 45.0, 21.0)
    original = encode(read_sample("astronaut.png"), "JPEG", exif=exif, comment=b"Moscow")
    preview = make_preview(original, PreviewRecipe(640))
    assert b"Leica" in original
    assert not [word for word in (b"Leica", b"Exif", b"Moscow") if word in preview]
    assert not Image.open(BytesIO(preview)).getexif()


def test_a_preview_carries_no_profile() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = read_sample("astronaut.png")
    preview = open_preview(encode(photo, "JPEG", icc_profile=profile))
    assert "icc_profile" not in preview.info


def test_the_same_original_gives_the_same_bytes() -> None:
    original = encode_jpeg(read_sample("astronaut.png"))
    recipe = PreviewRecipe(320)
    assert make_preview(original, recipe) == make_preview(original, recipe)


@pytest.mark.parametrize(
    ("original", "reason"),
    [
        (b"", PhotoReason.EMPTY),
        (b"GIF89a, not a photo", PhotoReason.NOT_AN_IMAGE),
        (encode_jpeg(Image.new("RGB", (400, 400)))[:500], PhotoReason.TRUNCATED),
    ],
)
def test_what_cannot_be_read_has_its_reason(original: bytes, reason: PhotoReason) -> None:
    with pytest.raises(PhotoUnavailableError) as refusal:
        make_preview(original, PreviewRecipe(640))
    assert refusal.value.reason == reason


def test_the_decoder_is_asked_for_a_fraction_of_a_large_jpegs_pixels() -> None:
    reserved: list[int] = []
    make_preview(
        encode(Image.new("RGB", (8000, 6000)), "JPEG"), PreviewRecipe(640), reserved.append
    )
    assert reserved == [1000 * 750]


def test_a_decoder_that_fails_in_an_unknown_way_is_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError

    monkeypatch.setattr("tasks.images.preview.decode_picture", fail)
    with pytest.raises(PhotoUnavailableError) as refusal:
        make_preview(b"", PreviewRecipe(640))
    assert refusal.value.reason == PhotoReason.UNPROCESSABLE
