"""Scenes for the study of preview sizes: originals of a camera's size, people at known places.

The room is a real photo without people, mirrored side by side until it fills the picture, with a
sensor's grain; into it heads are pasted at random places, none over another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.preview_sizes.faces import CutOut, Floats, resize_cut_out
from deployments.sample_photos import read_sample
from tasks.images.decode import BgrImage

WIDTH, HEIGHT = 6000, 4000
ROOMS = ("coffee.png", "rocket.jpg", "chelsea.png", "motorcycle_left.png", "brick.png", "grass.png")
TILE_WIDTH = 1500  # pixels of the scene that one copy of the room's photo fills
GRAIN = 4.0  # standard deviation of a sensor's noise, in grey levels
GRAIN_SIDE = 1009  # a prime: the repeated patch of grain falls in step with nothing
QUALITY = 92  # as cameras store
TRIES = 2000


@dataclass(frozen=True)
class KnownFace:
    """A face in a scene: who, how high in the original (pixels), and where (0..1 of the scene)."""

    height: int
    box: Floats
    who: CutOut


@dataclass(frozen=True)
class Scene:
    """An original as JPEG, and the faces that are in it."""

    original: bytes
    faces: tuple[KnownFace, ...]


def make_scene(
    number: int, people: Sequence[CutOut], heights: Sequence[int], size: tuple[int, int]
) -> Scene:
    """The `number`-th scene of `size` (width, height), with one face of each height.

    The same bytes every time; people take turns, so that over the scenes each has each height.
    Raises ValueError when the faces do not fit.
    """
    random = np.random.default_rng([number, *size, *heights])
    picture = _furnish_room(ROOMS[number % len(ROOMS)], size)
    picture = _add_grain(picture, random)
    taken: list[tuple[int, int, int, int]] = []
    faces = []
    for turn, height in enumerate(sorted(heights, reverse=True)):
        person = people[(number + turn) % len(people)]
        head = resize_cut_out(person, height)
        left, top = _find_place(random, size, head.pixels.shape[:2], taken)
        paste(picture, head, left, top)
        corner, scale = (np.array([*pair, *pair], np.float32) for pair in ((left, top), size))
        box: Floats = (head.box + corner) / scale
        faces.append(KnownFace(height, box, person))
    _, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return Scene(encoded.tobytes(), tuple(faces))


def paste(picture: BgrImage, head: CutOut, left: int, top: int) -> None:
    """Lay a head over the picture, in place."""
    height, width = head.pixels.shape[:2]
    under = picture[top : top + height, left : left + width]
    blended = under + head.opacity * (head.pixels.astype(np.float32) - under)
    under[:] = np.clip(blended.round(), 0, 255).astype(np.uint8)


def _find_place(
    random: np.random.Generator,
    size: tuple[int, int],
    shape: tuple[int, ...],
    taken: list[tuple[int, int, int, int]],
) -> tuple[int, int]:
    """Left and top of a free rectangle (height, width); it is then taken."""
    (width, height), (down, across) = size, shape
    for _ in range(TRIES if across <= width and down <= height else 0):
        left = int(random.integers(0, width - across + 1))
        top = int(random.integers(0, height - down + 1))
        right, bottom = left + across, top + down
        if all(right <= a or c <= left or bottom <= b or d <= top for a, b, c, d in taken):
            taken.append((left, top, right, bottom))
            return left, top
    raise ValueError(f"no room is left for a head of {across}x{down} pixels")


def _furnish_room(name: str, size: tuple[int, int]) -> BgrImage:
    """A photo without people, mirrored side by side: a picture of `size` without seams."""
    photo = np.asarray(read_sample(name), dtype=np.uint8)[:, :, ::-1]
    tile_height = round(TILE_WIDTH * photo.shape[0] / photo.shape[1])
    tile = cv2.resize(photo, (TILE_WIDTH, tile_height), interpolation=cv2.INTER_CUBIC)
    below = max(0, size[1] - tile_height), max(0, size[0] - TILE_WIDTH)
    filled = np.pad(tile, ((0, below[0]), (0, below[1]), (0, 0)), "symmetric")
    return np.ascontiguousarray(filled[: size[1], : size[0]])


def _add_grain(picture: BgrImage, random: np.random.Generator) -> BgrImage:
    height, width = picture.shape[:2]
    patch = random.normal(0, GRAIN, (GRAIN_SIDE, GRAIN_SIDE, 1)).round().astype(np.int16)
    copies = (-(-height // GRAIN_SIDE), -(-width // GRAIN_SIDE), 3)
    for sign, add in ((1, cv2.add), (-1, cv2.subtract)):  # both stop at black and at white
        part = np.clip(sign * patch, 0, 255).astype(np.uint8)
        picture = np.asarray(add(picture, np.tile(part, copies)[:height, :width]), np.uint8)
    return picture
