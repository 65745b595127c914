"""Tests of the stand-in: real InsightFace loads it, and its operations are buffalo_l's."""

import hashlib
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from insightface.app import FaceAnalysis
from PIL import Image

from benchmarks.engine.operations import count_multiply_adds, count_parameters, count_work
from benchmarks.engine.pictures import (
    BenchPhoto,
    count_faces,
    draw_faces_picture,
    make_bench_photos,
    make_real_photos,
)
from benchmarks.engine.scrfd import build_scrfd
from benchmarks.engine.standin import write_standin_buffalo

# As published: multiply-adds and parameters, in millions.
PUBLISHED = {"det_10g.onnx": (640, 13_340, 4.23), "w600k_r50.onnx": (112, 6_310, 43.6)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The stand-in; deleted at the end, for pytest keeps what is large too."""
    folder = tmp_path_factory.mktemp("standin") / "buffalo_l"
    write_standin_buffalo(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def analysis(folder: Path) -> FaceAnalysis:
    """All five models, as the guide's loop loads them."""
    import onnxruntime
    from insightface import app

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    analysis = app.FaceAnalysis(
        name=str(folder), providers=["CPUExecutionProvider"], sess_options=options
    )
    analysis.prepare(ctx_id=-1, det_size=(640, 640))
    opened: FaceAnalysis = analysis
    return opened


def decode(photo: BenchPhoto) -> npt.NDArray[np.uint8]:
    """BGR pixels."""
    with Image.open(BytesIO(photo.jpeg)) as image:
        return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def hash_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# --- what it costs ---


@pytest.mark.parametrize("name", PUBLISHED)
def test_operations_and_parameters_are_the_published_ones(folder: Path, name: str) -> None:
    side, operations, parameters = PUBLISHED[name]
    assert count_multiply_adds(folder / name, side) / 1e6 == pytest.approx(operations, rel=0.02)
    assert count_parameters(folder / name) / 1e6 == pytest.approx(parameters, rel=0.02)


def test_work_is_in_operations_of_which_a_multiply_add_has_two(folder: Path) -> None:
    work = count_work(folder)
    assert work.photo_gflop == pytest.approx(26.7, rel=0.02)
    assert work.face_gflop == pytest.approx(12.6, rel=0.02)
    assert work.total_gflop(photos=2, faces=3) == pytest.approx(2 * 26.7 + 3 * 12.6, rel=0.02)


def test_a_quarter_of_the_photo_costs_a_quarter(folder: Path) -> None:
    whole, quarter = (count_multiply_adds(folder / "det_10g.onnx", side) for side in (640, 320))
    assert whole == pytest.approx(4 * quarter, rel=0.001)


# --- what it is ---


def test_the_same_seed_gives_the_same_bytes_another_seed_others(folder: Path) -> None:
    whole = hash_bytes((folder / "det_10g.onnx").read_bytes())
    again, other = (
        hash_bytes(build_scrfd(seed).SerializeToString(deterministic=True)) for seed in (1, 9)
    )
    assert whole == again != other


def test_insightface_loads_five_models(analysis: FaceAnalysis) -> None:
    assert set(analysis.models) == {
        "detection",
        "recognition",
        "landmark_3d_68",
        "landmark_2d_106",
        "genderage",
    }
    detector, recogniser = analysis.models["detection"], analysis.models["recognition"]
    assert type(detector).__name__ == "SCRFD"
    shapes = [output.shape for output in detector.session.get_outputs()]
    rows = (12800, 3200, 800)
    assert shapes == [[count, width] for width in (1, 4, 10) for count in rows]
    assert recogniser.session.get_outputs()[0].shape == ["None", 512]


def test_the_detectors_layers_are_all_there_when_it_runs(folder: Path, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(
        str(folder / "det_10g.onnx"), options, providers=["CPUExecutionProvider"]
    )
    kinds = {"Conv", "FusedConv"}
    before, after = (
        sum(node.op_type in kinds for node in onnx.load(file).graph.node)
        for file in (folder / "det_10g.onnx", options.optimized_model_filepath)
    )
    assert before == after


# --- what it finds ---


def test_every_planted_face_of_bench_photos_is_found_and_nothing_else(
    analysis: FaceAnalysis,
) -> None:
    photos = make_bench_photos()
    assert len(photos) == 24
    assert count_faces(photos) / len(photos) == pytest.approx(2.08, abs=0.01)
    sample = sorted(photos, key=lambda photo: photo.faces)[::4]  # from none to the most
    found = [len(analysis.det_model.detect(decode(photo))[0]) for photo in sample]
    assert found == [photo.faces for photo in sample]


def test_faces_lie_where_they_were_drawn_and_differ(analysis: FaceAnalysis) -> None:
    picture = draw_faces_picture(640, 480, 5, seed=3)
    faces = analysis.get(picture)
    assert len(faces) == 5
    for face in faces:
        left, top, right, bottom = face.bbox
        assert (right - left, bottom - top) == pytest.approx((96, 128), abs=2)
        middle = picture[round((top + bottom) / 2), round((left + right) / 2)].tolist()
        assert middle[1] == 0
        assert middle[0] == middle[2] >= 240
        assert (face.kps > (left, top)).all()
        assert (face.kps < (right, bottom)).all()
        assert face.landmark_3d_68.shape == (68, 3)
        assert face.landmark_2d_106.shape == (106, 2)
    embeddings = np.stack([face.normed_embedding for face in faces])
    assert (embeddings @ embeddings.T - np.eye(5)).max() < 0.95


@pytest.mark.parametrize(("width", "height"), [(1280, 854), (1000, 1500), (500, 333)])
def test_faces_are_found_at_any_size(analysis: FaceAnalysis, width: int, height: int) -> None:
    picture = draw_faces_picture(width, height, 6, seed=1)
    assert len(analysis.det_model.detect(picture)[0]) == 6


def test_nothing_is_found_in_photos_of_people(analysis: FaceAnalysis) -> None:
    photo = make_real_photos(2)[1]
    assert photo.faces == 6
    assert len(analysis.det_model.detect(decode(photo))[0]) == 0


# --- pictures ---


def test_bench_photos_are_the_same_every_time_and_all_different() -> None:
    photos = make_bench_photos(30)
    assert photos == make_bench_photos(30)
    assert len({photo.jpeg for photo in photos}) == 30
    assert {max(decode(photo).shape) for photo in photos} == {640}


def test_more_faces_than_places_are_refused() -> None:
    assert draw_faces_picture(640, 480, 15, seed=1).shape == (480, 640, 3)
    with pytest.raises(ValueError, match="16 faces are wanted, there is room for 15"):
        draw_faces_picture(640, 480, 16, seed=1)


def test_real_photos_are_previews_that_differ() -> None:
    photos = make_real_photos()
    assert len({photo.jpeg for photo in photos}) == len(photos) == 24
    assert 1.5 < count_faces(photos) / 24 < 2.5
    assert all(max(decode(photo).shape) <= 640 for photo in photos)
    with pytest.raises(ValueError, match="there are 24"):
        make_real_photos(25)
