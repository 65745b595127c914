"""Faces of selfies on a stand-in pack: found at a smaller size, mapped back, aligned again."""

from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from models.errors import SelfieError
from models.settings import Settings
from models.vocabulary import SelfieCode
from tasks.faces.engine import NO_DETECTIONS, FaceEngine
from tasks.faces.selfie import (
    CANVAS_SIDE,
    MOST_PIXELS,
    align_at_scales,
    detect_selfie_faces,
    read_selfie,
)
from tasks.packs.registry import resolve_pack
from tests.support.standin_pack import draw_markers, write_standin_pack


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> FaceEngine:
    folder = tmp_path_factory.mktemp("selfies") / "buffalo_l"
    write_standin_pack(folder)
    return FaceEngine(resolve_pack(Settings(model_pack=str(folder))), "cpu")


def test_the_largest_face_comes_first(engine: FaceEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = np.array([[0, 0, 5, 5, 0.9], [0, 0, 20, 20, 0.7], [0, 0, 9, 9, 0.8]], np.float32)
    points = np.arange(30, dtype=np.float32).reshape(3, 5, 2)
    monkeypatch.setattr(engine, "detect", lambda photo: (boxes, points))

    detections, landmarks = detect_selfie_faces(engine, np.zeros((50, 50, 3), np.uint8))

    assert detections[:, 2].tolist() == [20, 9, 5]
    assert landmarks.tolist() == points[[1, 2, 0]].tolist()


@pytest.mark.parametrize("size", [(300, 400), (1600, 900), (640, 640), (90, 70)])
@pytest.mark.parametrize("misses", [1, 2])
def test_a_face_found_at_a_smaller_size_is_told_where_it_is(
    engine: FaceEngine, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], misses: int
) -> None:
    """A detector that sees only what is dark on the canvas' grey, once it sees it small enough."""
    height, width = size
    photo = np.full((height, width, 3), 255, np.uint8)
    y1, y2, x1, x2 = height // 5, height * 3 // 5, width // 4, width * 3 // 4
    photo[y1:y2, x1:x2] = 0
    calls: list[tuple[int, ...]] = []

    def detect(seen: npt.NDArray[np.uint8]) -> object:
        calls.append(seen.shape)
        if len(calls) <= misses:
            return NO_DETECTIONS
        ys, xs = np.nonzero(seen[:, :, 0] < 60)
        box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1, 0.9]
        return np.array([box], np.float32), np.full((1, 5, 2), box[:2], np.float32)

    monkeypatch.setattr(engine, "detect", detect)

    detections, landmarks = detect_selfie_faces(engine, photo)

    pixel = max(size) / CANVAS_SIDE / (0.5, 0.25)[misses - 1]
    assert detections[0, :4] == pytest.approx([x1, y1, x2, y2], abs=2 * pixel + 1)
    assert landmarks[0, 0] == pytest.approx([x1, y1], abs=2 * pixel + 1)
    assert calls[1:] == [(CANVAS_SIDE, CANVAS_SIDE, 3)] * misses


def test_where_there_is_no_face_none_is_found(engine: FaceEngine) -> None:
    detections, landmarks = detect_selfie_faces(engine, draw_markers(400, 300, []))
    assert (detections.shape, landmarks.shape) == ((0, 5), (0, 5, 2))


def test_a_face_that_is_not_seen_again_is_aligned_by_its_first_landmarks(
    engine: FaceEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = draw_markers(200, 200, [(100, 100)])
    box = np.array([80, 80, 120, 120], np.float32)
    landmarks = np.array([[90, 92], [110, 92], [100, 102], [92, 112], [108, 112]], np.float32)
    monkeypatch.setattr(engine, "detect", lambda seen: NO_DETECTIONS)

    (crop,) = align_at_scales(engine, photo, box, landmarks)

    np.testing.assert_array_equal(crop, engine.align(photo, landmarks))


@pytest.mark.parametrize(
    ("side", "code"), [(5001, SelfieCode.TOO_MANY_PIXELS), (1500, SelfieCode.NO_FACE)]
)
def test_a_picture_is_decoded_within_the_engines_budget(
    engine: FaceEngine, monkeypatch: pytest.MonkeyPatch, side: int, code: SelfieCode
) -> None:
    """A grey PNG, of a few kilobytes: 25 million pixels are half a gigabyte once decoded."""
    asked: list[int] = []
    reserve = engine.budget.reserve
    monkeypatch.setattr(engine.budget, "reserve", lambda n: (asked.append(n), reserve(n)))
    monkeypatch.setattr(engine, "detect", lambda photo: NO_DETECTIONS)
    file = BytesIO()
    Image.new("L", (side, side), 128).save(file, "PNG")

    with pytest.raises(SelfieError) as refused:
        read_selfie(file.getvalue(), engine, 2 * MOST_PIXELS, None)

    assert refused.value.code == code
    assert asked == ([side * side] if side * side <= MOST_PIXELS else [])
    assert engine.budget.held == 0
