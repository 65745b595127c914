"""Faces of a selfie: found also where they fill the frame, and embedded as they look in previews.

An event's faces come from small previews. The same detector puts its landmarks elsewhere on a face
that fills the frame, and the recogniser then sees another crop: on the sample photos a close-up's
similarity to its own person fell by up to 0.4. So the face is looked at again at four sizes that
previews have, all on one canvas and so in one detection, and their embeddings are averaged.
"""

import cv2
import numpy as np
import numpy.typing as npt

from tasks.engine import NO_DETECTIONS, FaceEngine
from tasks.photos import BgrImage

Floats = npt.NDArray[np.float32]

CANVAS_SIDE = 640  # pixels: the detector's own, so that nothing is scaled again
TILE_SIDE = CANVAS_SIDE // 2
FACE_SIZES = (40, 56, 80, 112)  # pixels: a face's longer side in each of the canvas's tiles
# What faces are taken from: larger ones would be thinned out, not averaged, on their way to 112.
LARGEST_FACE = 224
GREY = 127
# Shares of the canvas that the whole photo takes where it shows no face at its full size.
SMALLER = (0.5, 0.25)


def find_faces(engine: FaceEngine, photo: BgrImage) -> tuple[Floats, Floats]:
    """As FaceEngine.detect, largest face first; again at a smaller size when nothing is found."""
    detections, landmarks = engine.detect(photo)
    for share in SMALLER:
        if len(detections):
            break
        detections, landmarks = _detect_smaller(engine, photo, share)
    sides = detections[:, 2:4] - detections[:, :2]
    order = np.argsort(-sides[:, 0] * sides[:, 1], kind="stable")
    return detections[order], landmarks[order]


def _detect_smaller(engine: FaceEngine, photo: BgrImage, share: float) -> tuple[Floats, Floats]:
    scale = CANVAS_SIDE * share / max(photo.shape[:2])
    offset = CANVAS_SIDE * (1 - share) / 2
    canvas = np.full((CANVAS_SIDE, CANVAS_SIDE, 3), GREY, np.uint8)
    _paste(canvas, photo, scale, (offset, offset))
    detections, landmarks = engine.detect(canvas)
    if not len(detections):
        return NO_DETECTIONS
    detections[:, :4] = (detections[:, :4] - offset) / scale
    return detections, (landmarks - np.float32(offset)) / np.float32(scale)


def align_face(
    engine: FaceEngine, photo: BgrImage, box: Floats, landmarks: Floats
) -> list[BgrImage]:
    """The face aligned once for each size it was found again at; by `landmarks` if at none.

    box: x1 y1 x2 y2 in pixels; landmarks: (5, 2). Returns BGR squares of the recogniser's side.
    """
    shrink = np.float32(min(1.0, LARGEST_FACE / max(box[2] - box[0], box[3] - box[1], 1.0)))
    small, small_box = _resize(photo, float(shrink)), box * shrink
    found = _find_again(engine, small, small_box)
    return [engine.align(small, points) for points in found or [landmarks * shrink]]


def _find_again(engine: FaceEngine, photo: BgrImage, box: Floats) -> list[Floats]:
    """The face's landmarks (5, 2) as the detector sees them at each size; those it misses left out.

    Each tile has the face in its middle, and what is around it as far as the photo goes.
    """
    canvas = np.full((CANVAS_SIDE, CANVAS_SIDE, 3), GREY, np.uint8)
    middle, side = (box[:2] + box[2:4]) / 2, max(box[2] - box[0], box[3] - box[1])
    tiles = []
    for number, size in enumerate(FACE_SIZES):
        corner = np.array([number % 2, number // 2], np.float32) * TILE_SIDE
        scale = size / side
        x, y = corner.astype(int)
        tile = canvas[y : y + TILE_SIDE, x : x + TILE_SIDE]
        shift = TILE_SIDE / 2 - middle * scale
        shift = _paste(tile, photo, float(scale), (float(shift[0]), float(shift[1])))
        tiles.append((corner + shift, scale))
    detections, landmarks = engine.detect(canvas)
    found = []
    for offset, scale in tiles:
        best = _pick(detections, box * scale + np.tile(offset, 2))
        if best is not None:
            found.append(((landmarks[best] - offset) / scale).astype(np.float32))
    return found


def _pick(detections: Floats, expected: Floats) -> int | None:
    """The detection that lies over the expected box more than any other, and by half at least."""
    low = np.maximum(detections[:, :2], expected[:2])
    high = np.minimum(detections[:, 2:4], expected[2:4])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    union = (
        np.prod(detections[:, 2:4] - detections[:, :2], axis=1)
        + np.prod(expected[2:4] - expected[:2])
        - shared
    )
    overlaps = shared / np.maximum(union, 1)
    return int(np.argmax(overlaps)) if len(overlaps) and overlaps.max() >= LEAST_OVERLAP else None


LEAST_OVERLAP = 0.3  # intersection over union: boxes differ with the size, faces do not move


def _paste(
    canvas: BgrImage, photo: BgrImage, scale: float, shift: tuple[float, float]
) -> npt.NDArray[np.float32]:
    """Draw the part of the photo that the canvas shows, scaled and then shifted by (x, y) pixels.

    Returns the shift that was used: whole pixels, where the scaled photo's corner lies.
    """
    height, width = canvas.shape[:2]
    left, top = (round(value) for value in shift)
    # Only what is shown is scaled: a face in a large photo may be a thousandth of it.
    x1, y1 = (max(0, int(-value / scale)) for value in (left, top))
    x2 = min(photo.shape[1], int((width - left) / scale) + 1)
    y2 = min(photo.shape[0], int((height - top) / scale) + 1)
    if x2 > x1 and y2 > y1:
        part = _resize(photo[y1:y2, x1:x2], scale)
        x, y = left + round(x1 * scale), top + round(y1 * scale)
        part = part[max(0, -y) : height - y, max(0, -x) : width - x]
        x, y = max(0, x), max(0, y)
        canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
    return np.array([left, top], np.float32)


def _resize(photo: BgrImage, scale: float) -> BgrImage:
    if scale == 1.0:
        return photo
    size = tuple(max(1, round(side * scale)) for side in photo.shape[1::-1])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(photo, size, interpolation=method), dtype=np.uint8)
