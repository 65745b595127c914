"""Each backend against plain InsightFace, on real photos with opencv_zoo."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import ImageOps

from models.errors import ModelPackError
from models.settings import Settings
from tasks.faces.engine import FaceEngine
from tasks.packs.figures import Doubt
from tasks.packs.loading import NEEDED_MODULES, load_analysis
from tasks.packs.opencv_zoo import DETECTOR, RECOGNISER
from tasks.packs.openvino import OpenVinoSession, open_openvino
from tasks.packs.registry import ModelPack, resolve_pack
from tests.support.photos import read_group, read_sample
from tests.support.standin_pack import EMBEDDING_DIMENSION, draw_markers, write_standin_pack

Picture = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def pack(models_root: Path) -> ModelPack:
    """opencv_zoo."""
    return resolve_pack(Settings(model_pack="opencv_zoo", model_root=models_root))


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    """Real photos, BGR: people upright, mirrored, smaller, and none."""
    group = read_group()
    images = [
        group,
        ImageOps.mirror(group),
        group.resize((640, 443)),
        read_sample("astronaut.png"),
        read_sample("coffee.png"),
    ]
    return [np.ascontiguousarray(np.asarray(image)[:, :, ::-1]) for image in images]


@pytest.fixture(scope="module")
def plain(pack: ModelPack, pictures: list[Picture]) -> list[list[Any]]:
    """What InsightFace finds by itself, with onnxruntime's defaults."""
    from insightface import app

    analysis = app.FaceAnalysis(
        name=str(pack.folder),
        allowed_modules=list(NEEDED_MODULES),
        providers=["CPUExecutionProvider"],
    )
    analysis.prepare(ctx_id=-1, det_size=(640, 640), det_thresh=pack.figures.detection)
    found = [analysis.get(picture) for picture in pictures]
    assert [len(faces) for faces in found] == [6, 6, 6, 1, 0]
    return found


def has_bf16() -> bool:
    try:
        open_openvino("openvino-bf16")
    except ModelPackError:
        return False
    return True


@pytest.mark.parametrize(
    ("inference", "box_px", "cosine"),
    [
        ("cpu", 0.001, 0.99999),
        ("openvino", 0.01, 0.99999),
        pytest.param(
            "openvino-bf16",
            2.0,
            0.99,
            marks=pytest.mark.skipif(not has_bf16(), reason="this CPU has no bf16"),
        ),
    ],
)
def test_faces_are_those_of_plain_face_analysis(
    pack: ModelPack,
    pictures: list[Picture],
    plain: list[list[Any]],
    inference: str,
    box_px: float,
    cosine: float,
) -> None:
    first_look = replace(pack, figures=replace(pack.figures, doubt=Doubt()))
    engine = FaceEngine(first_look, inference, threads=2)
    readers = [lambda picture=picture: picture for picture in pictures]
    for faces, expected, picture in zip(engine.embed_all(readers), plain, pictures, strict=True):
        assert not isinstance(faces, Exception)
        assert len(faces.scores) == len(expected)
        height, width = picture.shape[:2]
        for box, vector, face in zip(faces.boxes, faces.embeddings, expected, strict=True):
            found = box * [width, height, width, height]
            inside = np.clip(face.bbox, 0, [width, height, width, height])
            assert np.abs(found - inside).max() <= box_px
            assert float(vector @ face.normed_embedding) >= cosine


@pytest.mark.parametrize("inference", ["cpu", "openvino"])
@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_photo_that_lies_has_the_faces_of_the_upright_one(
    pack: ModelPack, pictures: list[Picture], inference: str, turn: int
) -> None:
    engine = FaceEngine(pack, inference, threads=2)
    upright = engine.embed(pictures[0])
    assert upright.turned == 0

    lying = engine.embed(np.ascontiguousarray(np.rot90(pictures[0], turn // 90)))

    assert (lying.turned, len(lying.scores)) == (turn, len(upright.scores))
    likeness = lying.embeddings @ upright.embeddings.T
    assert likeness.max(axis=1).min() > 0.8
    assert sorted(likeness.argmax(axis=1)) == list(range(len(upright.scores)))
    turned_box = {
        90: lambda x1, y1, x2, y2: (y1, 1 - x2, y2, 1 - x1),
        180: lambda x1, y1, x2, y2: (1 - x2, 1 - y2, 1 - x1, 1 - y1),
        270: lambda x1, y1, x2, y2: (1 - y2, x1, 1 - y1, x2),
    }[turn]
    for box, same in zip(lying.boxes, likeness.argmax(axis=1), strict=True):
        assert box == pytest.approx(turned_box(*upright.boxes[same]), abs=0.02)


def test_one_photo_gives_the_same_bits_every_time(pack: ModelPack, pictures: list[Picture]) -> None:
    """Whatever else is computed meanwhile: what a rerun stores equals what it replaces."""
    engine = FaceEngine(pack, "cpu", threads=2)
    alone = engine.embed(pictures[0])
    for faces in engine.embed_all([lambda: pictures[0]] * 8):
        assert not isinstance(faces, Exception)
        np.testing.assert_array_equal(faces.embeddings, alone.embeddings)
        np.testing.assert_array_equal(faces.boxes, alone.boxes)


def test_a_detector_that_takes_any_size_runs_on_openvino_too(tmp_path: Path) -> None:
    """As buffalo_l's does; InsightFace would open a session of onnxruntime for the size."""
    write_standin_pack(tmp_path / "buffalo_l")
    analysis = load_analysis(
        resolve_pack(Settings(model_pack=str(tmp_path / "buffalo_l"))), "openvino"
    )
    ran: list[str] = []
    for name, model in analysis.models.items():
        model.session.run = note_run(ran, name, model.session.run)
    [face] = analysis.get(draw_markers(640, 640, [(320, 320)]))
    assert ran == ["detection", "recognition"]
    assert len(face.embedding) == EMBEDDING_DIMENSION


def note_run(ran: list[str], name: str, run: Any) -> Any:
    def run_and_note(*args: Any) -> Any:
        ran.append(name)
        return run(*args)

    return run_and_note


def test_only_what_changes_vectors_is_in_the_identity(models_root: Path) -> None:
    def identify(inference: str) -> str:
        settings = Settings.model_validate(
            {"model_pack": "opencv_zoo", "model_root": models_root, "inference": inference}
        )
        return resolve_pack(settings).identity

    assert identify("cpu") == identify("openvino") == identify("cuda")
    assert identify("openvino-bf16") == f"{identify('cpu')}+bf16"


@pytest.mark.parametrize("inference", ["openvino", "openvino-bf16"])
def test_a_missing_backend_is_said_in_one_sentence(
    pack: ModelPack, monkeypatch: pytest.MonkeyPatch, inference: str
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ModelPackError, match=rf"{inference} needs OpenVINO: install .*openvino\]"):
        FaceEngine(pack, inference)


def test_bf16_is_refused_where_the_cpu_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    import openvino

    monkeypatch.setattr(openvino.Core, "get_property", lambda *_: ["FP32", "INT8"])
    with pytest.raises(ModelPackError, match="does not compute in bf16"):
        open_openvino("openvino-bf16")


def test_a_session_names_its_tensors_as_onnxruntime_does(pack: ModelPack) -> None:
    import onnxruntime

    for model, side in ((pack.folder / DETECTOR, 640), (pack.folder / RECOGNISER, 112)):
        ours = OpenVinoSession(model, "openvino", threads=1, side=side)
        theirs = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        assert [one.name for one in ours.get_inputs()] == [o.name for o in theirs.get_inputs()]
        assert [one.name for one in ours.get_outputs()] == [o.name for o in theirs.get_outputs()]
