"""Second looks by detectors that know painted faces: found and measured in every direction."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.faces.looks import (
    FAR,
    FLOOR,
    NEAR,
    FaceFinder,
    find_tilt,
    is_clear,
    judge_turn,
    merge_looks,
)
from tasks.faces.tiles import (
    Floats,
    Halves,
    SeenFace,
    fold_turn,
    map_back,
    turn_by_quarters,
    turn_photo,
    turn_upright,
)
from tasks.images.decode import BgrImage
from tasks.packs.figures import OPENCV_ZOO_FIGURES, Doubt

# Right eye, left eye, nose, right and left corner of the mouth: colours, and places in a face of
# side 1 around its middle.
COLOURS = ((0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 0), (255, 0, 255))
PLACES = np.array([(-0.2, -0.2), (0.2, -0.2), (0.0, 0.05), (-0.15, 0.25), (0.15, 0.25)])
FALL = 5e-5  # of a score, a square degree of tilt
DOUBT = Doubt(doubtful=0.93, poor=0.85)


def paint_face(photo: BgrImage, centre: tuple[float, float], side: float, tilt: float) -> Floats:
    """Paint a face that has to be turned clockwise by `tilt` to stand upright; its points."""
    angle = np.radians(-tilt)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = PLACES @ turn.T * side + centre
    for (x, y), colour in zip(points, COLOURS, strict=True):
        cv2.circle(photo, (round(x), round(y)), max(2, round(side / 11)), colour, -1)
    return points.astype(np.float32)


class PaintedDetector:
    """Finds painted faces whose tilt and size it can see; its points are less tilted than theirs.

    bent: the share of a tilt that its points do not show. The score falls with the tilt.
    faint: the score of faces that are tilted more than it can see.
    """

    def __init__(
        self,
        *,
        widest: float = 50.0,
        bent: float = 0.5,
        largest: float = 1.0,
        faint: float = 0.0,
    ) -> None:
        self.widest, self.bent, self.largest, self.faint = widest, bent, largest, faint
        self.looks: list[tuple[int, int]] = []

    def __call__(self, photo: BgrImage) -> tuple[Floats, Floats]:
        self.looks.append(photo.shape[:2])
        rows, landmarks = [], []
        blobs = [self._find_blobs(photo, colour) for colour in COLOURS]
        for eye in blobs[0]:
            points = np.array(
                [min(one, key=lambda p: np.hypot(*(p - eye))) for one in blobs if one]
            )
            if len(points) < len(COLOURS):
                continue
            right, left = points[:2]
            side = float(np.hypot(*(left - right)) / 0.4)
            tilt = -float(np.degrees(np.arctan2(left[1] - right[1], left[0] - right[0])))
            is_seen = abs(tilt) <= self.widest
            if not (is_seen or self.faint) or side > self.largest * max(photo.shape[:2]):
                continue
            centre = points.mean(axis=0)
            angle = np.radians(tilt * self.bent)
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            landmarks.append((points - centre) @ turn.T + centre)
            score = 0.95 - FALL * tilt**2 if is_seen else self.faint
            rows.append([*(centre - side / 2), *(centre + side / 2), score])
        if not rows:
            return np.zeros((0, 5), np.float32), np.zeros((0, 5, 2), np.float32)
        return np.array(rows, np.float32), np.array(landmarks, np.float32)

    @staticmethod
    def _find_blobs(photo: BgrImage, colour: tuple[int, int, int]) -> list[Floats]:
        mask = (np.abs(photo.astype(int) - colour).max(axis=2) < 90).astype(np.uint8)
        count, _, stats, centres = cv2.connectedComponentsWithStats(mask)
        return [centres[n] for n in range(1, count) if stats[n, cv2.CC_STAT_AREA] >= 3]


def make_photo(width: int = 640, height: int = 480) -> BgrImage:
    return np.full((height, width, 3), 60, np.uint8)


def make_finder(
    first: PaintedDetector, small: PaintedDetector, doubt: Doubt = DOUBT, *, large: bool = False
) -> FaceFinder:
    figures = replace(OPENCV_ZOO_FIGURES, doubt=doubt)
    return FaceFinder(first, small, figures, large=large)


@pytest.mark.parametrize(
    "tilt", [-170, -135, -90, -60, -45, -30, -20, 20, 30, 45, 60, 90, 135, 180]
)
@pytest.mark.parametrize("side", [60, 150, 300])
def test_a_face_has_its_own_points_whichever_way_up_it_is(tilt: int, side: int) -> None:
    photo = make_photo()
    points = paint_face(photo, (300, 230), side, tilt)

    (face,) = make_finder(PaintedDetector(faint=0.3), PaintedDetector()).find_faces(photo)

    assert fold_turn(face.tilt - tilt) == pytest.approx(0, abs=12)
    assert np.abs(face.landmarks - points).max() < 0.08 * side
    assert np.abs(face.centre - (300, 230)).max() < 0.2 * side


def test_a_face_that_the_larger_fine_look_does_not_show_is_looked_at_smaller() -> None:
    photo = make_photo()
    points = paint_face(photo, (300, 230), 150, 45)
    small = PaintedDetector(largest=0.2)  # of 320 pixels: of 80 none, of 56 yes

    (face,) = make_finder(PaintedDetector(faint=0.3), small).find_faces(photo)

    assert fold_turn(face.tilt - 45) == pytest.approx(0, abs=12)
    assert np.abs(face.landmarks - points).max() < 0.08 * 150


def test_a_direction_that_shows_a_face_worse_does_not_turn_it() -> None:
    photo = make_photo()
    points = paint_face(photo, (300, 230), 150, 0)

    def see_badly(square: BgrImage) -> tuple[Floats, Floats]:
        """Sees the face as if it were tilted, and not well."""
        faces, landmarks = PaintedDetector(widest=200)(square)
        tilts = np.degrees(np.arctan2(*(landmarks[:, 1] - landmarks[:, 0]).T[::-1]))
        faces[:, 4] = np.where(np.abs(tilts) < 20, 0.7, 0.85)
        return faces, landmarks

    everyone = Doubt(doubtful=0.96, poor=0.85)
    (face,) = make_finder(PaintedDetector(bent=0), see_badly, everyone).find_faces(photo)  # type: ignore[arg-type]  # a function

    assert (face.tilt, face.score) == (0, pytest.approx(0.95, abs=0.01))
    assert np.abs(face.landmarks - points).max() < 0.05 * 150


def test_an_upright_face_costs_no_second_look() -> None:
    photo = make_photo()
    paint_face(photo, (300, 230), 150, 0)
    first, small = PaintedDetector(), PaintedDetector()

    (face,) = make_finder(first, small).find_faces(photo)

    assert (face.tilt, len(first.looks), small.looks) == (0.0, 1, [])


def test_a_detector_that_keeps_points_right_is_not_asked_again() -> None:
    photo = make_photo()
    points = paint_face(photo, (300, 230), 150, 40)
    first, small = PaintedDetector(bent=0.0), PaintedDetector(bent=0.0)

    (face,) = make_finder(first, small, Doubt()).find_faces(photo)

    assert (len(first.looks), small.looks) == (1, [])
    assert np.abs(face.landmarks - points).max() < 4


def test_a_face_that_fills_the_photo_is_found_at_a_smaller_scale() -> None:
    photo = make_photo()
    points = paint_face(photo, (320, 240), 460, 0)
    paint_face(photo, (610, 450), 44, 0)
    first = PaintedDetector(largest=0.4)

    found = make_finder(first, PaintedDetector(), large=True).find_faces(photo)

    assert sorted(round(face.side / 100) for face in found) == [0, 5]
    large = max(found, key=lambda face: face.side)
    assert np.abs(large.landmarks - points).max() < 8


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_all_faces_of_a_photo_that_lies_are_found_and_its_turn_is_told(turn: int) -> None:
    upright = make_photo()
    for x, side in ((100, 80), (300, 60), (450, 40), (560, 20)):
        paint_face(upright, (x, 200), side, 0)
    photo, affine = turn_by_quarters(upright, 360 - turn)

    found = make_finder(PaintedDetector(faint=0.15), PaintedDetector()).find_faces(photo)

    assert len(found) == 4
    assert judge_turn(found) == turn
    expected = affine[:, :2] @ (450, 200) + affine[:, 2]
    assert min(np.abs(face.centre - expected).max() for face in found) < 6


@pytest.mark.parametrize(("score", "looks"), [(0.0, 1), (0.15, 4), (0.4, 6)])
def test_a_photo_without_a_face_is_looked_at_as_often_as_it_may_show_one(
    score: float, looks: int
) -> None:
    def see_a_cup(photo: BgrImage) -> tuple[Floats, Floats]:
        row = [[100, 100, 160, 160, score]] if score else np.zeros((0, 5))
        return np.array(row, np.float32), np.full((len(row), 5, 2), 130, np.float32)

    small = PaintedDetector()
    finder = FaceFinder(see_a_cup, small, replace(OPENCV_ZOO_FIGURES, doubt=DOUBT), large=False)

    assert finder.find_faces(make_photo()) == []
    assert len(small.looks) == looks


def test_a_detector_of_unknown_scores_has_its_photos_without_a_face_looked_at_in_all_ways() -> None:
    photo = make_photo()
    paint_face(photo, (300, 230), 150, 90)
    small = PaintedDetector(bent=0.0)

    (face,) = make_finder(PaintedDetector(bent=0.0), small, Doubt()).find_faces(photo)

    assert face.tilt == 90


@pytest.mark.parametrize(("faces", "looks"), [(5, 1), (6, 1), (9, 2)])
def test_the_doubtful_faces_of_a_photo_share_their_looks(faces: int, looks: int) -> None:
    photo = make_photo()
    for number in range(faces):
        paint_face(photo, (60 + 60 * number, 200), 40, 0)
    small = PaintedDetector()
    everyone = Doubt(doubtful=0.96, poor=0.85)

    assert len(make_finder(PaintedDetector(), small, everyone).find_faces(photo)) == faces
    assert len(small.looks) == looks


def test_what_only_a_second_look_sees_needs_a_better_score() -> None:
    def see_a_cup(photo: BgrImage) -> tuple[Floats, Floats]:
        if photo.shape[:2] == (480, 640):
            return np.zeros((0, 5), np.float32), np.zeros((0, 5, 2), np.float32)
        row = [[100, 100, 160, 160, FLOOR - 0.01]]
        return np.array(row, np.float32), np.full((1, 5, 2), 130, np.float32)

    finder = FaceFinder(see_a_cup, see_a_cup, OPENCV_ZOO_FIGURES, large=True)
    assert finder.find_faces(make_photo()) == []


boxes = st.tuples(*[st.floats(0, 500)] * 2, *[st.floats(8, 120)] * 2)


@given(boxes, st.sampled_from([0, 45, 90, 135, 180, 225, 270, 315]), st.floats(0.25, 1))
def test_what_a_turned_photo_shows_is_mapped_back(
    box: tuple[float, ...], turn: int, share: float
) -> None:
    x, y, width, height = box
    photo = make_photo(700, 500)
    _, affine = turn_photo(Halves(photo), turn, share)
    points = np.array([[x, y], [x + width, y], [x + width / 2, y + height / 2]], np.float32)
    drawn = (points @ affine[:, :2].T + affine[:, 2]).astype(np.float32)
    scale = float(np.hypot(*affine[0, :2]))
    sides = np.array([width, height], np.float32) * scale
    if turn % 180 == 90:
        sides = sides[::-1]
    seen = SeenFace(np.concatenate([drawn[2] - sides / 2, drawn[2] + sides / 2]), 0.9, drawn)

    face = map_back(seen, affine, turn)

    assert face.landmarks == pytest.approx(points, abs=0.1)
    assert face.box == pytest.approx([x, y, x + width, y + height], abs=0.1)
    assert face.tilt == fold_turn(turn)


@given(st.sampled_from([90, 180, 270]), st.integers(0, 39), st.integers(0, 29))
def test_quarter_turns_are_exact(turn: int, x: int, y: int) -> None:
    photo = np.zeros((30, 40, 3), np.uint8)
    photo[y, x] = 255
    turned, affine = turn_by_quarters(photo, turn)
    u, v = np.floor(affine[:, :2] @ (x + 0.5, y + 0.5) + affine[:, 2]).astype(int)
    assert turned[v, u].all()


@settings(deadline=None)
@given(st.floats(-180, 180), st.floats(100, 500), st.floats(80, 400))
def test_a_tilted_selfie_is_turned_until_its_face_stands(tilt: float, x: float, y: float) -> None:
    photo = make_photo()
    points = paint_face(photo, (x, y), 70, tilt)
    half = np.array([35, 35], np.float32)
    centre = np.array([x, y], np.float32)
    face = SeenFace(np.concatenate([centre - half, centre + half]), 0.9, points, tilt)

    turned, upright = turn_upright(photo, face)

    right, left = upright.landmarks[:2]
    assert left[1] - right[1] == pytest.approx(0, abs=0.5)
    assert left[0] > right[0]
    px, py = np.floor(upright.landmarks[2]).astype(int)
    assert turned[py, px].tolist() == pytest.approx(COLOURS[2], abs=40)


@given(st.floats(-180, 180))
def test_a_tilt_is_measured_by_scores_that_fall_with_its_square(tilt: float) -> None:
    scores = {
        direction: max(0.0, 0.93 - FALL * fold_turn(tilt - direction) ** 2)
        for direction in (*NEAR, *FAR)
    }
    found = find_tilt(see(0, 0, 9, 0.9), scores)
    assert found is not None
    assert fold_turn(found - tilt) == pytest.approx(0, abs=0.1)


def test_a_direction_at_the_edge_of_those_looked_in_is_not_clear() -> None:
    near = dict.fromkeys(NEAR, 0.8)
    assert not is_clear({})
    assert not is_clear(near)
    assert is_clear(near | {30: 0.92})
    assert not is_clear(near | {60: 0.92})
    assert is_clear(near | {60: 0.92} | dict.fromkeys(FAR, 0.8))


def test_a_face_that_shows_in_no_direction_has_no_tilt() -> None:
    assert find_tilt(see(0, 0, 9, 0.9), dict.fromkeys(NEAR, 0.0)) is None


def see(x: float, y: float, side: float, score: float, tilt: float = 0.0) -> SeenFace:
    box = np.array([x, y, x + side, y + side], np.float32)
    return SeenFace(box, score, np.zeros((5, 2), np.float32), tilt)


def test_two_sights_of_a_face_are_one_and_the_better_one() -> None:
    first = [see(0, 0, 100, 0.7), see(300, 0, 100, 0.6)]
    assert [face.score for face in merge_looks([first, [see(20, 0, 100, 0.9)]])] == [0.9, 0.6]


def test_a_part_of_a_large_face_is_no_face_of_its_own() -> None:
    part, whole = see(100, 100, 80, 0.7), see(0, 0, 600, 0.93)
    assert merge_looks([[part], [whole]]) == [whole]


def test_a_child_before_its_mothers_face_stays() -> None:
    child, mother = see(100, 100, 80, 0.9), see(80, 40, 200, 0.88)
    assert merge_looks([[child, mother], []]) == [child, mother]


def test_one_lying_guest_among_others_turns_no_photo() -> None:
    faces = [see(0, 0, 9, 0.9, tilt) for tilt in (0.0, 0.0, 90.0, 180.0)]
    assert judge_turn(faces) == 0
    assert judge_turn(faces[2:3]) == 90
    assert judge_turn([see(0, 0, 9, 0.9, -100.0)]) == 270
    assert judge_turn([see(0, 0, 9, 0.9, 50.0)]) == 0
    assert judge_turn([]) == 0
