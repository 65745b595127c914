"""Model packs: where they lie, what they are, and how InsightFace loads them.

A pack is a folder with a face detector and a face recogniser. Vectors of two packs are never
compared, so a pack is known by name and content (`ModelPack.identity`), not by name alone.
"""

import fcntl
import hashlib
import io
import json
import logging
import os
import shutil
import tempfile
import textwrap
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from models.errors import ModelPackError
from models.settings import Settings

log = logging.getLogger(__name__)

OPENCV_ZOO = "opencv_zoo"
# What InsightFace 2.1 itself offers for faces (insightface/gui/core/model_packages.py). All come
# as NAME.zip of its release; raccoon_* carry a manifest, antelopev2 a folder in a folder.
INSIGHTFACE_PACKS = (
    "buffalo_l",
    "buffalo_m",
    "buffalo_s",
    "buffalo_sc",
    "antelopev2",
    "raccoon_s",
    "raccoon_l",
)
# A detector's scores are its own scale. 0.5 is the default of InsightFace's FaceAnalysis.prepare.
# YuNet: OpenCV's default of 0.9 loses two of the six faces in InsightFace's sample photo t1 (they
# score 0.88 to 0.93); at 0.6 all six are there, and none in scikit-image's photos without people.
DETECTION_THRESHOLDS = {OPENCV_ZOO: 0.6}
DEFAULT_DETECTION_THRESHOLD = 0.5
NEEDED_MODULES = ("detection", "recognition")


@dataclass(frozen=True)
class ModelPack:
    """A pack on disk. `digest`: SHA-256 over its models; `detection_threshold`: 0..1."""

    name: str
    folder: Path
    digest: str
    licence: str
    detection_threshold: float

    @property
    def identity(self) -> str:
        """Name and content in one word: packs with the same identity give the same vectors."""
        return f"{self.name}@{self.digest[:16]}"


class FaceAnalysis(Protocol):
    """What the product uses of insightface.app.FaceAnalysis; `models` is keyed by module name."""

    models: dict[str, Any]
    det_model: Any

    def get(self, img: npt.NDArray[np.uint8], max_num: int = 0) -> list[Any]:
        """The faces of a BGR picture (H, W, 3)."""
        ...


def resolve_pack(settings: Settings) -> ModelPack:
    """The pack that the settings name, fetched or built under `model_root` when it is not there.

    `model_pack` is a folder, `opencv_zoo`, or a name InsightFace downloads. Raises ModelPackError.
    """
    wanted, root = settings.model_pack, settings.model_root.expanduser().resolve() / "models"
    if "/" in wanted or os.sep in wanted or Path(wanted).is_dir():
        return _read_pack(Path(wanted).expanduser().resolve())
    if wanted == OPENCV_ZOO:
        return _read_pack(_install_pack(wanted, root, _is_zoo_built, _build_zoo))
    if wanted in INSIGHTFACE_PACKS:
        return _read_pack(_install_pack(wanted, root, _is_downloaded, _download_pack))
    raise ModelPackError(
        f"Model pack {wanted} is unknown: set FACEPASS_MODEL_PACK to a folder that holds a pack, "
        f"or to one of {', '.join((OPENCV_ZOO, *INSIGHTFACE_PACKS))}."
    )


def describe_pack(pack: ModelPack) -> str:
    """The line logged at start."""
    return f"Model pack {pack.identity} (licence: {pack.licence})"


def load_analysis(pack: ModelPack, inference: str) -> FaceAnalysis:
    """Load the pack's detector and recogniser with InsightFace. inference: `cpu` or `cuda`.

    Detection runs once, letterboxed to 640x640. Raises ModelPackError.
    """
    providers = _choose_providers(inference)
    try:
        analysis = _open_analysis(pack, providers)
    except Exception as error:  # InsightFace, onnxruntime and protobuf share no base class
        raise ModelPackError(
            f"Model pack {pack.name} in {pack.folder} could not be loaded ({_shorten(error)}): "
            "delete or replace that folder, or set FACEPASS_MODEL_PACK to another pack."
        ) from error
    missing = [name for name in NEEDED_MODULES if name not in analysis.models]
    if missing:
        raise ModelPackError(
            f"Model pack {pack.name} in {pack.folder} has no {' and no '.join(missing)} model: "
            "set FACEPASS_MODEL_PACK to a pack with both."
        )
    # onnxruntime falls back to the CPU without an error when CUDA's libraries do not load.
    active = [model.session.get_providers()[0] for model in analysis.models.values()]
    if any(name != providers[0] for name in active):
        raise _refuse_cuda()
    return analysis


def _choose_providers(inference: str) -> list[str]:
    if inference != "cuda":
        return ["CPUExecutionProvider"]
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise _refuse_cuda()
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]


def _refuse_cuda() -> ModelPackError:
    return ModelPackError(
        "CUDA is not available to onnxruntime: install onnxruntime-gpu in place of onnxruntime "
        "(with CUDA's libraries), or set FACEPASS_INFERENCE=cpu."
    )


def _open_analysis(pack: ModelPack, providers: list[str]) -> FaceAnalysis:
    import onnxruntime
    from insightface import app

    # Its face alignment calls a function that scikit-image deprecates, once a face.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"insightface\.")
    options = onnxruntime.SessionOptions()
    # Several threads share one session, each running it on one core: 1.28 times faster than one
    # session with two threads, and two models' idle pools do not spin against each other.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    analysis = app.FaceAnalysis(
        name=str(pack.folder),
        allowed_modules=list(NEEDED_MODULES),
        providers=providers,
        sess_options=options,
    )
    on_cpu = providers[0] == "CPUExecutionProvider"
    analysis.prepare(
        ctx_id=-1 if on_cpu else 0, det_size=(640, 640), det_thresh=pack.detection_threshold
    )
    opened: FaceAnalysis = analysis
    return opened


def _shorten(error: BaseException) -> str:
    """The error's cause as one short piece of text."""
    return textwrap.shorten(str(error) or type(error).__name__, 240, placeholder="…")


# --- what a folder holds ---


def _read_pack(folder: Path) -> ModelPack:
    """Describe the pack in `folder`; ModelPackError when no models are there."""
    found = _find_models(folder)
    if found is None:
        raise ModelPackError(
            f"Model pack folder {folder} holds no models: set FACEPASS_MODEL_PACK to a folder "
            f"with a detector and a recogniser (.onnx), or to {OPENCV_ZOO}."
        )
    name = str(_read_manifest(found).get("model_id") or found.name)
    try:
        digest, licence = _hash_models(found), _read_licence(name, found)
    except OSError as error:
        raise ModelPackError(
            f"Model pack folder {found} cannot be read ({_shorten(error)}): "
            "make its files readable, or set FACEPASS_MODEL_PACK to another pack."
        ) from error
    threshold = DETECTION_THRESHOLDS.get(name, DEFAULT_DETECTION_THRESHOLD)
    return ModelPack(name, found, digest, licence, threshold)


def _find_models(folder: Path) -> Path | None:
    """The folder with the models: `folder`, or NAME inside it (antelopev2.zip is made so)."""
    for candidate in (folder, folder / folder.name):
        if any(candidate.glob("*.onnx")) or _read_manifest(candidate):
            return candidate
    return None


def _read_manifest(folder: Path) -> dict[str, Any]:
    """InsightFace's manifest V2 of the folder; empty when there is none that InsightFace reads."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if isinstance(manifest, dict) and manifest.get("manifest_version") == 2:
        return manifest
    return {}


def _hash_models(folder: Path) -> str:
    """SHA-256 over the names and SHA-256 of all .onnx files and the manifest."""
    files = sorted([*folder.rglob("*.onnx"), *folder.glob("manifest.json")])
    lines = [f"{file.relative_to(folder).as_posix()} {_hash_file(file)}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _hash_file(path: Path) -> str:
    """The file's SHA-256, computed once a process for a path, size and time of change."""
    stat = path.stat()
    return _hash_file_version(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _hash_file_version(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_licence(name: str, folder: Path) -> str:
    """The licence in one line: from MODEL.LICENSE, or what is known of InsightFace's packs."""
    path = folder / "MODEL.LICENSE"
    text = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
    if text.startswith("{"):  # a signed grant of InsightFace's
        from insightface.model_zoo.model_license import inspect_model_package_license

        return f"{inspect_model_package_license(folder).message} (InsightFace)"
    if text:
        return text.splitlines()[0].strip()
    if name in INSIGHTFACE_PACKS:
        return "non-commercial research only (InsightFace)"
    return f"unknown: see {folder}"


# --- putting a pack in place ---


def _install_pack(
    name: str, root: Path, is_whole: Callable[[Path], bool], fetch: Callable[[Path], None]
) -> Path:
    """Make sure that `root`/`name` is a whole pack: `fetch` fills an empty folder if it is not.

    The folder appears in one step, so a killed process leaves no half pack; of several processes
    or threads one does the work and the others wait. Raises ModelPackError.
    """
    folder = root / name
    if is_whole(folder):
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _hold_lock(root / f".{name}.lock"):
            if not is_whole(folder):
                _replace_pack(folder, fetch)
    except OSError as error:
        raise ModelPackError(
            f"Model pack {name} cannot be put into {root} ({_shorten(error)}): "
            "set FACEPASS_MODEL_ROOT to a folder with free space that can be written to."
        ) from error
    return folder


@contextmanager
def _hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock file alone; the system frees it when the process ends, however it ends."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _replace_pack(folder: Path, fetch: Callable[[Path], None]) -> None:
    """Fill a new folder and put it in the place of `folder`; the pack's lock is held."""
    for left_over in folder.parent.glob(f".{folder.name}-*"):  # of a process that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as work:
        fresh = Path(work) / folder.name
        fetch(fresh)
        if folder.exists():
            shutil.rmtree(folder)
        fresh.rename(folder)
    # InsightFace's own zip beside it belonged to the download that was not whole.
    folder.with_name(f"{folder.name}.zip").unlink(missing_ok=True)


def _is_zoo_built(folder: Path) -> bool:
    """Whether the folder is opencv_zoo as this version builds it, with undamaged files."""
    from tasks.opencv_zoo import DETECTOR, RECOGNISER, describe_manifest

    files = [folder / DETECTOR, folder / RECOGNISER, folder / "MODEL.LICENSE"]
    if not all(file.is_file() for file in files):
        return False
    digests = {file.name: _hash_file(file) for file in files}
    return _read_manifest(folder) == describe_manifest(digests)


def _build_zoo(folder: Path) -> None:
    from tasks.opencv_zoo import build_opencv_zoo

    log.info("Building model pack %s", OPENCV_ZOO)
    folder.mkdir()
    build_opencv_zoo(folder)


def _is_downloaded(folder: Path) -> bool:
    """Whether InsightFace's pack is there and whole.

    A failed download of InsightFace's leaves an empty folder; a killed one a part of the files,
    which shows by the zip that InsightFace keeps beside the folder.
    """
    if _find_models(folder) is None:
        return False
    try:
        with zipfile.ZipFile(folder.with_name(f"{folder.name}.zip")) as archive:
            members = [item for item in archive.infolist() if not item.is_dir()]
    except (OSError, zipfile.BadZipFile):
        return True  # nothing to compare with
    files = [(folder / item.filename, item.file_size) for item in members]
    return all(file.is_file() and file.stat().st_size == size for file, size in files)


def _download_pack(folder: Path) -> None:
    """Let InsightFace download and unpack the pack named as the folder."""
    from insightface.utils import storage

    log.info("Downloading model pack %s", folder.name)
    work = folder.with_name("download")
    try:
        # It prints; standard output belongs to the commands' results.
        with redirect_stdout(io.StringIO()):
            unpacked = storage.ensure_available("models", folder.name, root=str(work))
    except Exception as error:  # requests, zipfile, RuntimeError for a status other than 200
        raise ModelPackError(
            f"Model pack {folder.name} could not be downloaded ({_shorten(error)}): check the "
            "network, or set FACEPASS_MODEL_PACK to a folder that holds the pack, or to "
            f"{OPENCV_ZOO}."
        ) from error
    found = _find_models(Path(unpacked))
    if found is None:
        raise ModelPackError(
            f"Model pack {folder.name} was downloaded but holds no models: set FACEPASS_MODEL_PACK "
            f"to a folder that holds the pack, or to {OPENCV_ZOO}."
        )
    found.rename(folder)
