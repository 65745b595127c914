"""A selfie: whose face counts, and when it is good enough to search with. In memory only."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.errors import PhotoUnavailableError, SelfieError
from models.vocabulary import PhotoReason, SelfieCode, SelfieFace
from tasks.close_ups import align_face, find_faces
from tasks.engine import SHORTEST_VECTOR, FaceEngine
from tasks.photos import BgrImage, decode_photo

Floats = npt.NDArray[np.float32]

# Phones' cameras have twelve million pixels and more; the detector and the recogniser see 640 and
# 112 of a side.
LONGEST_SIDE = 1280
# A face whose longer side is at least this share of the largest one's might be the guest's too.
SIMILAR_SIZE = 0.7
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
    """The face that counts. embedding: float32 (dim,), of length 1; it is never stored."""

    face: SelfieFace
    embedding: Floats


def read_selfie(content: bytes, engine: FaceEngine, max_pixels: int, chosen: int | None) -> Selfie:
    """Find and embed the face to search with: the largest, or the `chosen` one by size.

    Raises SelfieError.
    """
    photo = _shrink(_decode(content, max_pixels))
    with engine.compute():
        detections, landmarks = find_faces(engine, photo)
        faces = _describe(detections, photo)
        index = _choose(faces, detections, chosen)
        box = detections[index, :4]
        if min(box[2] - box[0], box[3] - box[1]) < SMALLEST_FACE:
            raise _refuse(SelfieCode.FACE_TOO_SMALL, faces)
        crops = align_face(engine, photo, box, landmarks[index])
        if max(measure_sharpness(crop) for crop in crops) < LEAST_SHARPNESS:
            raise _refuse(SelfieCode.FACE_TOO_BLURRED, faces)
        total = engine.embed_crops(crops).sum(axis=0)
    length = max(float(np.linalg.norm(total)), SHORTEST_VECTOR)
    return Selfie(faces[index], (total / length).astype(np.float32))


def measure_sharpness(crop: BgrImage) -> float:
    """How sharp an aligned face (S, S, 3) is: see LEAST_SHARPNESS; 0 for an even surface."""
    half = cv2.resize(crop, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(half, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var() / max(float(grey.var()), 1e-6))


def _decode(content: bytes, max_pixels: int) -> BgrImage:
    try:
        return decode_photo(content, max_pixels, enough_pixels=LONGEST_SIDE)
    except PhotoUnavailableError as error:
        code = (
            SelfieCode.TOO_MANY_PIXELS
            if error.reason == PhotoReason.TOO_MANY_PIXELS
            else SelfieCode.NOT_AN_IMAGE
        )
        raise _refuse(code) from error


def _shrink(photo: BgrImage) -> BgrImage:
    scale = LONGEST_SIDE / max(photo.shape[:2])
    if scale >= 1:
        return photo
    size = tuple(max(1, round(side * scale)) for side in photo.shape[1::-1])
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _describe(detections: Floats, photo: BgrImage) -> list[SelfieFace]:
    height, width = photo.shape[:2]
    boxes = np.clip(detections[:, :4] / [width, height, width, height], 0.0, 1.0)
    return [
        SelfieFace(box=(x1, y1, x2, y2), confidence=score)
        for (x1, y1, x2, y2), score in zip(boxes.tolist(), detections[:, 4].tolist(), strict=True)
    ]


def _choose(faces: list[SelfieFace], detections: Floats, chosen: int | None) -> int:
    if not faces:
        raise _refuse(SelfieCode.NO_FACE)
    if chosen is not None:
        if chosen >= len(faces):
            raise _refuse(SelfieCode.NO_SUCH_FACE, faces)
        return chosen
    sides = (detections[:, 2:4] - detections[:, :2]).max(axis=1)
    similar = int((sides >= SIMILAR_SIZE * sides.max()).sum())
    if similar > 1:
        raise _refuse(SelfieCode.SEVERAL_FACES, faces)
    return 0


def _refuse(code: SelfieCode, faces: list[SelfieFace] | None = None) -> SelfieError:
    return SelfieError(_SENTENCES[code], code, tuple(faces or ()))
