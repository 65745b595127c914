"""The face in a guest's selfie: found, checked for quality and embedded, only in memory.

A selfie may be tilted or lie on its side: each of its faces is looked at in all directions. An
event's faces come from small previews. So a large face in a selfie is aligned at several scales
(`align_at_scales`), and the embeddings are averaged.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from models.errors import PhotoUnavailableError, SelfieError
from models.vocabulary import PhotoReason, SelfieCode, SelfieFace
from tasks.faces.engine import SHORTEST_VECTOR, FaceEngine, Floats
from tasks.faces.limits import PixelBudget
from tasks.faces.tiles import GREY, SeenFace, turn_upright
from tasks.images.decode import BgrImage, decode_photo

# Phones' cameras have twelve million pixels and more; the detector and the recogniser see 640 and
# 112 of a side.
LONGEST_SIDE = 1280
# Decoded at most. A JPEG is decoded at a share of its size; what is larger than this is a PNG or
# WebP that no camera makes, of half a gigabyte while it is decoded.
MOST_PIXELS = 25_000_000
# A face whose longer side is at least this share of the largest one's might be the guest's too.
SIMILAR_SIZE = 0.7
# Unless it scores so much less than the best: it is then a head turned away, or no face at all.
MOST_BELOW_BEST = 0.1
# Measured with opencv_zoo on the seven people of the sample photos, each against their own previews
# (other people reach 0.35). By the face's width in pixels, the least similarity was: 40: 0.67,
# 24: 0.61, 20: 0.57, 16: 0.45, 12: 0.33.
SMALLEST_FACE = 24  # pixels, the box's shorter side
# Variance of the Laplacian over variance of the brightness, so that darkness and contrast do not
# count; on half the aligned crop, since bilinear enlarging leaves its own edges in the finest
# pixels. Sharp faces have 0.22 to 0.62, those 24 pixels wide 0.06 to 0.12. Blurred by a share of a
# face's width: 0.03 has 0.028 to 0.045 and is found (0.62 or more), 0.05 has 0.011 to 0.023 and is
# mostly not (0.21 to 0.56), 0.06 has 0.009 to 0.020 and never is (0.38 at most).
LEAST_SHARPNESS = 0.02

# From here on a selfie tells no more by being larger or sharper.
LARGE_ENOUGH = 112  # pixels, the box's longer side
SHARP_ENOUGH = 0.1  # as LEAST_SHARPNESS
LEAST_QUALITY = 1e-3

CANVAS_SIDE = 640  # pixels: the detector's own, so that nothing is scaled again
TILE_SIDE = CANVAS_SIDE // 2
FACE_SIZES = (40, 56, 80, 112)  # pixels: a face's longer side in each of the canvas's tiles
# What faces are taken from: larger ones would be thinned out, not averaged, on their way to 112.
LARGEST_FACE = 224
LEAST_OVERLAP = 0.3  # intersection over union: boxes differ with the size, faces do not move

_SENTENCES = {
    SelfieCode.NOT_AN_IMAGE: "This file is no picture that can be read: send a JPEG, PNG or WebP.",
    SelfieCode.TOO_MANY_PIXELS: "This picture has too many pixels: send a smaller one.",
    SelfieCode.NO_FACE: "There is no face in this picture: look into the camera, in good light.",
    SelfieCode.SEVERAL_FACES: "There are several faces: say with `face` which one is yours.",
    SelfieCode.NO_SUCH_FACE: "This picture does not have so many faces: choose another.",
    SelfieCode.FACE_TOO_SMALL: "The face is too small: come closer to the camera.",
    SelfieCode.FACE_TOO_BLURRED: "The face is blurred: hold still, in good light, and try again.",
}


@dataclass(frozen=True)
class Selfie:
    """The face that counts. embedding: float32 (dim,), of length 1; it is never stored.

    quality: above 0; the weight of this selfie beside others of the same person.
    """

    face: SelfieFace
    embedding: Floats
    quality: float = 1.0


def read_selfie(content: bytes, engine: FaceEngine, max_pixels: int, chosen: int | None) -> Selfie:
    """Find and embed the face to search with: the largest, or the `chosen` one by size.

    Raises SelfieError.
    """
    photo = _decode(content, max_pixels, engine.budget)
    with engine.computing:
        found = sorted(engine.find_faces(photo, doubt_all=True), key=_measure_area, reverse=True)
        faces = _describe_faces(found, photo)
        index = _choose(faces, found, chosen)
        face = found[index]
        if (face.box[2:] - face.box[:2]).min() < SMALLEST_FACE:
            raise _refuse(SelfieCode.FACE_TOO_SMALL, faces)
        crops = align_at_scales(engine, *_make_upright(photo, face))
        sharpness = max(measure_sharpness(crop) for crop in crops)
        if sharpness < LEAST_SHARPNESS:
            raise _refuse(SelfieCode.FACE_TOO_BLURRED, faces)
        total = engine.embed_crops(mirror_every_second(crops)).sum(axis=0)
    length = max(float(np.linalg.norm(total)), SHORTEST_VECTOR)
    quality = measure_quality(face, sharpness)
    return Selfie(faces[index], (total / length).astype(np.float32), quality)


def mirror_every_second(crops: list[BgrImage]) -> list[BgrImage]:
    """The crops, every second one mirrored: a face's sides tell the recogniser different things.

    On LFW the mean of two and two finds what that of four and their four mirror images does.
    """
    return [
        np.ascontiguousarray(crop[:, ::-1]) if number % 2 else crop
        for number, crop in enumerate(crops)
    ]


def measure_quality(face: SeenFace, sharpness: float) -> float:
    """The weight of a face, above 0 to 1: its score, less where it is small or blurred."""
    size = min(1.0, face.side / LARGE_ENOUGH)
    return max(face.score * size * min(1.0, sharpness / SHARP_ENOUGH), LEAST_QUALITY)


def measure_sharpness(crop: BgrImage) -> float:
    """The sharpness of an aligned face (S, S, 3), as LEAST_SHARPNESS; 0 for an even surface."""
    half = cv2.resize(crop, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(half, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var() / max(float(grey.var()), 1e-6))


def align_at_scales(
    engine: FaceEngine, photo: BgrImage, box: Floats, landmarks: Floats
) -> list[BgrImage]:
    """Multi-scale alignment: the face aligned once for each size it was found again at.

    On a face that fills the frame the detector puts its landmarks elsewhere than on the same face
    in a preview, and the recogniser then sees another crop: on the sample photos a close-up's
    similarity to its own person fell by up to 0.4. So the face is looked at again at the sizes
    that previews have, all on one canvas and so in one detection.

    box: x1 y1 x2 y2 in pixels; landmarks: (5, 2), used where it is found at none of the sizes.
    Returns BGR squares of the recogniser's side.
    """
    shrink = np.float32(min(1.0, LARGEST_FACE / max(box[2] - box[0], box[3] - box[1], 1.0)))
    small, small_box = _resize(photo, float(shrink)), box * shrink
    found = _find_again(engine, small, small_box)
    return [engine.align(small, points) for points in found or [landmarks * shrink]]


def _decode(content: bytes, max_pixels: int, budget: PixelBudget) -> BgrImage:
    """The picture, its longest side at most LONGEST_SIDE. Raises SelfieError."""

    def reserve(pixels: int) -> None:
        if pixels > MOST_PIXELS:
            raise PhotoUnavailableError(PhotoReason.TOO_MANY_PIXELS)
        budget.reserve(pixels)

    try:
        photo = decode_photo(content, max_pixels, reserve, LONGEST_SIDE)
        return _resize(photo, min(1.0, LONGEST_SIDE / max(photo.shape[:2])))
    except PhotoUnavailableError as error:
        too_large = error.reason == PhotoReason.TOO_MANY_PIXELS
        code = SelfieCode.TOO_MANY_PIXELS if too_large else SelfieCode.NOT_AN_IMAGE
        raise _refuse(code) from error
    finally:
        budget.release()


def _make_upright(photo: BgrImage, face: SeenFace) -> tuple[BgrImage, Floats, Floats]:
    """The photo in which the face stands upright; its box and landmarks there."""
    if face.tilt:
        photo, face = turn_upright(photo, face)
    return photo, face.box, face.landmarks


def _measure_area(face: SeenFace) -> float:
    return float(np.prod(face.box[2:] - face.box[:2]))


def _describe_faces(found: list[SeenFace], photo: BgrImage) -> list[SelfieFace]:
    height, width = photo.shape[:2]
    described = []
    for face in found:
        x1, y1, x2, y2 = np.clip(face.box / [width, height, width, height], 0.0, 1.0).tolist()
        described.append(SelfieFace(box=(x1, y1, x2, y2), confidence=face.score))
    return described


def _choose(faces: list[SelfieFace], found: list[SeenFace], chosen: int | None) -> int:
    if not faces:
        raise _refuse(SelfieCode.NO_FACE)
    if chosen is not None:
        if chosen >= len(faces):
            raise _refuse(SelfieCode.NO_SUCH_FACE, faces)
        return chosen
    best = max(face.score for face in found)
    clear = [index for index, face in enumerate(found) if face.score >= best - MOST_BELOW_BEST]
    largest = max(found[index].side for index in clear)
    if sum(found[index].side >= SIMILAR_SIZE * largest for index in clear) > 1:
        raise _refuse(SelfieCode.SEVERAL_FACES, faces)
    return clear[0]


def _refuse(code: SelfieCode, faces: list[SelfieFace] | None = None) -> SelfieError:
    return SelfieError(_SENTENCES[code], code, tuple(faces or ()))


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
        best = _pick_detection(detections, box * scale + np.tile(offset, 2))
        if best is not None:
            found.append(((landmarks[best] - offset) / scale).astype(np.float32))
    return found


def _pick_detection(detections: Floats, expected: Floats) -> int | None:
    """The detection that overlaps the expected box most, and by LEAST_OVERLAP at least."""
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


def _paste(canvas: BgrImage, photo: BgrImage, scale: float, shift: tuple[float, float]) -> Floats:
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
