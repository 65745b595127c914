"""Real photos for tests, from what installed packages carry; none is committed.

Numbers of faces are what `opencv_zoo` finds in them at its threshold.
"""

import warnings
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

GROUP_FACES = 6  # InsightFace's sample photo t1
PORTRAIT_FACES = 1  # scikit-image's astronaut


@lru_cache(maxsize=1)
def read_group() -> Image.Image:
    """A photo of six people."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import insightface

        return Image.fromarray(np.ascontiguousarray(insightface.data.get_image("t1")[:, :, ::-1]))


@lru_cache(maxsize=8)
def read_sample(name: str) -> Image.Image:
    """One of scikit-image's pictures, such as astronaut.png (one face) or coffee.png (none)."""
    import skimage

    with Image.open(Path(skimage.__file__).parent / "data" / name) as image:
        return image.convert("RGB")


def encode_jpeg(image: Image.Image, *, quality: int = 90, orientation: int | None = None) -> bytes:
    """The picture as JPEG; with `orientation` stored turned, and EXIF saying how to mend it."""
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
        image = image.transpose(_INVERSE[orientation])
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality, exif=exif)
    return buffer.getvalue()


def vary(image: Image.Image, index: int) -> bytes:
    """The `index`-th different JPEG of a picture: the same faces, other bytes."""
    picture = ImageOps.mirror(image) if index % 2 else image
    return encode_jpeg(picture, quality=80 + index % 15) + index.to_bytes(4, "big")


_INVERSE = {
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


def write_exif(
    moment: str | None,
    *,
    offset: str | None = None,
    fraction: str | None = None,
    camera: tuple[str, str] = ("Canon", "Canon EOS R6"),
    serial: str | None = None,
) -> Image.Exif:
    """EXIF as a camera writes it; `moment` as "2026:06:20 14:05:00"."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = camera
    own = exif.get_ifd(0x8769)
    values = {0x9003: moment, 0x9011: offset, 0x9291: fraction, 0xA431: serial}
    own.update({tag: value for tag, value in values.items() if value is not None})
    return exif


def encode_with_exif(image: Image.Image, exif: Image.Exif, kind: str = "JPEG") -> bytes:
    """The picture with these notes, in a format that Pillow writes."""
    buffer = BytesIO()
    image.save(buffer, kind, exif=exif)
    return buffer.getvalue()
