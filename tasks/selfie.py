"""A selfie: whose face counts, and when it is good enough to search with. In memory only."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from models.errors import PhotoUnavailableError, SelfieCode, SelfieError, SelfieFace
from models.tables import PhotoReason
from tasks.close_ups import align_face, find_faces
from tasks.engine import SHORTEST_VECTOR, FaceEngine
from tasks.photos import BgrImage, decode_photo

Floats = npt.NDArray[np.float32]

# Phones' cameras have twelve million pixels and more; the detector and the recogniser see 640 and
# 112 of a side.
LONGEST_SIDE = 1280
# A face whose longer side is at least this share of the largest one's might be the guest's too.
SIMILAR_SIZE = 0.7
# Measured on the seven people of the sample photos with opencv_zoo, each scaled down: 20 pixels of
# a face's width lose up to 0.3 of its similarity to itself, 32 pixels less than 0.15.
SMALLEST_FACE = 32  # pixels, the box's shorter side
# The aligned crop's variance of the Laplacian over its variance of brightness, so that neither
# darkness (1 to 0.4 of the light: the same within a tenth) nor contrast counts. Sharp faces have
# 0.04 to 0.20, enlarged small ones 0.01. Blurred by a twenty-fifth of a face's width they have
# 0.003 to 0.005, and their similarity to themselves is down to 0.25 to 0.65.
LEAST_SHARPNESS = 0.004

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
    """Variance of the Laplacian over variance of the brightness; 0 for an even surface."""
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var() / max(float(grey.var()), 1e-6))


def _decode(content: bytes, max_pixels: int) -> BgrImage:
    try:
        return decode_photo(content, max_pixels)
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
        SelfieFace(box=box, confidence=score)
        for box, score in zip(boxes.tolist(), detections[:, 4].tolist(), strict=True)
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
    return SelfieError(code, _SENTENCES[code], faces or [])
