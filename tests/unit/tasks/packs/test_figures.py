"""The figures of packs: in the manifest, out of the identity, and needed, as is the licence."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from insightface.model_zoo.package_manifest import load_model_package

from models.errors import ModelPackError
from models.settings import Settings
from tasks.packs.figures import (
    BUFFALO_L_FIGURES,
    OPENCV_ZOO_FIGURES,
    Expansion,
    PackFigures,
    build_section,
    parse_figures,
)
from tasks.packs.folder import hash_models, read_figures, write_figures
from tasks.packs.install import INSIGHTFACE_PACKS
from tasks.packs.loading import load_analysis
from tasks.packs.registry import ModelPack, resolve_pack
from tests.support.standin_pack import STANDIN_FIGURES, write_standin_pack

OWN_FIGURES = replace(
    STANDIN_FIGURES,
    search=0.41,
    expansion=Expansion(seed=0.5, search=0.44, surely=0.47),
    source="своя свадьба, 300 фото",
)
# Of opencv_zoo as release 0.2.0 builds it. The vectors in photographers' databases carry it.
ZOO_IDENTITY = "opencv_zoo@25ec2756a1e14448"


@pytest.fixture(scope="module")
def zoo(models_root: Path) -> ModelPack:
    """opencv_zoo, not to be written to."""
    return resolve_pack(Settings(model_pack="opencv_zoo", model_root=models_root))


@pytest.fixture
def standin(tmp_path: Path) -> Path:
    """The stand-in pack without figures, in a folder of no known name."""
    write_standin_pack(tmp_path / "mine")
    (tmp_path / "mine" / "manifest.json").unlink()
    return tmp_path / "mine"


def resolve(
    pack: str | Path, root: Path, *, accept: bool = False, need_figures: bool = True
) -> ModelPack:
    """The pack, without looking at the environment."""
    settings = Settings(model_pack=str(pack), model_root=root, accept_noncommercial=accept)
    return resolve_pack(settings, need_figures=need_figures)


# --- in the manifest ---


@pytest.mark.parametrize("figures", [OPENCV_ZOO_FIGURES, BUFFALO_L_FIGURES, OWN_FIGURES])
def test_figures_are_read_as_they_were_written(standin: Path, figures: PackFigures) -> None:
    write_figures(standin, figures)
    assert read_figures(standin) == figures


def test_opencv_zoo_is_the_pack_that_it_was(zoo: ModelPack) -> None:
    assert zoo.former_identity == ZOO_IDENTITY
    assert zoo.identity == f"{ZOO_IDENTITY}+look2"
    assert zoo.figures == OPENCV_ZOO_FIGURES == read_figures(zoo.folder)


def test_opencv_zoo_with_the_owners_figures_is_the_same_pack(
    zoo: ModelPack, tmp_path: Path
) -> None:
    copy = shutil.copytree(zoo.folder, tmp_path / "models" / "opencv_zoo")
    write_figures(copy, OWN_FIGURES)
    measured = resolve("opencv_zoo", tmp_path)
    assert (measured.identity, measured.figures) == (zoo.identity, OWN_FIGURES)
    assert resolve("opencv_zoo", tmp_path).figures == OWN_FIGURES  # nothing overwrites them


@pytest.mark.parametrize(
    "manifest",
    [
        '{"manifest_version": 2, "model_id": "mine", "tasks": {"a": [1, {"b": "}"}]}}',
        '{\n\t"model_id": "\\"facepass\\": 1" , "manifest_version" : 2\n\n} \n',
        '{\r\n  "manifest_version": 2,\r\n  "display_name": "карта, \\"facepass\\": {}"\r\n}\r\n',
        '{"manifest_version": 1}',
    ],
)
def test_the_digest_is_the_same_before_and_after_figures_are_written(
    standin: Path, manifest: str
) -> None:
    path = standin / "manifest.json"
    path.write_bytes(manifest.encode())
    digest = hash_models(standin)
    for figures in (OWN_FIGURES, STANDIN_FIGURES, OWN_FIGURES):
        write_figures(standin, figures)
        assert hash_models(standin) == digest
        assert read_figures(standin) == figures
    without = json.loads(path.read_text("utf-8"))
    del without["facepass"]
    assert without == json.loads(manifest)
    path.write_bytes(manifest.replace("manifest_version", "Manifest_version").encode())
    assert hash_models(standin) != digest


def test_a_pack_without_a_manifest_is_the_same_with_one_of_figures_alone(standin: Path) -> None:
    digest = hash_models(standin)
    write_figures(standin, STANDIN_FIGURES)
    assert hash_models(standin) == digest
    analysis = load_analysis(resolve(standin, standin.parent), "cpu")
    assert set(analysis.models) == {"detection", "recognition"}


def test_a_section_in_front_of_the_others_is_left_out_too(standin: Path) -> None:
    digests = set()
    for search in (0.3, 0.4):
        section = build_section(replace(STANDIN_FIGURES, search=search))
        text = json.dumps({"facepass": section, "manifest_version": 1, "other": 1})
        (standin / "manifest.json").write_text(text)
        digests.add(hash_models(standin))
    assert len(digests) == 1


def test_insightface_reads_a_manifest_with_figures(zoo: ModelPack) -> None:
    assert "facepass" in json.loads((zoo.folder / "manifest.json").read_text())
    assert load_model_package(zoo.folder).name == "opencv_zoo"


@pytest.mark.parametrize("content", [b"not JSON", b'{"name": "\xe9"}', b"[]", b""])
def test_what_is_no_manifest_is_not_overwritten(standin: Path, content: bytes) -> None:
    (standin / "manifest.json").write_bytes(content)
    with pytest.raises(ModelPackError, match="holds no manifest: correct or delete it"):
        write_figures(standin, STANDIN_FIGURES)
    assert (standin / "manifest.json").read_bytes() == content


@pytest.mark.parametrize("former", ["no section", "the section of a former release"])
def test_opencv_zoo_of_an_earlier_release_is_brought_up_to_date(
    zoo: ModelPack, tmp_path: Path, former: str
) -> None:
    copy = shutil.copytree(zoo.folder, tmp_path / "models" / "opencv_zoo")
    manifest = json.loads((copy / "manifest.json").read_text())
    if former == "no section":
        del manifest["facepass"]
    else:
        manifest["facepass"]["search"] = 0.4
    (copy / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    models = {path: path.stat().st_mtime_ns for path in copy.glob("*.onnx")}

    assert resolve("opencv_zoo", tmp_path) == replace(zoo, folder=copy)

    assert (copy / "manifest.json").read_bytes() == (zoo.folder / "manifest.json").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in copy.glob("*.onnx")} == models  # not rebuilt


def test_opencv_zoo_in_a_folder_that_is_only_read_is_used(
    zoo: ModelPack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(zoo.folder, tmp_path / "models" / "opencv_zoo")
    manifest = json.loads((copy / "manifest.json").read_text())
    del manifest["facepass"]
    (copy / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")

    def refuse(*_arguments: object) -> None:
        raise PermissionError("read only")

    # Not by the folder's mode, which does not bind root.
    monkeypatch.setattr("tasks.packs.folder._replace_text", refuse)
    assert resolve("opencv_zoo", tmp_path) == replace(zoo, folder=copy)


# --- needed, and possible ---


def test_a_pack_without_figures_names_the_command_that_measures_them(standin: Path) -> None:
    with pytest.raises(ModelPackError) as caught:
        resolve(standin, standin.parent, accept=True)
    assert str(caught.value) == (
        "Model pack mine does not say from which similarity on two faces are one person's: measure "
        "it on photos of people you know with `facepass accuracy FOLDER "
        f"--model-pack {standin} --write`."
    )
    pack = resolve(standin, standin.parent, accept=True, need_figures=False)
    write_figures(pack.folder, replace(pack.figures, search=0.4, source="my photos"))
    again = resolve(standin, standin.parent, accept=True)
    assert (again.identity, again.figures.search) == (pack.identity, 0.4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"search": "0.4"}, "search is no number"),
        ({"search": True}, "search is no number"),
        ({"search": math.nan}, "search is no number"),
        ({"search": -0.1}, "search is no number"),
        ({"detection": 1.5}, "detection is no number"),
        ({"detection": None}, "detection is no number"),
        ({"search": 0.6, "surely": 0.5}, "surely is below search"),
        ({"surely": None}, "surely is no number"),
        ({"source": ""}, "source does not say"),
        ({"source": 3}, "source does not say"),
        ({"commercial": "yes"}, "neither true nor false"),
        ({"licence": ["MIT"]}, "licence is no text"),
        ({"doubt": 1}, "doubt is no JSON object"),
        ({"doubt": {"doubtful": 2, "poor": 0.5}}, "doubt.doubtful is no number"),
        ({"expansion": 0.5}, "expansion is no JSON object"),
        ({"expansion": {"search": 0.5, "surely": 0.6}}, "expansion.seed is no number"),
        (
            {"expansion": {"seed": 0.5, "search": 0.5, "surely": 0.4}},
            "expansion.surely is below expansion.search",
        ),
    ],
)
def test_figures_that_cannot_be_are_refused(
    standin: Path, change: dict[str, Any], message: str
) -> None:
    section = {**build_section(STANDIN_FIGURES), **change}
    with pytest.raises(ValueError, match=message):
        parse_figures(section)
    (standin / "manifest.json").write_text(json.dumps({"facepass": section}))
    with pytest.raises(ModelPackError, match=rf"cannot be used: .*{message}.*Correct them, or"):
        resolve(standin, standin.parent)


def test_figures_that_are_no_object_are_refused(standin: Path) -> None:
    (standin / "manifest.json").write_text('{"facepass": [1]}')
    with pytest.raises(ModelPackError, match=r"they are no JSON object\. Correct"):
        resolve(standin, standin.parent)


# --- licences ---


def test_buffalo_l_is_refused_until_its_licence_is_accepted(standin: Path, tmp_path: Path) -> None:
    folder = standin.rename(tmp_path / "buffalo_l")
    with pytest.raises(ModelPackError) as caught:
        resolve(folder, tmp_path)
    assert str(caught.value) == (
        "Model pack buffalo_l does not say that its licence allows commercial use (non-commercial "
        "research only (InsightFace)): set FACEPASS_MODEL_PACK=opencv_zoo, whose does, or "
        "FACEPASS_ACCEPT_NONCOMMERCIAL=1 when you have read the licence and keep to it."
    )
    assert resolve(folder, tmp_path, accept=True).figures == BUFFALO_L_FIGURES


def test_a_pack_whose_licence_is_unknown_is_refused_likewise(standin: Path) -> None:
    section = {**build_section(STANDIN_FIGURES)}
    del section["commercial"]
    (standin / "manifest.json").write_text(json.dumps({"facepass": section}))
    with pytest.raises(ModelPackError, match=r"commercial use \(unknown: see .*opencv_zoo"):
        resolve(standin, standin.parent)


@pytest.mark.parametrize("name", INSIGHTFACE_PACKS)
def test_nothing_is_downloaded_to_be_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("the network is asked")

    monkeypatch.setattr("insightface.utils.storage.download_file", refuse)
    with pytest.raises(ModelPackError, match="FACEPASS_ACCEPT_NONCOMMERCIAL=1"):
        resolve(name, tmp_path)
    if name != "buffalo_l":
        with pytest.raises(ModelPackError, match=f"accuracy FOLDER --model-pack {name} --write"):
            resolve(name, tmp_path, accept=True)


def test_the_environment_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().accept_noncommercial is False
    monkeypatch.setenv("FACEPASS_ACCEPT_NONCOMMERCIAL", "1")
    assert Settings().accept_noncommercial is True
