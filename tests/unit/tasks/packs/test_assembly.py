"""Packs of YuNet and a file that their owner brings: checked, and written for both sizes."""

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deployments.facepass import main
from models.errors import ModelPackError
from models.settings import Settings, get_settings
from tasks.packs import assembly
from tasks.packs.figures import AURAFACE_FIGURES, OPENCV_ZOO_FIGURES
from tasks.packs.loading import load_analysis
from tasks.packs.registry import resolve_pack
from tests.support.photos import read_sample
from tests.support.standin_pack import STANDIN_FIGURES, write_standin_recogniser


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A recogniser's file of AuraFace's shape."""
    write_standin_recogniser(tmp_path / "glintr100.onnx")
    return tmp_path / "glintr100.onnx"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that packs are written into."""
    monkeypatch.setenv("FACEPASS_MODEL_ROOT", str(tmp_path / "root"))
    get_settings.cache_clear()
    return tmp_path / "root" / "models"


@pytest.fixture
def auraface(file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file, taken for AuraFace's own."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(assembly, "AURAFACE", digest)
    monkeypatch.setitem(assembly.KNOWN_RECOGNISERS, digest, AURAFACE_FIGURES)
    return file


def edit(path: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    """Change the model in the file."""
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())


# --- a pack ---


def test_auraface_is_a_pack_of_both_sizes_that_may_be_used_commercially(
    auraface: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pack", str(auraface)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.splitlines() == [
        f"Written: {models / 'auraface'} (licence: {AURAFACE_FIGURES.licence}).",
        f"Then use it: FACEPASS_MODEL_PACK={models / 'auraface'}",
    ]
    photo = np.array(read_sample("astronaut.png").convert("RGB"), np.uint8)[:, :, ::-1]
    by_name = Settings(model_pack="auraface", model_root=models.parent)
    by_path = Settings(model_pack=str(models / "auraface"), model_root=models)
    identities = set()
    for size in (640, 1280):
        pack = resolve_pack(by_name, det_size=size)
        assert resolve_pack(by_path, det_size=size) == pack
        assert (pack.name, pack.figures, pack.licence) == (
            "auraface",
            AURAFACE_FIGURES,
            AURAFACE_FIGURES.licence,
        )
        analysis = load_analysis(pack, "cpu", det_size=size)
        assert analysis.models["detection"].input_size == (size, size)
        assert analysis.models["detection"].det_thresh == OPENCV_ZOO_FIGURES.detection
        (face,) = analysis.get(photo)
        assert face.normed_embedding.shape == (512,)
        # RGB, (x - 127.5) / 127.5, as ArcFace's are fed.
        recogniser = analysis.models["recognition"]
        assert (recogniser.input_mean, recogniser.input_std) == (127.5, 127.5)
        crops = [np.full((112, 112, 3), shade, np.uint8) for shade in (0, 90, 200)]
        assert recogniser.get_feat(crops).shape == (3, 512)
        identities.add(pack.identity)
    assert len(identities) == 2
    text = (models / "auraface" / "MODEL.LICENSE").read_text()
    assert "Copyright (c) 2020 Shiqi Yu" in text
    assert "https://huggingface.co/fal/AuraFace-v1" in text
    assert "https://www.apache.org/licenses/LICENSE-2.0" in text
    assert "SFace" not in text


def test_the_larger_pack_shares_the_recogniser_with_the_usual_one(
    auraface: Path, models: Path
) -> None:
    assert main(["pack", str(auraface)]) == 0
    usual, large = (
        (models / name / "recogniser.onnx").stat() for name in ("auraface", "auraface-1280")
    )
    assert usual.st_ino == large.st_ino
    for name in ("auraface", "auraface-1280"):
        manifest = json.loads((models / name / "manifest.json").read_text())
        for task in manifest["tasks"].values():
            content = (models / name / task["file"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == task["sha256"]


def test_another_recogniser_is_written_and_has_to_be_measured(
    file: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pack", str(file), "--name", "mine", "--licence", "BSD-3-Clause", "--commercial"]
    assert main(words) == 0
    command = f"facepass accuracy FOLDER --model-pack {models / 'mine'} --write"
    assert command in capsys.readouterr().out
    settings = Settings(model_pack="mine", model_root=models.parent)
    with pytest.raises(ModelPackError, match="does not say from which similarity"):
        resolve_pack(settings)
    pack = resolve_pack(settings, need_figures=False)
    assert pack.figures.detection == OPENCV_ZOO_FIGURES.detection
    assert pack.figures.doubt == OPENCV_ZOO_FIGURES.doubt  # the detector's own
    assert (pack.licence, pack.figures.commercial) == ("BSD-3-Clause (mine), MIT (YuNet)", True)

    assembly.write_figures(pack.folder, STANDIN_FIGURES)

    for size in (640, 1280):  # measured once, for both
        assert resolve_pack(settings, det_size=size).figures == STANDIN_FIGURES


def test_a_recogniser_of_no_told_licence_has_to_be_accepted(
    file: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pack", str(file), "--name", "mine"]) == 0
    assert "FACEPASS_ACCEPT_NONCOMMERCIAL=1" in capsys.readouterr().out
    with pytest.raises(ModelPackError, match=r"commercial use \(unknown \(mine\), MIT \(YuNet\)\)"):
        resolve_pack(Settings(model_pack="mine", model_root=models.parent), need_figures=False)


def test_a_pack_that_is_there_is_replaced_only_when_asked(
    file: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pack", str(file), "--name", "mine"]
    assert main(words) == 0
    kept = models / "mine" / "kept.txt"
    kept.write_text("the owner's")
    assert main(words) == 1
    assert "mine is there already: --replace puts the new pack" in capsys.readouterr().err
    assert kept.exists()
    assert main([*words, "--replace"]) == 0
    assert not kept.exists()
    assert {path.name for path in models.iterdir() if not path.name.startswith(".")} == {
        "mine",
        "mine-1280",
        "mine-320",
    }


# --- what is refused ---


def refuse(capsys: pytest.CaptureFixture[str], models: Path, *words: str) -> str:
    """The sentence; nothing was written."""
    capsys.readouterr()
    assert main(["pack", *words]) in {1, 2}
    assert not models.exists()
    return capsys.readouterr().err


@pytest.mark.parametrize("name", ["opencv_zoo", "buffalo_l", "../evil", "a/b", ".", "имя", ""])
def test_names_that_are_taken_or_lead_elsewhere_are_refused(
    file: Path, models: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert "cannot be named" in refuse(capsys, models, str(file), "--name", name)


def test_an_unknown_file_needs_a_name_and_commercial_use_a_licence(
    file: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "name the pack with --name" in refuse(capsys, models, str(file))
    words = (str(file), "--name", "mine", "--commercial")
    assert "--commercial needs --licence" in refuse(capsys, models, *words)


def test_insightfaces_own_recogniser_is_not_declared_commercial(
    file: Path,
    models: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    antelope = next(known for known in assembly.KNOWN_RECOGNISERS if known.startswith("4ab1"))
    monkeypatch.setitem(assembly.KNOWN_RECOGNISERS, digest, assembly.KNOWN_RECOGNISERS[antelope])
    words = (str(file), "--name", "mine", "--licence", "MIT", "--commercial")
    assert "non-commercial research only (InsightFace)" in refuse(capsys, models, *words)


class Evil:
    """Would be noticed, were it unpickled."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """Run by pickle."""
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize(
    "content", [b"", b"no model", pickle.dumps(Evil()), b"PK\x03\x04 a zip of PyTorch's"]
)
def test_what_is_no_onnx_is_refused(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "weights.pt").write_bytes(content)
    words = (str(tmp_path / "weights.pt"), "--name", "mine")
    assert "is no " in refuse(capsys, models, *words)


def test_a_missing_file_is_named(
    tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (str(tmp_path / "nowhere.onnx"), "--name", "mine")
    assert "nowhere.onnx cannot be read" in refuse(capsys, models, *words)


def test_weights_in_another_file_are_refused(
    file: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save_model(
        onnx.load(file), file, save_as_external_data=True, location="weights", size_threshold=0
    )
    assert "weights in other files" in refuse(capsys, models, str(file), "--name", "mine")


def test_operators_that_are_not_onnxs_are_refused(
    file: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def add_custom(model: onnx.ModelProto) -> None:
        model.graph.node[-1].domain = "com.microsoft"
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))

    edit(file, add_custom)
    assert "operators that ONNX itself has not" in refuse(
        capsys, models, str(file), "--name", "mine"
    )


def test_operators_hidden_in_a_branch_are_refused(
    file: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def add_branch(model: onnx.ModelProto) -> None:
        output = model.graph.output[0]
        inner = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
        hidden = helper.make_node("Gelu", [output.name], ["inner"], domain="com.microsoft")
        branch = helper.make_graph([hidden], "branch", [], [inner])
        condition = numpy_helper.from_array(np.array(1, bool), "condition")
        model.graph.initializer.append(condition)
        node = helper.make_node(
            "If", ["condition"], ["chosen"], then_branch=branch, else_branch=branch
        )
        model.graph.node.append(node)
        output.name = "chosen"

    edit(file, add_branch)
    assert "operators that ONNX itself has not" in refuse(
        capsys, models, str(file), "--name", "mine"
    )


def test_another_shape_is_refused(
    tmp_path: Path, file: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_standin_recogniser(tmp_path / "small.onnx", dimension=128)
    words = (str(tmp_path / "small.onnx"), "--name", "mine")
    assert "gives 1x128 numbers for a face" in refuse(capsys, models, *words)

    def widen(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 224

    edit(file, widen)
    assert "one takes float32 of Nx3x112x112" in refuse(capsys, models, str(file), "--name", "mine")


def test_a_graph_for_one_face_alone_is_refused(
    file: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fix_rows(model: onnx.ModelProto) -> None:
        output = model.graph.output[0]
        shape = numpy_helper.from_array(np.array([1, 512], np.int64), "one_row")
        model.graph.initializer.append(shape)
        model.graph.node.append(helper.make_node("Reshape", [output.name, "one_row"], ["row"]))
        output.name = "row"

    edit(file, fix_rows)
    assert "export it with a free batch axis" in refuse(capsys, models, str(file), "--name", "mine")


def test_a_damaged_model_is_refused(
    file: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        weights = numpy_helper.to_array(model.graph.initializer[0]) * np.float32(np.nan)
        model.graph.initializer[0].CopyFrom(
            numpy_helper.from_array(weights, model.graph.initializer[0].name)
        )

    edit(file, spoil)
    assert "it is damaged" in refuse(capsys, models, str(file), "--name", "mine")
