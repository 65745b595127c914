"""Views of a photo: the picture turned, its face as a close-up, its face made smaller."""

from io import BytesIO
from math import ceil, hypot

import numpy as np
import numpy.typing as npt
from PIL import Image

from tasks.images.decode import BgrImage

GREY = (127, 127, 127)  # what surrounds a turned or smaller picture
SELFIE_QUALITY = 95

Box = npt.NDArray[np.float32]


def turn_photo(photo: BgrImage, degrees: int, side: int) -> BgrImage:
    """The whole photo turned clockwise on a grey square; at any angle of the same size.

    The square is as wide as the photo's diagonal, and `side` pixels at most.
    """
    diagonal = ceil(hypot(*photo.shape[:2]))
    turned = _open(photo).rotate(-degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=GREY)
    canvas = Image.new("RGB", (diagonal, diagonal), GREY)
    canvas.paste(turned, ((diagonal - turned.width) // 2, (diagonal - turned.height) // 2))
    canvas.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _close(canvas)


def place_close_up(shape: tuple[int, ...], box: Box, share: float) -> tuple[int, int, int] | None:
    """Left, top and side of a square whose side the face fills by `share`; None: it is not there.

    shape: the photo's (H, W, …) in pixels; box: the face's x1 y1 x2 y2 in pixels. The square is
    moved into the photo where the face is near its border.
    """
    height, width = shape[:2]
    side = round(float(max(box[2] - box[0], box[3] - box[1])) / share)
    if not 1 <= side <= min(width, height):
        return None
    left = round(float(box[0] + box[2] - side) / 2)
    top = round(float(box[1] + box[3] - side) / 2)
    return min(max(left, 0), width - side), min(max(top, 0), height - side), side


def cut_close_up(photo: BgrImage, box: Box, share: float, side: int) -> BgrImage | None:
    """A picture of `side` pixels that the face fills by `share`, as `place_close_up`."""
    place = place_close_up(photo.shape, box, share)
    if place is None:
        return None
    left, top, size = place
    image = _open(photo).crop((left, top, left + size, top + size))
    return _close(image.resize((side, side), Image.Resampling.BICUBIC))


def shrink_face(photo: BgrImage, box: Box, height: int, side: int) -> BgrImage | None:
    """A grey preview of `side` pixels with the photo on it, its face `height` pixels high.

    None where the face is not larger than that, or the photo would not fit.
    """
    scale = height / max(float(box[3] - box[1]), 1.0)
    size = (max(1, round(photo.shape[1] * scale)), max(1, round(photo.shape[0] * scale)))
    if scale > 1 or max(size) > side:
        return None
    canvas = Image.new("RGB", (side, side), GREY)
    image = _open(photo).resize(size, Image.Resampling.LANCZOS)
    canvas.paste(image, ((side - size[0]) // 2, (side - size[1]) // 2))
    return _close(canvas)


def encode_selfie(photo: BgrImage) -> bytes:
    """The photo as a guest's phone would send it."""
    buffer = BytesIO()
    _open(photo).save(buffer, "JPEG", quality=SELFIE_QUALITY)
    return buffer.getvalue()


def _open(photo: BgrImage) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(photo[:, :, ::-1]))


def _close(image: Image.Image) -> BgrImage:
    return np.ascontiguousarray(np.asarray(image, dtype=np.uint8)[:, :, ::-1])
