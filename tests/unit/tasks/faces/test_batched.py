"""Batches against one photo at a time: the same faces to the bit, on real photos and drawn ones."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from benchmarks.engine.pairs import make_pairs
from benchmarks.engine.pictures import make_real_photos
from models.errors import FaceEngineError, ModelPackError, PhotoUnavailableError
from models.settings import Settings
from tasks.faces import batched
from tasks.faces.align import estimate_alignment
from tasks.faces.batched import choose_photos, choose_sizes, suppress
from tasks.faces.detected import DetectedFaces
from tasks.faces.engine import FaceEngine
from tasks.images.decode import BgrImage, decode_photo
from tasks.packs.registry import ModelPack, resolve_pack
from tests.support.standin_pack import draw_markers, write_standin_pack

MAX_PIXELS = 50_000_000


@pytest.fixture(scope="module", autouse=True)
def _small_batches() -> Iterator[None]:
    """Batches of a size that two cores compute soon; rows that nobody fills cost the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batched, "PHOTOS", 8)
        patch.setattr(batched, "FACES", 16)
        yield


@pytest.fixture(scope="module")
def zoo(models_root: Path) -> ModelPack:
    """opencv_zoo, whose doubtful faces are looked at again."""
    return resolve_pack(Settings(model_pack="opencv_zoo", model_root=models_root))


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> ModelPack:
    """The stand-in pack, whose rows are cells before photos."""
    folder = tmp_path_factory.mktemp("batched") / "buffalo_l"
    write_standin_pack(folder)
    return resolve_pack(Settings(model_pack=str(folder)))


@pytest.fixture(scope="module")
def engines(standin: ModelPack) -> tuple[FaceEngine, FaceEngine]:
    """One photo at a time, and batches."""
    return FaceEngine(standin, "cpu"), FaceEngine(standin, "cpu", batching=True)


def check_equal(got: object, expected: object) -> None:
    """The same faces, bit by bit."""
    assert isinstance(got, DetectedFaces)
    assert isinstance(expected, DetectedFaces)
    for name in ("boxes", "scores", "embeddings"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    assert got.turned == expected.turned


def list_real_photos() -> list[BgrImage]:
    """People upright, lying, small, tilted, and none."""
    found = [decode_photo(photo.jpeg, MAX_PIXELS) for photo in make_real_photos(12)]
    found += [decode_photo(jpeg, MAX_PIXELS) for jpeg in make_pairs(4)]
    return found + [np.ascontiguousarray(np.rot90(photo)) for photo in found[:4]]


def test_real_photos_have_the_same_faces_in_batches(zoo: ModelPack) -> None:
    photos = list_real_photos()
    alone, together = FaceEngine(zoo, "cpu"), FaceEngine(zoo, "cpu", batching=True)
    results = together.embed_all([partial(np.copy, photo) for photo in photos])
    assert sum(len(faces.scores) for faces in results if isinstance(faces, DetectedFaces)) > 30
    for photo, faces in zip(photos, results, strict=True):
        check_equal(faces, alone.embed(photo))


@given(
    photos=st.lists(
        st.tuples(
            st.integers(0, 6), st.sampled_from([(640, 640), (900, 600), (500, 1280), (64, 64)])
        ),
        min_size=1,
        max_size=12,
    ),
    broken=st.sets(st.integers(0, 11)),
    runs=st.integers(1, 3),
)
@settings(max_examples=15, deadline=None)
def test_any_mix_of_photos_failures_and_runs_gives_what_one_photo_at_a_time_gives(
    engines: tuple[FaceEngine, FaceEngine],
    photos: list[tuple[int, tuple[int, int]]],
    broken: set[int],
    runs: int,
) -> None:
    alone, together = engines

    def read(number: int) -> BgrImage:
        if number in broken:
            raise PhotoUnavailableError("truncated")
        count, (width, height) = photos[number]
        places = [(width // 8 + width // 8 * i, height // 2) for i in range(count)]
        return draw_markers(width, height, places)

    readers = [partial(read, number) for number in range(len(photos))]
    with ThreadPoolExecutor(runs) as threads:
        all_results = list(threads.map(together.embed_all, [readers] * runs, range(runs)))
    for results in all_results:
        for number, faces in enumerate(results):
            if number in broken:
                assert isinstance(faces, PhotoUnavailableError)
            else:
                check_equal(faces, alone.embed(read(number)))


def test_a_run_that_is_given_up_leaves_the_others_their_results(
    engines: tuple[FaceEngine, FaceEngine],
) -> None:
    alone, together = engines
    photo = draw_markers(640, 640, [(200, 200), (400, 400)])

    def fail() -> BgrImage:
        raise ValueError("a bug")

    with ThreadPoolExecutor(2) as threads:
        good = threads.submit(together.embed_all, [lambda: photo] * 40, "good")
        with pytest.raises(ValueError, match="a bug"):
            together.embed_all([fail, *[lambda: photo] * 40], "bad")
        for faces in good.result():
            check_equal(faces, alone.embed(photo))


def test_a_device_that_fails_is_nobodys_photo(
    standin: ModelPack, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FaceEngine(standin, "cpu", batching=True)

    def fail(*_: object) -> None:
        raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")

    monkeypatch.setattr(engine._detector._sessions, "run", fail)
    [result] = engine.embed_all([lambda: draw_markers(640, 640, [(300, 300)])])
    assert isinstance(result, FaceEngineError)


def test_in_fp16_the_same_faces_are_found_with_almost_the_same_vectors(
    zoo: ModelPack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph of cuda-fp16, computed by the CPU provider, which takes fp16 too."""
    photos = [decode_photo(photo.jpeg, MAX_PIXELS) for photo in make_real_photos(4)]
    exact = [FaceEngine(zoo, "cpu").embed(photo) for photo in photos]
    monkeypatch.setattr(batched, "HALF", "cpu")
    half = FaceEngine(zoo, "cpu", batching=True)
    found = half.embed_all([partial(np.copy, photo) for photo in photos])
    for faces, expected in zip(found, exact, strict=True):
        assert isinstance(faces, DetectedFaces)
        assert len(faces.scores) == len(expected.scores)
        if len(faces.scores):
            assert (faces.embeddings @ expected.embeddings.T).max(axis=1).min() > 0.98


def test_a_recogniser_for_one_face_a_call_stays_so(standin: ModelPack, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    write_standin_pack(folder)
    model = onnx.load(folder / "w600k_r50.onnx")
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, folder / "w600k_r50.onnx")
    engine = FaceEngine(resolve_pack(Settings(model_pack=str(folder))), "cpu", batching=True)
    assert engine._recogniser.sizes == (1,)
    photo = draw_markers(640, 640, [(200, 200), (400, 400)])
    check_equal(engine.embed(photo), FaceEngine(standin, "cpu").embed(photo))


def test_a_detector_of_another_form_is_refused_with_a_sentence(
    standin: ModelPack, tmp_path: Path
) -> None:
    folder = tmp_path / "other"
    write_standin_pack(folder)
    model = onnx.load(folder / "det_10g.onnx")
    for node in model.graph.node:
        if node.op_type == "Transpose":
            node.attribute[0].CopyFrom(helper.make_attribute("perm", [3, 2, 1, 0]))
    onnx.save(model, folder / "det_10g.onnx")
    pack = resolve_pack(Settings(model_pack=str(folder)))
    with pytest.raises(ModelPackError, match=r"det_10g\.onnx cannot be run in batches \(.*cpu"):
        FaceEngine(pack, "cpu", batching=True)


def test_sizes_of_batches_are_few_and_bounded_by_pixels() -> None:
    assert [choose_sizes(most) for most in (1, 4, 32)] == [(1,), (1, 2, 4), (4, 16, 32)]
    assert [choose_photos(side) for side in (320, 640, 1280, 4096)] == [8, 8, 2, 1]


@given(
    turn=st.floats(-180, 180),
    scale=st.floats(0.1, 8),
    x=st.floats(-50, 2000),
    seed=st.integers(0, 99),
)
def test_alignment_is_insightfaces(turn: float, scale: float, x: float, seed: int) -> None:
    from insightface.utils import face_align

    noise = np.random.default_rng(seed).normal(0, 3, (5, 2))
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    points = (face_align.arcface_dst + noise) @ np.array([[cosine, sine], [-sine, cosine]])
    landmarks = (points * scale + x).astype(np.float32)
    ours, theirs = estimate_alignment(landmarks, 112), face_align.estimate_norm(landmarks)
    corners = np.array([[0, 0, 1], [x, x, 1], [x + 100 * scale, x, 1]])
    np.testing.assert_allclose(corners @ ours.T, corners @ theirs.T, atol=0.05)


@given(
    st.lists(st.tuples(*[st.floats(0, 300)] * 2, *[st.floats(-2, 90)] * 2), min_size=1, max_size=40)
)
def test_overlapping_candidates_are_suppressed_as_insightface_does(
    boxes: list[tuple[float, float, float, float]],
) -> None:
    from insightface.model_zoo.scrfd import SCRFD

    rows = [
        (x, y, x + width, y + height, 1 - n / 100) for n, (x, y, width, height) in enumerate(boxes)
    ]
    faces = np.array(rows, np.float32)
    plain = SCRFD.__new__(SCRFD)
    plain.nms_thresh = 0.4
    with np.errstate(all="ignore"):
        assert suppress(faces, 0.4) == [int(number) for number in plain.nms(faces)]


def test_points_that_are_all_one_give_a_square_and_no_error(standin: ModelPack) -> None:
    engine = FaceEngine(standin, "cpu")
    crop = engine.align(draw_markers(64, 64, []), np.ones((5, 2), np.float32))
    assert crop.shape == (112, 112, 3)
