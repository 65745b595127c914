"""The comparison of the engine's faces in a preview with those known to be there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.engine.gate import SAME_FACE_IOU, compute_iou
from benchmarks.preview_sizes.faces import CutOut, Floats
from benchmarks.preview_sizes.scenes import KnownFace
from tasks.faces.detected import DetectedFaces


@dataclass(frozen=True)
class FaceScore:
    """A known face of `height` pixels in the original, and what became of it in a preview.

    Cosine similarities of its vector, None where it was not detected: to the same face in full
    size, to its mirror image (a selfie, as it were), and to the most similar other person.
    """

    height: int
    portrait: float | None = None
    selfie: float | None = None
    other: float | None = None


@dataclass(frozen=True)
class PhotoScore:
    """The faces of a scene, and what else was taken for one: each one's best similarity."""

    faces: tuple[FaceScore, ...]
    false_detections: tuple[float, ...]


def score_photo(
    known: Sequence[KnownFace], found: DetectedFaces, people: Sequence[CutOut]
) -> PhotoScore:
    """Judge one preview; boxes are compared in 0..1, so its size does not matter."""
    matches = match_faces(known, found)
    scores = tuple(
        _score_face(face, None if match is None else found.embeddings[match], people)
        for face, match in zip(known, matches, strict=True)
    )
    strangers = [index for index in range(len(found.scores)) if index not in matches]
    similarities = (
        max(float(found.embeddings[index] @ person.portrait) for person in people)
        for index in strangers
    )
    return PhotoScore(scores, tuple(similarities))


def match_faces(known: Sequence[KnownFace], found: DetectedFaces) -> list[int | None]:
    """For each known face, the detection that is it: the best, from SAME_FACE_IOU on.

    No detection is two faces': the better overlap has it.
    """
    pairs = [
        (compute_iou(face.box, box), i, j)
        for i, face in enumerate(known)
        for j, box in enumerate(found.boxes)
    ]
    matches: list[int | None] = [None] * len(known)
    for overlap, i, j in sorted(pairs, key=lambda pair: -pair[0]):
        if overlap >= SAME_FACE_IOU and matches[i] is None and j not in matches:
            matches[i] = j
    return matches


def _score_face(face: KnownFace, vector: Floats | None, people: Sequence[CutOut]) -> FaceScore:
    if vector is None:
        return FaceScore(face.height)
    others = [person.portrait for person in people if person.person != face.who.person]
    return FaceScore(
        face.height,
        float(vector @ face.who.portrait),
        float(vector @ face.who.selfie),
        float(np.max(np.stack(others) @ vector)) if others else None,
    )


@dataclass(frozen=True)
class HeightScore:
    """Faces of one height: shares of all of them, 0..1; similarity is None if none was detected.

    detected; similarity: mean cosine to the same face in full size, of those detected; kept: share
    of those detected that reach the threshold with it; found: share of all that a selfie finds.
    """

    height: int
    detected: float
    similarity: float | None
    kept: float | None
    found: float


def summarise_heights(photos: Sequence[PhotoScore], threshold: float) -> list[HeightScore]:
    """One row a height, the smallest first."""
    faces = [face for photo in photos for face in photo.faces]
    rows = []
    for height in sorted({face.height for face in faces}):
        mine = [face for face in faces if face.height == height]
        portraits = [face.portrait for face in mine if face.portrait is not None]
        selfies = [face.selfie for face in mine if face.selfie is not None]
        rows.append(
            HeightScore(
                height,
                detected=len(portraits) / len(mine),
                similarity=float(np.mean(portraits)) if portraits else None,
                kept=float(np.mean(np.array(portraits) >= threshold)) if portraits else None,
                found=sum(cosine >= threshold for cosine in selfies) / len(mine),
            )
        )
    return rows


def count_mistakes(photos: Sequence[PhotoScore], threshold: float) -> tuple[int, int]:
    """False detections, and vectors (theirs too) that reach the threshold with a wrong person."""
    false = [cosine for photo in photos for cosine in photo.false_detections]
    others = [face.other for photo in photos for face in photo.faces if face.other is not None]
    return len(false), sum(cosine >= threshold for cosine in (*false, *others))
