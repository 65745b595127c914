"""Tests of the preview study: faces are where they are said to be, and are judged rightly."""

from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks.preview_sizes.__main__ import describe_row, score_preview
from benchmarks.preview_sizes.costs import Costs, measure_costs
from benchmarks.preview_sizes.faces import CutOut, cut_out_people, draw_soft_shape, resize_cut_out
from benchmarks.preview_sizes.report import BEGIN, END, Row, draw_plot, write_docs
from benchmarks.preview_sizes.scenes import KnownFace, Scene, make_scene
from benchmarks.preview_sizes.score import (
    FaceScore,
    PhotoScore,
    count_mistakes,
    match_faces,
    score_photo,
    summarise_heights,
)
from models.packs import PROFILES
from models.settings import Settings
from tasks.faces.detected import DetectedFaces
from tasks.faces.engine import FaceEngine
from tasks.images.preview import PreviewRecipe, make_preview
from tasks.packs.registry import resolve_pack

SIZE = (1200, 800)
HEIGHTS = (30, 60, 120, 60)
MAGENTA = (255, 0, 255)
Floats = npt.NDArray[np.float32]


def paint_person(person: int = 0) -> CutOut:
    """A grey head with a magenta face; the vectors of different persons are perpendicular."""
    pixels = np.full((100, 80, 3), 128, np.uint8)
    pixels[30:70, 25:55] = MAGENTA
    box = np.array([25, 30, 55, 70], np.float32)
    vector = np.eye(4, dtype=np.float32)[person]
    return CutOut(person, pixels, draw_soft_shape(100, 80), box, vector, vector)


PEOPLE = [paint_person(0), paint_person(1)]


def find_faces(vectors: Floats, boxes: Floats) -> DetectedFaces:
    """What an engine would say."""
    return DetectedFaces(boxes, np.ones(len(boxes), np.float32), vectors)


# --- scenes ---


@given(st.integers(5, 60), st.integers(5, 60))
def test_a_soft_shape_is_whole_inside_and_gone_at_its_border(height: int, width: int) -> None:
    shape = draw_soft_shape(height, width)
    assert shape.shape == (height, width, 1)
    assert shape[height // 2, width // 2] == 1
    assert shape[[0, -1]].max() == shape[:, [0, -1]].max() == 0


@given(st.floats(8, 400))
def test_a_head_is_resized_with_its_box(face_height: float) -> None:
    head = resize_cut_out(PEOPLE[0], face_height)
    height, width = head.pixels.shape[:2]
    assert head.face_height == pytest.approx(face_height, abs=0.5)
    np.testing.assert_allclose(head.box, np.array([25, 30, 55, 70]) / 100 * height, atol=1)
    assert head.opacity.shape == (height, width, 1)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A small scene of painted heads."""
    return make_scene(3, PEOPLE, HEIGHTS, SIZE)


def test_faces_are_where_the_scene_says(scene: Scene) -> None:
    with Image.open(BytesIO(scene.original)) as image:
        assert image.size == SIZE
        picture = np.asarray(image, np.int16)
    is_face = (np.abs(picture - MAGENTA) < 60).all(axis=2)
    assert sorted(face.height for face in scene.faces) == sorted(HEIGHTS)
    for face in scene.faces:
        left, top, right, bottom = face.box * [*SIZE, *SIZE]
        assert bottom - top == pytest.approx(face.height, abs=1)
        around = (
            slice(round(top) - 8, round(bottom) + 8),
            slice(round(left) - 8, round(right) + 8),
        )
        rows, columns = np.nonzero(is_face[around])
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        expected = [8, 8, right - left + 8, bottom - top + 8]
        np.testing.assert_allclose(found, expected, atol=2.5)
        is_face[around] = False
    assert is_face.sum() == 0


def test_no_head_covers_another_and_people_take_turns(scene: Scene) -> None:
    boxes = [face.box for face in scene.faces]
    for i, one in enumerate(boxes):
        for two in boxes[i + 1 :]:
            assert (one[2:] <= two[:2]).any() or (two[2:] <= one[:2]).any()
    assert {face.who.person for face in scene.faces} == {0, 1}


def test_a_scene_is_the_same_every_time_and_none_is_another(scene: Scene) -> None:
    assert make_scene(3, PEOPLE, HEIGHTS, SIZE).original == scene.original
    assert make_scene(4, PEOPLE, HEIGHTS, SIZE).original != scene.original


@pytest.mark.parametrize("heights", [(700,), (200,) * 12])
def test_faces_without_room_are_refused(heights: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no room is left"):
        make_scene(0, PEOPLE, heights, SIZE)


# --- matching and figures ---


def know(box: list[float], person: int = 0, height: int = 100) -> KnownFace:
    """A known face."""
    return KnownFace(height, np.array(box, np.float32), PEOPLE[person])


SIDE_BY_SIDE = [know([0.1, 0.1, 0.2, 0.3]), know([0.5, 0.5, 0.7, 0.9], person=1)]


@given(st.data())
def test_matching_does_not_depend_on_the_order_of_detections(data: st.DataObject) -> None:
    corners = st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 10)] * 2)
    drawn = data.draw(st.lists(corners, max_size=6, unique=True), label="detections")
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in drawn], np.float32).reshape(-1, 4) / 20
    order = data.draw(st.permutations(range(len(boxes))), label="order")
    vectors = np.zeros((len(boxes), 4), np.float32)

    matches = match_faces(SIDE_BY_SIDE, find_faces(vectors, boxes))
    again = match_faces(SIDE_BY_SIDE, find_faces(vectors, boxes[order]))

    used = [match for match in matches if match is not None]
    assert len(used) == len(set(used))
    assert [match is None for match in matches] == [match is None for match in again]


def test_a_detection_far_off_and_a_second_one_do_not_count() -> None:
    boxes = np.array(
        [[0.1, 0.1, 0.2, 0.28], [0.1, 0.1, 0.2, 0.3], [0.65, 0.5, 0.85, 0.9]], np.float32
    )
    vectors = np.array([[0, 0, 1, 0], [0.8, 0, 0.6, 0], [0, 0.6, 0.8, 0]], np.float32)
    score = score_photo(SIDE_BY_SIDE, find_faces(vectors, boxes), PEOPLE)
    assert score.faces == (
        FaceScore(100, pytest.approx(0.8), pytest.approx(0.8), pytest.approx(0)),
        FaceScore(100),
    )
    assert score.false_detections == (pytest.approx(0), pytest.approx(0.6))


def test_nothing_found_is_nothing_found() -> None:
    none = find_faces(np.zeros((0, 0), np.float32), np.zeros((0, 4), np.float32))
    score = score_photo(SIDE_BY_SIDE, none, PEOPLE)
    assert score == PhotoScore((FaceScore(100), FaceScore(100)), ())
    (row,) = summarise_heights([score], 0.4)
    assert (row.detected, row.similarity, row.kept, row.found) == (0, None, None, 0)


SCORES = [
    PhotoScore((FaceScore(60, 0.3, 0.2, 0.5), FaceScore(200, 0.9, 0.8, 0.1)), (0.45, 0.1)),
    PhotoScore((FaceScore(60, 0.5, 0.4, 0.0), FaceScore(60)), ()),
]


def test_figures_are_by_height_and_of_all_faces() -> None:
    small, large = summarise_heights(SCORES, 0.4)
    assert (small.height, large.height) == (60, 200)
    assert small.detected == pytest.approx(2 / 3)
    assert (small.similarity, small.kept) == (pytest.approx(0.4), 0.5)
    assert small.found == pytest.approx(1 / 3)
    assert (large.detected, large.found) == (1, 1)


def test_mistakes_are_false_detections_and_wrong_people() -> None:
    assert count_mistakes(SCORES, 0.4) == (2, 2)
    assert count_mistakes(SCORES, 0.6) == (2, 0)


# --- the page ---


COSTS = Costs(2.0, 15.0, 6.0, 4.5, 31.25, 82.1)


def make_rows() -> list[Row]:
    """Two rows."""
    heights = summarise_heights(SCORES, 0.4)
    return [Row(side, 640, heights, 2, 1, COSTS) for side in (640, 1600)]


def test_a_photo_costs_its_steps_and_its_faces() -> None:
    assert COSTS.photo_ms == pytest.approx(2 + 15 + 4.5 * 6)
    described = describe_row(make_rows()[0])
    assert (described["det_size"], described["photos_per_s"]) == (640, 31.25)
    assert described["by_face_height"][60]["found"] == 0.333


def test_only_the_pages_figures_are_made_anew(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    page = tmp_path / "previews.md"
    page.write_text(f"Свадьба\n{BEGIN}\nof last time\n{END}\nafter\n", "utf-8")
    write_docs(tmp_path, make_rows())
    once = page.read_text("utf-8")
    write_docs(tmp_path, make_rows())
    assert page.read_text("utf-8") == once
    assert once.startswith(f"Свадьба\n{BEGIN}\n")
    assert once.endswith(f"{END}\nafter\n")
    assert "last time" not in once
    assert "| 60 | 67% | 67% |" in once
    assert (tmp_path / "images" / "preview-sizes.svg").read_text("utf-8") == draw_plot(make_rows())


def test_the_page_tells_the_profiles_as_they_are() -> None:
    page = (Path(__file__).parents[2] / "docs" / "previews.md").read_text("utf-8")
    for name, profile in PROFILES.items():
        assert f"| `{name}` | {profile.preview_side} pixels | {profile.det_size} pixels |" in page


def test_the_plot_names_its_curves_and_asks_nobody() -> None:
    root = ElementTree.fromstring(draw_plot(make_rows()))  # noqa: S314 (its own)
    texts = [element.text for element in root.iter() if element.text]
    assert {"640/640", "1600/640", "Detected", "Found by a selfie", "100%"} <= set(texts)
    assert "http" not in draw_plot(make_rows()).replace("http://www.w3.org/2000/svg", "")


# --- really ---


def test_a_larger_preview_finds_a_smaller_face(models_root: Path) -> None:
    pack = resolve_pack(Settings(model_pack="opencv_zoo", model_root=models_root))
    engine = FaceEngine(pack, "cpu", threads=1)
    people = cut_out_people(engine)
    assert [one.person for one in people] == [person for person in range(7) for _ in range(2)]
    scene = make_scene(1, people, (100, 200), SIZE)
    previews = {side: make_preview(scene.original, PreviewRecipe(side)) for side in (160, 640)}
    found = {
        side: {
            face.height: face.portrait
            for face in score_preview(engine, preview, scene, people).faces
        }
        for side, preview in previews.items()
    }

    assert found[640][200] > 0.6
    assert found[640][100] > 0.3
    assert found[640][100] > (found[160][100] or 0)
    costs = measure_costs(engine, [previews[640]])
    assert costs.faces == 2
    assert min(costs.decode_ms, costs.detect_ms, costs.face_ms, costs.photos_per_s) > 0
