"""Model packs: resolving, half downloads, licences, and loading through InsightFace."""

import os
import shutil
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from insightface.app import FaceAnalysis

from models.errors import ModelPackError
from models.settings import Settings
from tasks.packs.loading import load_analysis
from tasks.packs.registry import LOOK, describe_pack, is_pack_known, resolve_pack
from tests.support.standin_pack import draw_markers, write_standin_pack


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stand-in pack, not to be written to."""
    folder = tmp_path_factory.mktemp("packs") / "buffalo_l"
    write_standin_pack(folder)
    return folder


class Release:
    """Stands in for InsightFace's release: a zip of the stand-in pack under each name."""

    def __init__(self, pack: Path) -> None:
        self.pack = pack
        self.calls = 0
        self.failure: Exception | None = None
        self.nested = False
        self.published: dict[str, str] = {}  # SHA-256 by name

    def download_file(self, url: str, path: str, *, overwrite: bool) -> None:
        """Write the zip to `path`, or fail half-way; as InsightFace's of that name."""
        self.calls += 1
        print("Downloading", url)  # noqa: T201 - as the real one does
        assert overwrite
        name = Path(path).stem
        assert url.endswith(f"/releases/download/model-zoo/{name}.zip")
        Path(path).write_bytes(b"half a zip" if self.failure else self.zip(name))
        if self.failure:
            raise self.failure

    def zip(self, name: str) -> bytes:
        """The zip's bytes, the same each time."""
        content = BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for file in sorted(self.pack.glob("*.onnx")):
                member = f"{name}/{file.name}" if self.nested else file.name
                archive.writestr(zipfile.ZipInfo(member), file.read_bytes())
        return content.getvalue()

    def publish(self, *names: str) -> None:
        """Let the product know the SHA-256 of these packs' zips as they are now."""
        self.published |= {name: sha256(self.zip(name)).hexdigest() for name in names}


@pytest.fixture
def release(standin: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    """InsightFace's download, replaced: no test reaches the network."""
    fake = Release(standin)
    fake.publish("buffalo_l")
    monkeypatch.setattr("insightface.utils.storage.download_file", fake.download_file)
    monkeypatch.setattr("tasks.packs.install.INSIGHTFACE_PACKS", fake.published)
    return fake


def settings(pack: str | Path, root: Path, *, accept: bool = True) -> Settings:
    """Settings with this pack, and packs under `root`."""
    return Settings(model_pack=str(pack), model_root=root, accept_noncommercial=accept)


# --- folders ---


def test_a_folder_is_described_by_name_content_and_licence(standin: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(standin, tmp_path / "buffalo_l")
    (copy / "manifest.json").unlink()
    pack = resolve_pack(settings(copy, tmp_path))
    assert (pack.name, pack.folder, pack.figures.detection) == ("buffalo_l", copy, 0.5)
    assert pack.identity == f"buffalo_l@{pack.digest[:16]}{LOOK}"
    assert describe_pack(pack) == (
        f"Model pack {pack.identity} (licence: non-commercial research only (InsightFace))"
    )


def test_the_digest_follows_the_content_only(standin: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(standin, tmp_path / "buffalo_l")
    (copy / "notes.txt").write_text("not a model")
    original, copied = (resolve_pack(settings(folder, tmp_path)) for folder in (standin, copy))
    assert copied.identity == original.identity
    (copy / "genderage.onnx").write_bytes(b"something else")
    assert resolve_pack(settings(copy, tmp_path)).identity != original.identity


def test_an_unknown_folder_has_an_unknown_licence(standin: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(standin, tmp_path / "mine")
    assert resolve_pack(settings(copy, tmp_path)).licence == f"unknown: see {copy}"
    (copy / "MODEL.LICENSE").write_text("\nBSD-3-Clause, all models\n\nmore text\n")
    assert resolve_pack(settings(copy, tmp_path)).licence == "BSD-3-Clause, all models"


def test_a_forged_grant_of_insightface_is_named_as_such(standin: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(standin, tmp_path / "buffalo_l")
    (copy / "MODEL.LICENSE").write_text('{"grant": "commercial"}')
    licence = resolve_pack(settings(copy, tmp_path)).licence
    assert licence.endswith("(InsightFace)")
    assert "Verified" not in licence


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelPackError, match="holds no models: set FACEPASS_MODEL_PACK"):
        resolve_pack(settings(tmp_path, tmp_path))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelPackError, match="holds no models: set FACEPASS_MODEL_PACK"):
        resolve_pack(settings(tmp_path / "nowhere", tmp_path))


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelPackError, match=r"buffalo_xxl is unknown: .* opencv_zoo, buffalo_l"):
        resolve_pack(settings("buffalo_xxl", tmp_path))


# --- downloads ---


def test_a_named_pack_is_downloaded_once_and_quietly(
    release: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = resolve_pack(settings("buffalo_l", tmp_path))
    assert resolve_pack(settings("buffalo_l", tmp_path)) == first
    assert first.folder == tmp_path / "models" / "buffalo_l"
    assert release.calls == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("failure", [RuntimeError("Failed downloading url"), OSError("no route")])
def test_a_failed_download_says_what_to_do_and_is_tried_again(
    release: Release, tmp_path: Path, failure: Exception
) -> None:
    release.failure = failure
    with pytest.raises(ModelPackError) as caught:
        resolve_pack(settings("buffalo_l", tmp_path))
    assert str(caught.value) == (
        f"Model pack buffalo_l could not be downloaded ({failure}): check the network, or set "
        "FACEPASS_MODEL_PACK to a folder that holds the pack, or to opencv_zoo."
    )
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".buffalo_l.lock"]
    release.failure = None
    assert resolve_pack(settings("buffalo_l", tmp_path)).name == "buffalo_l"


def test_what_a_killed_process_left_is_cleared_away(release: Release, tmp_path: Path) -> None:
    left_over = tmp_path / "models" / ".buffalo_l-abc" / "buffalo_l"
    left_over.mkdir(parents=True)
    (left_over / "det_10g.onnx").write_bytes(b"half")
    resolve_pack(settings("buffalo_l", tmp_path))
    assert not left_over.exists()
    assert release.calls == 1


def test_the_empty_folder_of_a_failed_download_is_not_a_pack(
    release: Release, tmp_path: Path
) -> None:
    (tmp_path / "models" / "buffalo_l").mkdir(parents=True)
    resolve_pack(settings("buffalo_l", tmp_path))
    assert release.calls == 1


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_half_unpacked_zip_is_fetched_again(
    release: Release, standin: Path, tmp_path: Path, damage: str
) -> None:
    folder = shutil.copytree(standin, tmp_path / "models" / "buffalo_l")
    with zipfile.ZipFile(folder.with_name("buffalo_l.zip"), "w") as archive:
        for file in standin.glob("*.onnx"):
            archive.write(file, file.name)
    resolve_pack(settings("buffalo_l", tmp_path))
    assert release.calls == 0
    file = folder / "w600k_r50.onnx"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:1000])
    digest = resolve_pack(settings("buffalo_l", tmp_path)).digest
    assert release.calls == 1
    assert digest == resolve_pack(settings(standin, tmp_path)).digest


def test_a_zip_with_a_folder_in_it_works(release: Release, tmp_path: Path) -> None:
    release.nested = True
    release.publish("antelopev2")
    wanted = settings("antelopev2", tmp_path)
    assert resolve_pack(wanted, need_figures=False).name == "antelopev2"
    resolve_pack(wanted, need_figures=False)
    assert release.calls == 1


def test_insightfaces_own_folder_in_a_folder_works(
    release: Release, standin: Path, tmp_path: Path
) -> None:
    nested = shutil.copytree(standin, tmp_path / "models" / "antelopev2" / "antelopev2")
    assert resolve_pack(settings("antelopev2", tmp_path)).folder == nested
    assert release.calls == 0


def test_a_download_without_models_is_refused(
    release: Release, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    release.pack = tmp_path_factory.mktemp("empty")
    release.publish("buffalo_l")
    with pytest.raises(ModelPackError, match="was downloaded but holds no models: set FACEPASS"):
        resolve_pack(settings("buffalo_l", tmp_path))
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".buffalo_l.lock"]


def test_a_download_with_another_hash_leaves_nothing_behind(
    release: Release, tmp_path: Path
) -> None:
    release.published["buffalo_l"] = "0" * 64
    with pytest.raises(ModelPackError, match="SHA-256 is not the one that InsightFace publishes"):
        resolve_pack(settings("buffalo_l", tmp_path))
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".buffalo_l.lock"]
    release.publish("buffalo_l")
    assert resolve_pack(settings("buffalo_l", tmp_path)).name == "buffalo_l"


def test_no_member_of_a_zip_lands_outside_the_packs_folder(
    release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("../../evil.onnx", b"outside")
        archive.writestr("/evil.onnx", b"outside")
        archive.writestr("det_10g.onnx", b"inside")
    monkeypatch.setattr(release, "zip", lambda _name: content.getvalue())
    release.publish("buffalo_l")
    folder = resolve_pack(settings("buffalo_l", tmp_path)).folder
    inside = set(tmp_path.rglob("*.onnx"))
    assert inside == {folder / "det_10g.onnx", folder / "evil.onnx"}


def test_of_two_threads_one_downloads(release: Release, tmp_path: Path) -> None:
    barrier = threading.Barrier(4)

    def resolve(_: int) -> str:
        barrier.wait()
        return resolve_pack(settings("buffalo_l", tmp_path)).identity

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(resolve, range(4)))) == 1
    assert release.calls == 1


def test_a_root_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file is in the way")
    with pytest.raises(ModelPackError, match="set FACEPASS_MODEL_ROOT"):
        resolve_pack(settings("opencv_zoo", tmp_path))


# --- loading ---


@pytest.fixture(scope="module")
def analysis(standin: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceAnalysis:
    """The stand-in pack, loaded."""
    return load_analysis(resolve_pack(settings(standin, tmp_path_factory.mktemp("root"))), "cpu")


def test_only_detection_and_recognition_run(analysis: FaceAnalysis) -> None:
    assert set(analysis.models) == {"detection", "recognition"}
    assert analysis.det_model.input_sizes == [(640, 640)]
    assert analysis.det_model.det_thresh == 0.5


def test_all_five_files_are_told_apart(standin: Path) -> None:
    from insightface.model_zoo import get_model

    tasks = {
        path.stem: get_model(str(path), providers=["CPUExecutionProvider"]).taskname
        for path in standin.glob("*.onnx")
    }
    assert tasks == {
        "det_10g": "detection",
        "w600k_r50": "recognition",
        "1k3d68": "landmark_3d_68",
        "2d106det": "landmark_2d_106",
        "genderage": "genderage",
    }


@pytest.mark.parametrize("size", [(1280, 886), (800, 1200), (320, 240), (2048, 1365), (640, 640)])
def test_planted_faces_are_found_through_jpeg(
    analysis: FaceAnalysis, size: tuple[int, int]
) -> None:
    width, height = size
    at = [(0.2, 0.2), (0.61, 0.33), (0.37, 0.74), (0.9, 0.9)]
    for count in range(len(at) + 1):
        centers = [(int(x * width), int(y * height)) for x, y in at[:count]]
        picture = draw_markers(width, height, centers)
        _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
        decoded = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
        faces = analysis.get(np.asarray(decoded, dtype=np.uint8))
        assert len(faces) == count
        assert all(face.normed_embedding.shape == (512,) for face in faces)
        found = np.array([(face.bbox[:2] + face.bbox[2:]) / 2 for face in faces]).reshape(-1, 2)
        for center in centers:
            assert np.abs(found - center).max(axis=1).min() < 16 * max(size) / 640


def test_sessions_are_single_threaded_and_do_not_spin(analysis: FaceAnalysis) -> None:
    analysis.get(draw_markers(640, 480, [(300, 200)]))  # opens the detector's session for 640
    sessions = [model.session for model in analysis.models.values()]
    for session in [*sessions, *analysis.det_model.resolution_sessions.values()]:
        options = session.get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
        assert session.get_providers() == ["CPUExecutionProvider"]


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_a_corrupt_model_is_refused(standin: Path, tmp_path: Path, content: bytes | None) -> None:
    copy = shutil.copytree(standin, tmp_path / "mine")
    damaged = copy / "det_10g.onnx"
    damaged.write_bytes(damaged.read_bytes()[:9999] if content is None else content)
    pack = resolve_pack(settings(copy, tmp_path))
    with pytest.raises(ModelPackError, match=r"could not be loaded \(.+\): delete or replace"):
        load_analysis(pack, "cpu")


@pytest.mark.parametrize(
    ("file", "message"),
    [("det_10g.onnx", "could not be loaded"), ("w600k_r50.onnx", "has no recognition model: set")],
)
def test_a_pack_without_one_of_both_is_refused(
    standin: Path, tmp_path: Path, file: str, message: str
) -> None:
    copy = shutil.copytree(standin, tmp_path / "mine")
    (copy / file).unlink()
    with pytest.raises(ModelPackError, match=message):
        load_analysis(resolve_pack(settings(copy, tmp_path)), "cpu")


# --- detector sizes, and packs by name ---


def test_a_size_is_part_of_what_a_pack_is(standin: Path, tmp_path: Path) -> None:
    usual, large = (
        resolve_pack(settings(standin, tmp_path), det_size=size).identity for size in (640, 1280)
    )
    assert usual == resolve_pack(settings(standin, tmp_path)).identity
    assert large == f"{usual}+det1280"
    coarse = Settings(model_pack=str(standin), model_root=tmp_path, inference="openvino-bf16")
    assert resolve_pack(coarse, det_size=1280).identity == f"{usual}+bf16+det1280"


def test_another_pack_than_the_settings_is_resolved_by_its_name(
    standin: Path, tmp_path: Path
) -> None:
    shutil.copytree(standin, tmp_path / "models" / "наш")
    configured = Settings(model_pack="buffalo_l", model_root=tmp_path)
    pack = resolve_pack(configured, "наш")
    assert (pack.name, pack.folder) == ("наш", tmp_path / "models" / "наш")
    assert is_pack_known(configured, "наш")
    assert is_pack_known(configured, "antelopev2")
    for name in ("другой", "", ".", "..", "../models/наш", str(standin), f"models{os.sep}наш"):
        assert not is_pack_known(configured, name)


def test_a_detector_finds_small_faces_at_the_larger_size(standin: Path, tmp_path: Path) -> None:
    photo = np.asarray(
        cv2.resize(draw_markers(640, 640, [(200, 300)]), (320, 320), interpolation=cv2.INTER_AREA)
    )
    canvas = np.zeros((1280, 1280, 3), np.uint8)
    canvas[:320, :320] = photo
    found = {}
    for size in (640, 1280):
        pack = resolve_pack(settings(standin, tmp_path), det_size=size)
        found[size] = load_analysis(pack, "cpu", det_size=pack.det_size).get(canvas)
    assert (len(found[640]), len(found[1280])) == (0, 1)


def test_a_pack_of_one_size_refuses_another(tmp_path: Path) -> None:
    zoo = resolve_pack(settings("opencv_zoo", tmp_path))
    elsewhere = resolve_pack(settings(zoo.folder, tmp_path), det_size=1280)
    with pytest.raises(ModelPackError, match=r"in 640 pixels and no others: give its events"):
        load_analysis(elsewhere, "cpu", det_size=elsewhere.det_size)

    large = resolve_pack(settings("opencv_zoo", tmp_path), det_size=1280)

    assert (large.folder.name, large.name) == ("opencv_zoo-1280", "opencv_zoo")
    assert large.digest != zoo.digest
    analysis = load_analysis(large, "cpu", det_size=large.det_size)
    assert analysis.models["detection"].input_size == (1280, 1280)
