"""Sights of faces: pictures drawn turned and scaled, and what is found in them mapped back.

Affine matrices (2, 3) map pixels of the photo to pixels of what is drawn. Turns, directions and
tilts are degrees clockwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tasks.images.decode import BgrImage
from tasks.packs.registry import SMALL_DET_SIZE

Floats: TypeAlias = npt.NDArray[np.float32]
Affine: TypeAlias = npt.NDArray[np.float64]
# A picture -> float32 (F, 5), x1 y1 x2 y2 in pixels and the score; landmarks (F, 5, 2).
Detect: TypeAlias = Callable[[BgrImage], tuple[Floats, Floats]]

SMALL_SIDE = SMALL_DET_SIZE  # pixels: the square of a second look
GREY = 127
_BACKGROUND = (GREY, GREY, GREY)
SMALLEST_HALVED = 4  # pixels: a strip is not halved to nothing
# A detection is a tile's face: so far from its middle at most, and of about the size that was
# drawn, both as shares of that size.
_OFFSET, _SMALLEST, _LARGEST = 0.4, 0.5, 1.7


@dataclass(frozen=True)
class SeenFace:
    """A face: its box x1 y1 x2 y2 and five landmarks (5, 2), in pixels of the photo as it is.

    tilt: the turn that makes it stand upright, -180 to 180; 0 where the first look was good enough.
    """

    box: Floats
    score: float
    landmarks: Floats
    tilt: float = 0.0

    @property
    def centre(self) -> Floats:
        """The middle of its box."""
        return np.asarray((self.box[:2] + self.box[2:]) / 2, np.float32)

    @property
    def side(self) -> float:
        """Its longer side, in pixels."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1], 1.0))


@dataclass(frozen=True)
class Sight:
    """A face as it is seen in one direction and size; landmarks in pixels of the photo."""

    score: float
    landmarks: Floats


@dataclass(frozen=True)
class FaceLook:
    """A look at one face: turned by `direction`, its longer side drawn with `size` pixels."""

    face: SeenFace
    direction: float
    size: int


@dataclass(frozen=True)
class _Part:
    """A part of the photo: where its corner was, and its scale."""

    pixels: BgrImage
    corner: Floats
    scale: float


class Halves:
    """A photo in its size, a half of it, a quarter and so on, each made when it is first drawn.

    What is drawn smaller is averaged first, or its pixels are noise; all looks share the halves.
    """

    def __init__(self, photo: BgrImage) -> None:
        self.photo = photo
        self._levels = [photo]

    def cut_out(self, box: tuple[int, int, int, int], scale: float) -> _Part:
        """The part x1 y1 x2 y2, as small as may be to be drawn at `scale`."""
        level = self._find_level(scale)
        own = 0.5**level
        x1, y1, x2, y2 = (value >> level for value in box)
        pixels = self._levels[level][y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)]
        # Pixels are averaged around their middles, so a half begins half a pixel later.
        corner = np.array([x1, y1], np.float32) / own + np.float32(0.5 / own - 0.5)
        return _Part(pixels, corner, own)

    def _find_level(self, scale: float) -> int:
        import cv2  # heavy: only where faces are looked for

        level = 0
        while 0.5 ** (level + 1) >= scale and min(self._levels[level].shape[:2]) >= SMALLEST_HALVED:
            if len(self._levels) == level + 1:
                last = self._levels[level]
                height, width = (side // 2 for side in last.shape[:2])
                even = last[: height * 2, : width * 2]
                half = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
                self._levels.append(np.asarray(half, np.uint8))
            level += 1
        return level


@dataclass(frozen=True)
class _Tile:
    """A place of a square: what is drawn around `centre`, its face `size` pixels large.

    affine: from the photo to the square.
    """

    affine: Affine
    centre: tuple[float, float]
    size: int


def list_faces(found: tuple[Floats, Floats]) -> list[SeenFace]:
    """What a detector has found, as faces."""
    rows = zip(*found, strict=True)
    return [SeenFace(row[:4], float(row[4]), points) for row, points in rows]


def fold_turn(degrees: float) -> float:
    """The same turn, from -180 to 180."""
    return float((degrees + 180) % 360 - 180)


def turn_photo(photo: Halves, turn: float, share: float = 1.0) -> tuple[BgrImage, Affine]:
    """The whole photo, turned, in the middle of a small square; share: what it takes of its side.

    Returns the square and the affine to it.
    """
    height, width = photo.photo.shape[:2]
    cosine, sine = abs(np.cos(np.radians(turn))), abs(np.sin(np.radians(turn)))
    longest = max(width * cosine + height * sine, width * sine + height * cosine)
    scale = SMALL_SIDE * share / longest
    part = photo.cut_out((0, 0, width, height), scale)
    affine = _place(part, (width / 2, height / 2), turn, scale, (SMALL_SIDE / 2, SMALL_SIDE / 2))
    square = _warp(part.pixels, affine, (SMALL_SIDE, SMALL_SIDE))
    return square, _to_photo(part, affine)


def turn_by_quarters(photo: BgrImage, turn: int) -> tuple[BgrImage, Affine]:
    """The photo turned by 90, 180 or 270 degrees, pixel by pixel, and the affine to it."""
    height, width = photo.shape[:2]
    affine = _build_affine(turn, 1.0).round()
    affine[:, 2] = {90: (height, 0), 180: (width, height), 270: (0, width)}[turn]
    return np.ascontiguousarray(np.rot90(photo, -turn // 90)), affine


def turn_upright(photo: BgrImage, face: SeenFace) -> tuple[BgrImage, SeenFace]:
    """The photo turned by the face's tilt, nothing cut off, and the face in it."""
    height, width = photo.shape[:2]
    affine = _build_affine(face.tilt, 1.0)
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ affine[:, :2].T
    low, high = corners.min(axis=0), corners.max(axis=0)
    affine[:, 2] = -low
    sides = (max(1, round(float(high[0] - low[0]))), max(1, round(float(high[1] - low[1]))))
    centre = affine[:, :2] @ face.centre + affine[:, 2]
    half = (face.box[2:] - face.box[:2]) / 2
    box = np.concatenate([centre - half, centre + half]).astype(np.float32)
    return _warp(photo, affine, sides), SeenFace(box, face.score, _apply(affine, face.landmarks))


def map_back(face: SeenFace, affine: Affine, turn: float) -> SeenFace:
    """A face of a turned picture in the photo's own pixels.

    Its box keeps its sides; they change places where it lies rather than stands.
    """
    back = _invert(affine)
    half = (face.box[2:] - face.box[:2]) / 2 * np.hypot(*back[0, :2])
    if round(turn / 90) % 2:
        half = half[::-1]
    centre = back[:, :2] @ face.centre + back[:, 2]
    box = np.concatenate([centre - half, centre + half]).astype(np.float32)
    return SeenFace(box, face.score, _apply(back, face.landmarks), fold_turn(face.tilt + turn))


def look_at_faces(
    detect: Detect, photo: Halves, looks: Sequence[FaceLook], row: int
) -> list[Sight | None]:
    """What each look sees, None where there is no face; a small square shows row x row of them."""
    sights: list[Sight | None] = []
    width = SMALL_SIDE // row
    parts: dict[int, _Part] = {}  # a face's looks are mostly several
    for first in range(0, len(looks), row * row):
        canvas = np.full((SMALL_SIDE, SMALL_SIDE, 3), GREY, np.uint8)
        tiles = []
        for number, look in enumerate(looks[first : first + row * row]):
            face, scale = look.face, look.size / look.face.side
            part = parts.get(id(face))
            if part is None:
                part = parts[id(face)] = _cut_out(photo, face, scale, width)
            y, x = (place * width for place in divmod(number, row))
            centre = (float(face.centre[0]), float(face.centre[1]))
            affine = _place(part, centre, look.direction, scale, (width / 2, width / 2))
            canvas[y : y + width, x : x + width] = _warp(part.pixels, affine, (width, width))
            affine = _to_photo(part, affine)
            affine[:, 2] += (x, y)
            tiles.append(_Tile(affine, (x + width / 2, y + width / 2), look.size))
        sights += _read_tiles(detect(canvas), tiles)
    return sights


def _read_tiles(found: tuple[Floats, Floats], tiles: Sequence[_Tile]) -> list[Sight | None]:
    """Each tile's best detection, in the middle of it and of about the expected size."""
    detections, landmarks = found
    middles = (detections[:, :2] + detections[:, 2:4]) / 2
    sides = (detections[:, 2:4] - detections[:, :2]).max(axis=1, initial=0.0)
    centres = np.array([tile.centre for tile in tiles], np.float32)
    sizes = np.array([tile.size for tile in tiles], np.float32)[:, None]
    offsets = np.abs(middles - centres[:, None]).max(axis=2, initial=0.0)
    fits = (offsets < _OFFSET * sizes) & (sides > _SMALLEST * sizes) & (sides < _LARGEST * sizes)
    scores = np.where(fits, detections[:, 4], 0.0)
    sights: list[Sight | None] = []
    for tile, own in zip(tiles, scores, strict=True):
        best = int(own.argmax()) if len(own) else 0
        if not len(own) or not own[best]:
            sights.append(None)
            continue
        points = _apply(_invert(tile.affine), landmarks[best])
        sights.append(Sight(float(own[best]), points))
    return sights


def _cut_out(photo: Halves, face: SeenFace, scale: float, width: int) -> _Part:
    """The face and what a tile shows around it."""
    height, across = photo.photo.shape[:2]
    reach = 0.75 / scale * width  # more than half the tile, in any direction
    x1, y1 = (max(0, int(value - reach)) for value in face.centre)
    x2, y2 = (max(1, int(value + reach) + 1) for value in face.centre)
    return photo.cut_out(
        (min(x1, across), min(y1, height), min(x2, across), min(y2, height)), scale
    )


def _place(
    part: _Part, middle: tuple[float, float], turn: float, scale: float, place: tuple[float, float]
) -> Affine:
    """The affine from a part's pixels that draws the photo's point `middle` at `place`."""
    affine = _build_affine(turn, scale / part.scale)
    affine[:, 2] = place - affine[:, :2] @ ((np.array(middle) - part.corner) * part.scale)
    return affine


def _to_photo(part: _Part, affine: Affine) -> Affine:
    """The same affine from the photo's own pixels."""
    turned = affine[:, :2] * part.scale
    return np.column_stack([turned, affine[:, 2] - turned @ part.corner])


def _build_affine(turn: float, scale: float) -> Affine:
    cosine, sine = np.cos(np.radians(turn)) * scale, np.sin(np.radians(turn)) * scale
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0]])


def _warp(picture: BgrImage, affine: Affine, sides: tuple[int, int]) -> BgrImage:
    import cv2  # heavy: only where faces are looked for

    drawn = cv2.warpAffine(picture, affine, sides, flags=cv2.INTER_LINEAR, borderValue=_BACKGROUND)
    return np.asarray(drawn, np.uint8)


def _invert(affine: Affine) -> Affine:
    """The inverse of a turn with a scale: its transpose, by the square of the scale."""
    back = affine[:, :2].T / (affine[0, 0] ** 2 + affine[1, 0] ** 2)
    return np.hstack([back, -(back @ affine[:, 2:])])


def _apply(affine: Affine, points: Floats) -> Floats:
    return np.asarray(points @ affine[:, :2].T + affine[:, 2], np.float32)
