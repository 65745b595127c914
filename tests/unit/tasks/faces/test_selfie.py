"""Faces of selfies on a stand-in pack: turned upright, aligned again, weighed."""

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
    MOST_PIXELS,
    align_at_scales,
    measure_quality,
    mirror_every_second,
    read_selfie,
)
from tasks.faces.tiles import SeenFace
from tasks.packs.registry import resolve_pack
from tests.support.standin_pack import draw_markers, write_standin_pack


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> FaceEngine:
    folder = tmp_path_factory.mktemp("selfies") / "buffalo_l"
    write_standin_pack(folder)
    return FaceEngine(resolve_pack(Settings(model_pack=str(folder))), "cpu")


def test_a_tilted_selfie_is_told_where_its_face_is_and_aligned_upright(
    engine: FaceEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = SeenFace(np.array([0, 0, 30, 30], np.float32), 0.9, np.zeros((5, 2), np.float32))
    points = np.array([[120, 90], [120, 130], [110, 110], [95, 95], [95, 125]], np.float32)
    lying = SeenFace(np.array([70, 60, 150, 160], np.float32), 0.85, points, -90.0)
    doubted: list[bool] = []

    def find_faces(photo: object, *, doubt_all: bool = False) -> list[SeenFace]:
        doubted.append(doubt_all)
        return [small, lying]

    monkeypatch.setattr(engine, "find_faces", find_faces)
    monkeypatch.setattr(engine, "detect", lambda seen: NO_DETECTIONS)
    aligned: list[npt.NDArray[np.float32]] = []
    align = engine.align
    monkeypatch.setattr(
        engine, "align", lambda photo, at: (aligned.append(at), align(photo, at))[1]
    )
    noise = np.random.default_rng(1).integers(0, 255, (200, 200, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(noise).save(file, "PNG")

    selfie = read_selfie(file.getvalue(), engine, MOST_PIXELS, None)

    assert doubted == [True]
    assert selfie.face.box == pytest.approx((0.35, 0.3, 0.75, 0.8))
    right, left = aligned[0][:2]
    assert (left[0] - right[0], left[1] - right[1]) == pytest.approx((40, 0), abs=0.1)
    assert 0 < selfie.quality <= 0.85


def test_every_second_crop_is_mirrored() -> None:
    crops = [np.full((2, 2, 3), n, np.uint8) for n in range(3)]
    for crop in crops:
        crop[:, 0] += 100
    first, second, third = mirror_every_second(crops)
    assert first is crops[0]
    assert second[:, :, 0].tolist() == [[1, 101], [1, 101]]
    assert third is crops[2]


@pytest.mark.parametrize(
    ("faces", "chosen"),
    [
        ([(100, 0.9), (60, 0.9)], 0),
        ([(100, 0.9), (80, 0.9)], SelfieCode.SEVERAL_FACES),
        ([(110, 0.7), (100, 0.9)], 1),  # larger, and hardly a face
        ([(110, 0.7), (100, 0.9), (90, 0.88)], SelfieCode.SEVERAL_FACES),
        ([(110, 0.7)], 0),
    ],
)
def test_the_guests_face_is_the_largest_of_those_that_are_clear(
    engine: FaceEngine,
    monkeypatch: pytest.MonkeyPatch,
    faces: list[tuple[int, float]],
    chosen: int | SelfieCode,
) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (200, 400, 3), np.uint8)
    found = [
        SeenFace(
            np.array([x, 0, x + side, side], np.float32),
            score,
            np.array([[x, 9], [x + 40, 9], [x + 20, 30], [x, 50], [x + 40, 50]], np.float32),
        )
        for x, (side, score) in enumerate(faces)
    ]
    monkeypatch.setattr(engine, "find_faces", lambda photo, doubt_all: found)
    file = BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    if isinstance(chosen, SelfieCode):
        with pytest.raises(SelfieError) as refused:
            read_selfie(file.getvalue(), engine, MOST_PIXELS, None)
        assert refused.value.code == chosen
    else:
        face = read_selfie(file.getvalue(), engine, MOST_PIXELS, None).face
        assert face.confidence == pytest.approx(faces[chosen][1])


def test_small_and_blurred_selfies_weigh_less() -> None:
    def weigh(side: float, sharpness: float) -> float:
        box = np.array([0, 0, side, side], np.float32)
        return measure_quality(SeenFace(box, 0.9, np.zeros((5, 2), np.float32)), sharpness)

    assert weigh(300, 0.3) == weigh(112, 0.1) == 0.9
    assert 0 < weigh(30, 0.3) < weigh(60, 0.3) < 0.9
    assert 0 < weigh(300, 0.0) < weigh(300, 0.05) < 0.9


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
    monkeypatch.setattr(engine, "find_faces", lambda photo, doubt_all: [])
    file = BytesIO()
    Image.new("L", (side, side), 128).save(file, "PNG")

    with pytest.raises(SelfieError) as refused:
        read_selfie(file.getvalue(), engine, 2 * MOST_PIXELS, None)

    assert refused.value.code == code
    assert asked == ([side * side] if side * side <= MOST_PIXELS else [])
    assert engine.budget.held == 0
