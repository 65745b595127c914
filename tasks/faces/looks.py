"""The looks at a photo that find its faces whichever way up they are, and however large.

The first look is one run of the detector over the photo as it is. YuNet finds tilted faces in it,
but puts their five points almost upright, and the recogniser then sees other faces; faces at 60 to
90 degrees, and those that fill the picture, it often does not find at all. So doubtful faces are
looked at again in all directions, and a photo that shows none but poor ones once more as a whole,
smaller and turned. Each second look is a run of a small detector, at a quarter of the first's cost.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tasks.faces.tiles import (
    Detect,
    FaceLook,
    Halves,
    SeenFace,
    fold_turn,
    list_faces,
    look_at_faces,
    map_back,
    turn_by_quarters,
    turn_photo,
)
from tasks.images.decode import BgrImage
from tasks.packs.figures import PackFigures

# Directions are tiles of one square; those near first, the rest where none of them is clear. Where
# neighbours score alike, the tilt lies between them, at the vertex of a parabola.
STEP = 30
NEAR = (0, 30, 330, 60, 300)
FAR = (90, 270, 120, 240, 150, 210, 180)
CLEAR = 0.88  # a score
# In the first look faces score up to 0.91 upside down or tilted by 45 degrees: those that score
# better are looked at around upright alone.
UPSIDE_DOWN, UPSIDE_DOWN_SCORE = 180, 0.915
COARSE_SIZE, COARSE_ROW = 30, 5  # pixels: a face's longer side; tiles in a row
MOST_DROP = 0.4  # of the score, where a direction shows no face
# The tilt that was found is looked at once more, larger: its points count. Size, tiles in a row,
# and the least longer side of the faces it is for: a small face has no more pixels to show. What
# one size does not see, the next one may.
FINE_LOOKS = ((80, 2, 56.0), (56, 3, 0.0))
# A direction that shows a face so much worse, by score, than the first look is not its own.
MOST_LOSS = 0.05
# Below it the points of the first look are kept: they were seen in more pixels.
LEAST_TILT = 10.0
# Eyes that are not level make a face doubtful, whatever its score.
LEAST_EYE_LINE = 8.0

QUARTER = 90
MOST_TILT = 30.0  # of a face in a photo that lies, beside its quarter
# The photo as a whole: lying, then tilted.
QUARTERS = (90, 270, 180)
EIGHTHS = (45, 315)
# Less than this the first look's best score is never where faces lie, or are tilted by 45 degrees:
# most photos without people are not looked at again.
FAINTEST, FAINT_TILTED = 0.12, 0.28
SMALLER = 0.5  # the share of the small square that a photo takes whose faces may be too large
# The least score of a face that only a second look has found: in one of many directions a coffee
# cup may look like a face.
FLOOR = 0.8
LEAST_OVERLAP = 0.3  # intersection over union of two sights of one face
LEAST_INSIDE = 0.7  # of the smaller one's area


class FaceFinder:
    """The looks, by a detector for the whole photo and a small one for the second looks."""

    def __init__(
        self, detect: Detect, detect_small: Detect, figures: PackFigures, *, large: bool
    ) -> None:
        """detect: the first look, down to FAINTEST where the pack's detector leaves doubts.

        large: the first look is made for small faces, and loses those that fill the photo.
        """
        self._detect = detect
        self._detect_small = detect_small
        self._least = figures.detection
        self._doubt = figures.doubt
        self._large = large

    def find_faces(self, photo: BgrImage, *, doubt_all: bool = False) -> list[SeenFace]:
        """Every face, best score first; doubt_all: each is looked at again."""
        sights = list_faces(self._detect(photo))
        # Of a detector that leaves no doubts it is not known how it scores what it cannot see.
        trace = max((sight.score for sight in sights), default=0.0) if self._doubt.poor else 1.0
        faces = [sight for sight in sights if sight.score >= self._least]
        halves = Halves(photo)
        if self._large or self._is_poor(faces):
            faces = merge_looks([faces, self._find_large(halves)])
        is_poor = self._is_poor(faces)
        faces = self._straighten_doubtful(halves, faces, doubt_all=doubt_all)
        if is_poor or judge_turn(faces):
            faces = merge_looks([faces, *self._find_turned(halves, faces, trace)])
        return sorted(faces, key=lambda face: -face.score)

    def _is_poor(self, faces: Sequence[SeenFace]) -> bool:
        """Whether these do not show that the photo was seen the right way up."""
        return all(face.score < self._doubt.poor for face in faces)

    def _find_large(self, photo: Halves) -> list[SeenFace]:
        square, affine = turn_photo(photo, 0, SMALLER)
        faces = list_faces(self._detect_small(square))
        return [map_back(face, affine, 0) for face in faces if face.score >= FLOOR]

    def _find_turned(
        self, photo: Halves, known: Sequence[SeenFace], trace: float
    ) -> Iterator[list[SeenFace]]:
        """Faces of the photo turned as a whole; in one way alone where those `known` tell it.

        trace: the first look's best score, however low.
        """
        likely = judge_turn(known)
        best = max((face.score for face in known), default=0.0)
        quarters = QUARTERS if max(best, trace) >= FAINTEST else ()
        for turn in (likely,) if likely else quarters:
            # The small detector says where a second look at the full size may be worth it.
            if likely or len(self._detect_small(turn_photo(photo, turn)[0])[0]):
                faces = self._find_lying(photo, turn)
                if likely or max((face.score for face in faces), default=0.0) >= max(FLOOR, best):
                    yield faces  # the photo lies: all that is seen in it counts
                    return
        for turn in EIGHTHS if max(best, trace) >= FAINT_TILTED else ():
            square, affine = turn_photo(photo, turn)
            seen = [map_back(face, affine, turn) for face in list_faces(self._detect_small(square))]
            yield [face for face in self._straighten(photo, seen) if face.score >= FLOOR]

    def _find_lying(self, photo: Halves, turn: int) -> list[SeenFace]:
        upright, affine = turn_by_quarters(photo.photo, turn)
        sights = list_faces(self._detect(upright))
        faces = [sight for sight in sights if sight.score >= self._least]
        return [
            map_back(face, affine, turn)
            for face in self._straighten_doubtful(Halves(upright), faces)
        ]

    def _straighten_doubtful(
        self, photo: Halves, faces: Sequence[SeenFace], *, doubt_all: bool = False
    ) -> list[SeenFace]:
        doubtful = [face for face in faces if doubt_all or self._is_doubtful(face)]
        straight = iter(self._straighten(photo, doubtful))
        return [next(straight) if doubt_all or self._is_doubtful(face) else face for face in faces]

    def _is_doubtful(self, face: SeenFace) -> bool:
        if not self._doubt.doubtful:
            return False
        right, left = face.landmarks[:2]
        line = np.degrees(np.arctan2(left[1] - right[1], left[0] - right[0]))
        return face.score < self._doubt.doubtful or abs(float(line)) >= LEAST_EYE_LINE

    def _straighten(self, photo: Halves, faces: Sequence[SeenFace]) -> list[SeenFace]:
        """The faces with landmarks from the direction that each stands upright in.

        One is left as it is where no direction shows it, or where it stands almost upright.
        """
        tilts = self._measure_tilts(photo, faces)
        straight = list(faces)
        for size, row, least in FINE_LOOKS:
            looks = {
                number: FaceLook(face, tilt, size)
                for number, (face, tilt) in enumerate(zip(faces, tilts, strict=True))
                if tilt is not None
                and (face.tilt or abs(tilt) >= LEAST_TILT)
                and least < face.side
                and straight[number] is face
            }
            sights = look_at_faces(self._detect_small, photo, list(looks.values()), row)
            for (number, look), sight in zip(looks.items(), sights, strict=True):
                if sight is not None and sight.score >= look.face.score - MOST_LOSS:
                    tilt = fold_turn(look.direction)
                    straight[number] = replace(
                        look.face, score=sight.score, landmarks=sight.landmarks, tilt=tilt
                    )
        return straight

    def _measure_tilts(self, photo: Halves, faces: Sequence[SeenFace]) -> list[float | None]:
        """The faces' tilts by their scores in all directions; None for one that shows in none."""
        scores: list[dict[int, float]] = [{} for _ in faces]
        crowded = len(faces) * len(NEAR) > COARSE_ROW**2
        for directions in (NEAR, FAR):
            looks = [
                (known, direction, FaceLook(face, face.tilt + direction, COARSE_SIZE))
                for face, known in zip(faces, scores, strict=True)
                if not is_clear(known)
                for direction in choose_directions(face, known, directions, crowded=crowded)
                if direction not in known
            ]
            sights = look_at_faces(
                self._detect_small, photo, [look for _, _, look in looks], COARSE_ROW
            )
            for (known, direction, _), sight in zip(looks, sights, strict=True):
                known[direction] = sight.score if sight else 0.0
        return [find_tilt(face, known) for face, known in zip(faces, scores, strict=True)]


def choose_directions(
    face: SeenFace, scores: Mapping[int, float], directions: Sequence[int], *, crowded: bool
) -> Sequence[int]:
    """These directions and upside down; for a face that is almost clear those around the best.

    scores: of the directions that the face was looked at in. crowded: one square has no room for
    all that are near.
    """
    if face.score < UPSIDE_DOWN_SCORE:
        return (*directions, UPSIDE_DOWN)
    if not scores and not crowded:
        return NEAR
    best = max(scores, key=lambda direction: scores[direction], default=0)
    return ((best - STEP) % 360, best, (best + STEP) % 360)


def is_clear(scores: Mapping[int, float]) -> bool:
    """Whether the best direction is known: its score is good, and both beside it were looked in."""
    best = max(scores, key=lambda direction: scores[direction], default=0)
    beside = all((best + step) % 360 in scores for step in (-STEP, STEP))
    return beside and scores.get(best, 0.0) >= CLEAR


def find_tilt(face: SeenFace, scores: Mapping[int, float]) -> float | None:
    """The tilt by a face's scores, by directions from its present tilt; None where all are 0."""
    best = max(scores, key=lambda direction: scores[direction])
    top = scores[best]
    if not top:
        return None
    left, right = (
        max(scores.get((best + step) % 360, 0.0), top - MOST_DROP) for step in (-STEP, STEP)
    )
    bend = left - 2 * top + right
    lean = 0.5 * (left - right) / bend if bend else 0.0
    return fold_turn(face.tilt + best + STEP * lean)


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
