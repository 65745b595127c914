"""Sample photos for the demo, made from pictures in installed packages.

The project itself contains no photos. Each sample comes with its number of faces (None if it
cannot be read), so that the demo can check its results.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

PREVIEW_SIDE_PX = 640
PREVIEW_QUALITY = 85
EXIF_ORIENTATION = 0x0112
_NO_FACES = ("coffee.png", "rocket.jpg", "chelsea.png", "page.png", "text.png")


@dataclass(frozen=True)
class SamplePhoto:
    """A preview with its original; `faces` is None for a file that cannot be read."""

    name: str
    preview: bytes
    original: bytes
    faces: int | None


def make_sample_photos() -> Iterator[SamplePhoto]:
    """About forty photos: people, landscapes, one broken file, one that is no photo."""
    yield from _vary("ceremony", read_group(), 6, _GROUP_CROPS)
    yield from _vary("portrait", read_sample("astronaut.png"), 1, _PORTRAIT_CROPS)
    for name in _NO_FACES:
        yield _make_photo(f"detail_{Path(name).stem}.jpg", read_sample(name), 0)
    whole = _make_photo("broken.jpg", read_group(), 6)
    yield SamplePhoto(whole.name, whole.preview[: len(whole.preview) // 3], whole.original, None)
    yield SamplePhoto("invoice.jpg", b"%PDF-1.7 not a photo", b"%PDF-1.7 not a photo", None)


# Shares of the picture to keep (left, top, right, bottom); every face stays whole.
_GROUP_CROPS = ((0.0, 0.0, 1.0, 1.0), (0.0, 0.04, 1.0, 1.0), (0.02, 0.0, 1.0, 0.97))
_PORTRAIT_CROPS = ((0.0, 0.0, 1.0, 1.0), (0.1, 0.0, 0.9, 0.8), (0.15, 0.0, 0.85, 0.6))
_SELFIE_CROP = (0.2, 0.0, 0.7, 0.55)


def make_selfie() -> bytes:
    """A selfie of the person in the portraits: JPEG."""
    portrait = read_sample("astronaut.png")
    width, height = portrait.size
    left, top, right, bottom = _SELFIE_CROP
    face = portrait.crop(
        (round(left * width), round(top * height), round(right * width), round(bottom * height))
    )
    return _encode(face, quality=95, orientation=1)


def _vary(
    title: str, picture: Image.Image, faces: int, crops: Sequence[tuple[float, float, float, float]]
) -> Iterator[SamplePhoto]:
    """Cropped, mirrored, darker, turned: the same people in other bytes."""
    width, height = picture.size
    looks = product(crops, (False, True), ((1.0, 1), (0.7, 1), (1.0, 6)))
    for number, (crop, mirrored, (brightness, orientation)) in enumerate(looks, 1):
        left, top, right, bottom = crop
        image = picture.crop(
            (round(left * width), round(top * height), round(right * width), round(bottom * height))
        )
        image = ImageOps.mirror(image) if mirrored else image
        image = ImageEnhance.Brightness(image).enhance(brightness)
        yield _make_photo(f"{title}_{number:02d}.jpg", image, faces, orientation)


def _make_photo(name: str, picture: Image.Image, faces: int, orientation: int = 1) -> SamplePhoto:
    """An original as a camera writes it, and the preview a photographer would make of it."""
    original = _encode(picture, quality=95, orientation=orientation)
    small = picture.copy()
    small.thumbnail((PREVIEW_SIDE_PX, PREVIEW_SIDE_PX), Image.Resampling.LANCZOS)
    preview = _encode(small, quality=PREVIEW_QUALITY, orientation=orientation)
    return SamplePhoto(name, preview, original, faces)


def _encode(picture: Image.Image, *, quality: int, orientation: int) -> bytes:
    """JPEG; a camera held upright stores its pixels lying and says so in EXIF."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    stored = picture.transpose(Image.Transpose.ROTATE_90) if orientation == 6 else picture
    buffer = BytesIO()
    stored.save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def read_group() -> Image.Image:
    """InsightFace's sample photo of six people."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import insightface

        pixels = insightface.data.get_image("t1")
    return Image.fromarray(np.ascontiguousarray(pixels[:, :, ::-1]))


def read_sample(name: str) -> Image.Image:
    """A picture that scikit-image carries."""
    import skimage

    with Image.open(Path(skimage.__file__).parent / "data" / name) as image:
        return image.convert("RGB")
