"""The looks at a photo that find its faces whichever way up they are, and however large.

The first look is one run of the detector over the photo as it is. YuNet finds tilted faces in it,
but puts their five points almost upright, and the recogniser then sees other faces; faces at 60 to
90 degrees, and those that fill the picture, it often does not find at all. So doubtful faces are
looked at again in all directions, and a photo that shows none but poor ones once more as a whole,
smaller and turned. Each second look is a run of a small detector, at a quarter of the first's cost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from tasks.faces.tiles import (
    Detect,
    SeenFace,
    fold_turn,
    list_faces,
    look_at_face,
    map_back,
    turn_by_quarters,
    turn_photo,
)
from tasks.images.decode import BgrImage
from tasks.packs.figures import Doubt

# All directions are tiles of one square. Where neighbours score alike, the tilt lies between them,
# at the vertex of a parabola.
STEP = 30
DIRECTIONS = (0, 30, 330, 60, 300, 90, 270, 180)
REST = (120, 240, 150, 210)
# From this score on no other direction is looked in.
CLEAR = 0.9
COARSE_SIZE = 48  # pixels: a face's longer side
MOST_DROP = 0.4  # of the score, where a direction shows no face
LEAST_BEND = 1e-4  # of a parabola that has a vertex
# The tilt that was found is looked at in several sizes, whose points are averaged.
FINE_SIZES = (56, 72, 90, 112)
# Below it the points of the first look are kept: they were seen in more pixels.
LEAST_TILT = 8.0
# Eyes that are not level make a face doubtful, whatever its score.
LEAST_EYE_LINE = 5.0

QUARTER = 90
MOST_TILT = 30.0  # of a face in a photo that lies, beside its quarter
# The photo as a whole: lying ones at their full size, then what lies between.
QUARTERS = (90, 270, 180)
EIGHTHS = (45, 315, 135, 225)
SMALLER = (1.0, 0.5)  # shares of the small square that the photo takes
# The least score of a face that only a second look has found: in one of seven directions a coffee
# cup may look like a face.
FLOOR = 0.8
LEAST_OVERLAP = 0.3  # intersection over union of two sights of one face
LEAST_INSIDE = 0.7  # of the smaller one's area


class FaceFinder:
    """The looks, by a detector for the whole photo and a small one for the second looks."""

    def __init__(self, detect: Detect, detect_small: Detect, doubt: Doubt, *, large: bool) -> None:
        """large: the first look is made for small faces, and loses those that fill the photo."""
        self._detect = detect
        self._detect_small = detect_small
        self._doubt = doubt
        self._large = large

    def find_faces(self, photo: BgrImage, *, doubt_all: bool = False) -> list[SeenFace]:
        """Every face, best score first; doubt_all: each is looked at again."""
        faces = list_faces(self._detect(photo))
        if self._large or self._is_poor(faces):
            faces = merge_looks([faces, *self._find_large(photo)])
        is_poor = self._is_poor(faces)
        faces = self._straighten_all(photo, faces, doubt_all=doubt_all)
        if is_poor:
            faces = merge_looks([faces, *self._find_turned(photo, faces)])
        return sorted(faces, key=lambda face: -face.score)

    def _is_poor(self, faces: Sequence[SeenFace]) -> bool:
        """Whether these do not show that the photo was seen the right way up."""
        return all(face.score < self._doubt.poor for face in faces)

    def _find_large(self, photo: BgrImage) -> Iterator[list[SeenFace]]:
        for share in SMALLER:
            square, affine = turn_photo(photo, 0, share)
            faces = list_faces(self._detect_small(square))
            yield [map_back(face, affine, 0) for face in faces if face.score >= FLOOR]

    def _find_turned(self, photo: BgrImage, known: Sequence[SeenFace]) -> Iterator[list[SeenFace]]:
        """Faces of the photo turned as a whole; in one way alone where those `known` tell it."""
        likely = judge_turn(known)
        best = max((face.score for face in known), default=0.0)
        for turn in (likely,) if likely else QUARTERS:
            upright, affine = turn_by_quarters(photo, turn)
            faces = self._straighten_all(upright, list_faces(self._detect(upright)))
            if likely or max((face.score for face in faces), default=0.0) >= max(FLOOR, best):
                # The photo lies: all that is seen in it counts.
                yield [map_back(face, affine, turn) for face in faces]
                return
        for turn in EIGHTHS:
            square, affine = turn_photo(photo, turn)
            seen = [map_back(face, affine, turn) for face in list_faces(self._detect_small(square))]
            faces = [self._straighten(photo, face) for face in seen]
            yield [face for face in faces if face.score >= FLOOR]

    def _straighten_all(
        self, photo: BgrImage, faces: Sequence[SeenFace], *, doubt_all: bool = False
    ) -> list[SeenFace]:
        return [
            self._straighten(photo, face) if doubt_all or self._is_doubtful(face) else face
            for face in faces
        ]

    def _is_doubtful(self, face: SeenFace) -> bool:
        if not self._doubt.doubtful:
            return False
        right, left = face.landmarks[:2]
        line = np.degrees(np.arctan2(left[1] - right[1], left[0] - right[0]))
        return face.score < self._doubt.doubtful or abs(float(line)) >= LEAST_EYE_LINE

    def _straighten(self, photo: BgrImage, face: SeenFace) -> SeenFace:
        """The face with landmarks from the direction that it stands upright in.

        As it is where no direction shows it, or where it stands almost upright.
        """
        tilt = self._measure_tilt(photo, face)
        if tilt is None or (not face.tilt and abs(tilt) < LEAST_TILT):
            return face
        sights = look_at_face(self._detect_small, photo, face, [tilt], FINE_SIZES)
        seen = [sight for sight in sights if sight is not None]
        if not seen:
            return face
        points = np.array([sight.landmarks for sight in seen], np.float32).mean(axis=0)
        score = max(sight.score for sight in seen)
        return replace(face, score=score, landmarks=points, tilt=tilt)

    def _measure_tilt(self, photo: BgrImage, face: SeenFace) -> float | None:
        """The tilt by the scores in all directions; None where the face shows in none."""
        scores: dict[int, float] = {}
        for directions in (DIRECTIONS, REST):
            turns = [face.tilt + direction for direction in directions]
            sights = look_at_face(self._detect_small, photo, face, turns, [COARSE_SIZE])
            scores |= dict(
                zip(directions, (one.score if one else 0.0 for one in sights), strict=True)
            )
            best = max(scores, key=lambda direction: scores[direction])
            if scores[best] >= CLEAR:
                break
        if not scores[best]:
            return None
        neighbours = [scores.get((best + step) % 360) for step in (-STEP, STEP)]
        between = STEP * find_vertex(scores[best], *neighbours)
        return fold_turn(face.tilt + best + between)


def find_vertex(middle: float, left: float | None, right: float | None) -> float:
    """The vertex of a parabola through three scores a step apart: -0.5 to 0.5 from the middle."""
    if left is None or right is None:
        return 0.0
    left, right = max(left, middle - MOST_DROP), max(right, middle - MOST_DROP)
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < -LEAST_BEND else 0.0


def merge_looks(looks: Sequence[Sequence[SeenFace]]) -> list[SeenFace]:
    """One sight of each face, the one with the best score; the best first.

    Faces of one look are different ones, however they overlap.
    """
    kept: list[tuple[int, SeenFace]] = []
    sights = [(number, face) for number, look in enumerate(looks) for face in look]
    for number, face in sorted(sights, key=lambda sight: -sight[1].score):
        if not any(_is_same(face, other) for look, other in kept if look != number):
            kept.append((number, face))
    return [face for _, face in kept]


def judge_turn(faces: Sequence[SeenFace]) -> int:
    """Degrees clockwise, 0 to 270, that more than half of the faces need to stand upright.

    Of a photo that lies: a head that is tilted by 45 degrees tells nothing.
    """
    turns = [
        round(face.tilt / QUARTER) % 4 * QUARTER
        if abs((face.tilt + QUARTER / 2) % QUARTER - QUARTER / 2) <= MOST_TILT
        else 0
        for face in faces
    ]
    most = max(set(turns), key=turns.count, default=0)
    return most if turns.count(most) * 2 > len(turns) else 0


def _is_same(face: SeenFace, other: SeenFace) -> bool:
    """Whether two looks saw one face: their boxes overlap, or one lies mostly inside the other.

    Of a face that fills the photo a look may see a part only.
    """
    low = np.maximum(face.box[:2], other.box[:2])
    high = np.minimum(face.box[2:], other.box[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    areas = [max(float(np.prod(one.box[2:] - one.box[:2])), 1.0) for one in (face, other)]
    return shared >= min(LEAST_OVERLAP * (sum(areas) - shared), LEAST_INSIDE * min(areas))
