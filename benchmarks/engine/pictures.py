"""Photos for benchmarks: drawn ones whose faces the stand-in finds, and real ones.

Drawn: noise with a magenta marker a face. How many faces there are, and where, is known.
"""

from collections import deque
from collections.abc import Sequence
from io import BytesIO
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.engine.scrfd import CELL, MARKER_PX, SIDE
from deployments.sample_photos import PREVIEW_QUALITY, make_sample_photos

BgrPicture = npt.NDArray[np.uint8]

# Faces a photo of a wedding, as it were: 50 in 24 photos, 2.08 a photo.
FACES = (2, 1, 0, 3, 1, 2, 6, 1, 2, 4, 0, 1, 3, 2, 1, 5, 2, 1, 3, 0, 4, 1, 2, 3)
SIZES = ((640, 427), (640, 427), (427, 640), (640, 480))  # previews; width, height
# Real photos of six people, of one, of none, in an order of 24: 2.04 faces a photo.
REAL_FACES = (1, 6, 1, 0, 1, 1, 6, 1, 0, 1, 6, 1, 1, 0, 6, 1, 1, 0, 1, 6, 1, 0, 1, 6)

# A place a face, in letterboxed pixels: its box of 96 x 128 fits in, and may lie up to two cells
# further right and down. Where the marker lies in it, so that the box does.
PLACE_PX = (120, 152)
MARKER_AT_PX = (40, 56)
SHIFTS = 3
# Markers get darker from face to face, so that their scores differ and every variant of the
# engine, exact or not, orders the faces alike.
SHADES = (255, 240)


class BenchPhoto(NamedTuple):
    """A preview as JPEG, and how many faces it has."""

    jpeg: bytes
    faces: int


def draw_faces_picture(width: int, height: int, faces: int, seed: int) -> BgrPicture:
    """A picture (height, width, 3) with so many faces at places drawn by lot.

    Boxes of different faces never overlap. The background is the seed's own, so every face gets
    an embedding of its own. Raises ValueError when there are more faces than places.
    """
    random = np.random.default_rng([width, height, faces, seed])
    picture = _draw_noise(random, width, height)
    scale = max(width, height) / SIDE
    shades = np.linspace(*SHADES, num=faces)
    corners = _draw_lots(random, round(width / scale), round(height / scale), faces)
    for (x, y), shade in zip(corners, shades, strict=True):
        left, top, right, bottom = (
            round(value * scale) for value in (x, y, x + MARKER_PX, y + MARKER_PX)
        )
        picture[top:bottom, left:right] = (round(shade), 0, round(shade))
    return picture


def make_bench_photos(count: int = 24) -> list[BenchPhoto]:
    """Drawn previews of 640 pixels for the stand-in; the same bytes every time."""
    photos = []
    for number in range(count):
        width, height = SIZES[number % len(SIZES)]
        faces = FACES[number % len(FACES)]
        picture = draw_faces_picture(width, height, faces, seed=number)
        photos.append(BenchPhoto(_encode_preview(picture), faces))
    return photos


def make_real_photos(count: int = 24) -> list[BenchPhoto]:
    """Previews of 640 pixels for real packs, from photos that installed packages carry.

    Each is cropped, mirrored, darkened or turned in a way of its own; at most 24 are there.
    Raises ValueError when more are wanted.
    """
    if count > len(REAL_FACES):
        raise ValueError(f"{count} real photos are wanted, there are {len(REAL_FACES)}")
    found: dict[int, deque[bytes]] = {faces: deque() for faces in set(REAL_FACES)}
    for sample in make_sample_photos():
        if sample.faces is not None:
            found[sample.faces].append(sample.preview)
    return [BenchPhoto(found[faces].popleft(), faces) for faces in REAL_FACES[:count]]


def count_faces(photos: Sequence[BenchPhoto]) -> int:
    """The faces of all photos together."""
    return sum(photo.faces for photo in photos)


def _draw_noise(random: np.random.Generator, width: int, height: int) -> BgrPicture:
    """Soft patches of colour with a fine grain: a JPEG as heavy as a photo's."""
    coarse = random.integers(30, 200, (24, 24, 3), dtype=np.uint8)
    patches = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.int16)
    grain = random.normal(0, 8, (height, width, 1)).round().astype(np.int16)
    return np.asarray(np.clip(patches + grain, 0, 255), np.uint8)


def _draw_lots(
    random: np.random.Generator, width: int, height: int, faces: int
) -> list[tuple[int, int]]:
    """Left and top of each marker, on the detector's cells, in letterboxed pixels."""
    columns, rows = width // PLACE_PX[0], height // PLACE_PX[1]
    if faces > columns * rows:
        raise ValueError(f"{faces} faces are wanted, there is room for {columns * rows}")
    lots = random.permutation(columns * rows)[:faces]
    places = np.stack([lots % columns, lots // columns], axis=1) * PLACE_PX
    shifts = random.integers(0, SHIFTS, (faces, 2)) * CELL
    return [(int(x), int(y)) for x, y in places + MARKER_AT_PX + shifts]


def _encode_preview(picture: BgrPicture) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1])).save(
        buffer, "JPEG", quality=PREVIEW_QUALITY
    )
    return buffer.getvalue()
