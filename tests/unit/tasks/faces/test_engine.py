"""The face engine on a stand-in pack: real onnxruntime, real InsightFace, no real weights."""

import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from models.errors import (
    FaceEngineError,
    FacePassError,
    ModelPackError,
    PhotoUnavailableError,
    S3AccessError,
    S3DownloadError,
)
from models.settings import Settings, get_settings
from tasks.faces.cache import require_face_engine, reset_model_cache
from tasks.faces.detected import DetectedFaces
from tasks.faces.engine import FaceEngine
from tasks.packs.loading import load_analysis
from tasks.packs.registry import ModelPack, resolve_pack
from tests.support.standin_pack import EMBEDDING_DIMENSION, draw_markers, write_standin_pack

LIMIT_S = 20  # for events that come at once

Photo = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> ModelPack:
    """The stand-in pack."""
    folder = tmp_path_factory.mktemp("engine") / "buffalo_l"
    write_standin_pack(folder)
    return resolve_pack(Settings(model_pack=str(folder)))


@pytest.fixture(scope="module", params=[False, True], ids=["one by one", "in batches"])
def engine(pack: ModelPack, request: pytest.FixtureRequest) -> FaceEngine:
    """One engine of each kind for all tests."""
    return FaceEngine(pack, "cpu", batching=request.param)


def draw_people(count: int, side: int = 1280) -> Photo:
    """A picture with so many faces, in rows of six."""
    step = side // 7
    places = [(step + step * (i % 6), step + step * (i // 6)) for i in range(count)]
    return draw_markers(side, side, places)


def check_same(got: DetectedFaces | FacePassError, expected: DetectedFaces) -> None:
    """The same faces in the same places."""
    assert isinstance(got, DetectedFaces)
    np.testing.assert_allclose(got.boxes, expected.boxes, atol=1e-6)
    np.testing.assert_allclose(got.scores, expected.scores, atol=1e-6)
    assert got.embeddings.shape == expected.embeddings.shape
    cosines = (got.embeddings * expected.embeddings).sum(axis=1)
    assert cosines.size == 0 or cosines.min() >= 0.99999


# --- one photo ---


@pytest.mark.parametrize("count", [1, 2, 16, 17, 33])
def test_every_face_is_found_and_has_a_unit_vector_and_a_box_inside_the_photo(
    engine: FaceEngine, count: int
) -> None:
    faces = engine.embed(draw_people(count))
    assert faces.boxes.shape == (count, 4)
    assert faces.scores.shape == (count,)
    assert faces.embeddings.shape == (count, EMBEDDING_DIMENSION)
    assert {faces.boxes.dtype, faces.scores.dtype, faces.embeddings.dtype} == {np.dtype(np.float32)}
    np.testing.assert_allclose(np.linalg.norm(faces.embeddings, axis=1), 1, atol=1e-5)
    assert faces.boxes.min() >= 0
    assert faces.boxes.max() <= 1
    assert (faces.boxes[:, :2] < faces.boxes[:, 2:]).all()
    assert ((faces.scores > 0) & (faces.scores <= 1)).all()


def test_a_box_reaching_over_the_border_is_cut_at_it(engine: FaceEngine) -> None:
    faces = engine.embed(draw_markers(640, 640, [(32, 32), (600, 600)]))
    assert len(faces.scores) == 2
    assert faces.boxes.min() == 0
    assert faces.boxes.max() == 1


@pytest.mark.parametrize(("width", "height"), [(1280, 640), (640, 1280), (900, 600)])
def test_a_box_is_a_share_of_width_and_height_where_the_face_is(
    engine: FaceEngine, width: int, height: int
) -> None:
    faces = engine.embed(draw_markers(width, height, [(width // 4, height // 2)]))
    assert len(faces.scores) == 1
    x1, y1, x2, y2 = faces.boxes[0]
    assert x1 < 0.25 < x2
    assert y1 < 0.5 < y2
    assert abs((x1 + x2) / 2 - 0.25) < 0.03
    assert abs((y1 + y2) / 2 - 0.5) < 0.03


def test_the_best_detection_comes_first(engine: FaceEngine) -> None:
    scores = engine.embed(draw_people(20)).scores
    assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize(("width", "height"), [(640, 480), (1, 1), (2, 3), (639, 1)])
def test_a_photo_without_faces_gives_empty_arrays(
    engine: FaceEngine, width: int, height: int
) -> None:
    faces = engine.embed(np.zeros((height, width, 3), np.uint8))
    assert faces.boxes.shape == (0, 4)
    assert len(faces.scores) == len(faces.embeddings) == 0


@pytest.mark.parametrize(("width", "height"), [(641, 1), (1, 641), (6401, 10)])
def test_a_photo_much_longer_than_wide_does_not_fail_its_batch(
    engine: FaceEngine, width: int, height: int
) -> None:
    [faces] = engine.embed_all([lambda: np.zeros((height, width, 3), np.uint8)])
    assert isinstance(faces, PhotoUnavailableError) or len(faces.scores) == 0  # type: ignore[union-attr]


@pytest.mark.parametrize("count", [0, 1, 5, 18])
def test_faces_are_those_of_insightface_itself(
    engine: FaceEngine, pack: ModelPack, count: int
) -> None:
    photo = draw_people(count)
    plain = load_analysis(pack, "cpu").get(photo)
    faces = engine.embed(photo)
    assert len(plain) == len(faces.scores) == count
    for face, box, score, vector in zip(
        plain, faces.boxes, faces.scores, faces.embeddings, strict=True
    ):
        np.testing.assert_allclose(np.clip(face.bbox / 1280, 0, 1), box, atol=1e-6)
        assert face.det_score == pytest.approx(score, abs=1e-6)
        assert float(face.normed_embedding @ vector) >= 0.99999


def test_the_photo_itself_is_not_changed(engine: FaceEngine) -> None:
    photo = draw_people(3)
    engine.embed(photo)
    np.testing.assert_array_equal(photo, draw_people(3))


# --- a batch ---


def test_no_photos_give_no_faces(engine: FaceEngine) -> None:
    assert engine.embed_all([]) == []


def test_results_keep_the_order_given_though_later_photos_arrive_first(engine: FaceEngine) -> None:
    """Each photo is read only once the next one has been."""
    count = 6
    arrived = [threading.Event() for _ in range(count + 1)]
    arrived[count].set()

    def read(i: int) -> Photo:
        assert arrived[i + 1].wait(LIMIT_S)
        arrived[i].set()
        return draw_people(i + 1)

    results = engine.embed_all([partial(read, i) for i in range(count)])
    for i, faces in enumerate(results):
        check_same(faces, engine.embed(draw_people(i + 1)))


def test_a_large_batch_gives_what_its_photos_give_one_by_one(engine: FaceEngine) -> None:
    photos = [draw_people(i % 4, side=640) for i in range(40)]
    results = engine.embed_all([partial(np.copy, photo) for photo in photos])
    expected = [engine.embed(photo) for photo in photos[:4]]
    for i, faces in enumerate(results):
        check_same(faces, expected[i % 4])


@pytest.mark.parametrize(
    "error",
    [
        PhotoUnavailableError("empty"),
        S3DownloadError("S3 unreachable."),
        S3AccessError("There is no bucket."),
    ],
)
def test_a_readers_own_error_takes_its_photos_place_and_spares_the_others(
    engine: FaceEngine, error: FacePassError
) -> None:
    def fail() -> Photo:
        raise error

    first, second, third = engine.embed_all(
        [partial(draw_people, 1), fail, partial(draw_people, 2)]
    )
    assert second is error
    check_same(first, engine.embed(draw_people(1)))
    check_same(third, engine.embed(draw_people(2)))


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("no disk"), MemoryError()])
def test_any_other_error_is_raised(engine: FaceEngine, error: Exception) -> None:
    def fail() -> Photo:
        raise error

    with pytest.raises(type(error)) as raised:
        engine.embed_all([partial(draw_people, 1), fail])
    assert raised.value is error


# --- whose fault ---


class FailingModel:
    """A model that raises where `fails` says so, and else does what the real one does."""

    def __init__(self, model: Any, error: Exception, fails: Callable[[Any], bool]) -> None:
        self.model, self.error, self.fails = model, error, fails
        self.input_size = model.input_size

    def detect(self, photo: Photo) -> Any:
        """The detector's call."""
        return self._call(self.model.detect, photo)

    def get_feat(self, crops: list[Photo]) -> Any:
        """The recogniser's call."""
        return self._call(self.model.get_feat, crops)

    def embed_faces(self, photo: Photo, landmarks: Any) -> Any:
        """The recogniser's call in batches."""
        return self._call(self.model.embed_faces, photo, landmarks)

    def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        if self.fails(arguments[0]):
            raise self.error
        return method(*arguments)


def is_cursed(photo: Photo) -> bool:
    """Whether its first pixel is white."""
    return bool(photo[0, 0, 0] == 255)


def curse(photo: Photo) -> Photo:
    """The photo on which the models fail."""
    photo[0, 0] = 255
    return photo


MODEL_ERRORS = [
    cv2.error("(-215:Assertion failed)"),
    RuntimeError("Non-zero status code"),
    IndexError(),
]


@pytest.mark.parametrize("error", MODEL_ERRORS)
def test_a_photo_on_which_the_models_fail_is_unprocessable_and_spares_the_others(
    engine: FaceEngine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(engine, "_detector", FailingModel(engine._detector, error, is_cursed))
    good, bad = partial(draw_people, 1), lambda: curse(draw_people(2))
    first, second, third = engine.embed_all([good, bad, good])
    assert isinstance(second, PhotoUnavailableError)
    assert second.reason == "unprocessable"
    for faces in (first, third):
        check_same(faces, engine.embed(draw_people(1)))
    [alone] = engine.embed_all([bad])
    assert isinstance(alone, PhotoUnavailableError)


@pytest.mark.parametrize("model", ["_detector", "_recogniser"])
@pytest.mark.parametrize("count", [1, 5])
def test_models_that_fail_on_a_plain_picture_too_are_never_a_photos_fault(
    engine: FaceEngine, monkeypatch: pytest.MonkeyPatch, model: str, count: int
) -> None:
    broken = FailingModel(getattr(engine, model), RuntimeError("no device"), lambda _: True)
    monkeypatch.setattr(engine, model, broken)
    for result in engine.embed_all([partial(draw_people, 1)] * count):
        assert isinstance(result, FaceEngineError)
        assert str(result).endswith("start the sync again.")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        cv2.error("(-4:Insufficient memory) Failed to allocate 588000000 bytes"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("CUDA failure 2: out of memory"),
    ],
)
def test_memory_that_runs_out_is_never_a_photos_fault(
    engine: FaceEngine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(engine, "_detector", FailingModel(engine._detector, error, is_cursed))
    with pytest.raises(MemoryError):
        engine.embed_all([lambda: curse(draw_people(1))])


def test_a_refused_photos_bytes_do_not_stay_until_the_batch_ends(engine: FaceEngine) -> None:
    kept: list[weakref.ref[Photo]] = []

    def fail() -> Photo:
        content = np.zeros(1000, np.uint8)
        kept.append(weakref.ref(content))
        try:
            raise ValueError("a decoder's own error")
        except ValueError as error:
            raise PhotoUnavailableError("truncated") from error

    results = engine.embed_all([fail] * 3)
    assert [type(result) for result in results] == [PhotoUnavailableError] * 3
    assert [reference() for reference in kept] == [None] * 3


def test_pixels_that_a_reader_reserved_are_free_again_whatever_became_of_its_photo(
    engine: FaceEngine,
) -> None:
    def read() -> Photo:
        engine.budget.reserve(40_000_000)
        assert engine.budget.held == 40_000_000  # only one of these fits
        return draw_people(1)

    def fail(error: Exception) -> Photo:
        engine.budget.reserve(40_000_000)
        raise error

    engine.embed_all([read, partial(fail, PhotoUnavailableError("truncated"))] * 6)
    with pytest.raises(ValueError, match="a bug"):
        engine.embed_all([partial(fail, ValueError("a bug"))])
    engine.embed_all([read])
    assert engine.budget.held == 0


def test_the_engine_goes_on_after_a_batch_that_failed(engine: FaceEngine) -> None:
    def fail() -> Photo:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        engine.embed_all([fail] * 20)
    [faces] = engine.embed_all([partial(draw_people, 2)])
    check_same(faces, engine.embed(draw_people(2)))


def test_two_batches_at_once_do_not_mix(engine: FaceEngine) -> None:
    batches = [[partial(draw_people, count, 640)] * 6 for count in (1, 3)]
    with ThreadPoolExecutor(2) as threads:
        ones, threes = threads.map(engine.embed_all, batches)
    for results, count in ((ones, 1), (threes, 3)):
        expected = engine.embed(draw_people(count, 640))
        for faces in results:
            check_same(faces, expected)


# --- the process's engine ---


@pytest.fixture
def configured(pack: ModelPack, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelPack]:
    """The settings name the stand-in pack; no engine is loaded yet."""
    monkeypatch.setenv("FACEPASS_MODEL_PACK", str(pack.folder))
    get_settings.cache_clear()
    reset_model_cache()
    yield pack
    get_settings.cache_clear()
    reset_model_cache()


def test_one_engine_is_loaded_however_many_threads_ask(configured: ModelPack) -> None:
    with ThreadPoolExecutor(8) as threads:
        engines = list(threads.map(require_face_engine, [configured.identity] * 8))
    assert len(set(map(id, engines))) == 1
    assert engines[0].pack == configured


def test_a_sync_planned_for_another_pack_is_refused(configured: ModelPack) -> None:
    with pytest.raises(
        ModelPackError, match=r"opencv_zoo@0123.*FACEPASS_MODEL_PACK and FACEPASS_INFERENCE\.$"
    ) as refusal:
        require_face_engine("opencv_zoo@0123456789abcdef")
    assert configured.identity in str(refusal.value)
