"""A thousand previews of two real people each, no two of the same bytes."""

from io import BytesIO
from pathlib import Path

import skimage
from PIL import Image, ImageOps

WIDTH, HEIGHT = 640, 427


def make_pairs(count: int) -> list[bytes]:
    """JPEGs (640x427) with two faces: the portrait that scikit-image carries, beside its mirror."""
    with Image.open(Path(skimage.__file__).parent / "data" / "astronaut.png") as image:
        portrait = image.convert("RGB")
    return [_make_pair(portrait, number) for number in range(count)]


def _make_pair(portrait: Image.Image, number: int) -> bytes:
    left = portrait.crop((0, 0, 512 - number % 20, 512 - number % 30))
    side = (WIDTH // 2, HEIGHT)
    pair = Image.new("RGB", (WIDTH, HEIGHT))
    pair.paste(left.resize(side, Image.Resampling.BILINEAR), (0, 0))
    pair.paste(ImageOps.mirror(left).resize(side, Image.Resampling.BILINEAR), (WIDTH // 2, 0))
    buffer = BytesIO()
    pair.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
