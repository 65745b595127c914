"""The registry of model packs: it finds a pack by name, with its folder, identity and licence.

A pack is a folder with a face detector and a face recogniser. Vectors of different packs are never
compared, so a pack's identity is its name and a hash of its content (`ModelPack.identity`).
"""

import os
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from models.errors import ModelPackError
from models.settings import Settings
from tasks.packs.figures import (
    BUFFALO_L_FIGURES,
    INSIGHTFACE_FIGURES,
    OPENCV_ZOO_FIGURES,
    UNMEASURED_FIGURES,
    PackFigures,
)
from tasks.packs.folder import (
    find_models,
    hash_models,
    read_figures,
    read_licence,
    read_manifest,
    shorten_error,
)
from tasks.packs.install import INSIGHTFACE_PACKS, download_pack, install_pack, is_downloaded

OPENCV_ZOO = "opencv_zoo"
# Of packs whose manifest brings none.
FIGURES_BY_NAME = {
    **dict.fromkeys(INSIGHTFACE_PACKS, INSIGHTFACE_FIGURES),
    "buffalo_l": BUFFALO_L_FIGURES,
    OPENCV_ZOO: OPENCV_ZOO_FIGURES,
}
# Backends whose vectors differ from onnxruntime's by more than rounding (`make gate` shows it):
# vectors of two precisions are kept apart like those of two packs.
COARSE_PRECISIONS = {"openvino-bf16": "bf16", "cuda-tf32": "tf32", "cuda-fp16": "fp16"}
USUAL_DET_SIZE = 640  # pixels: the side of the square in which faces are looked for
SMALL_DET_SIZE = 320  # pixels: that of a second look (tasks/faces/looks.py)
# How the face engine looks at a photo; raised with every change that changes faces or vectors. The
# first way, upright only, had no name.
LOOK = "+look2"


@dataclass(frozen=True)
class ModelPack:
    """A pack on disk. `digest`: SHA-256 over its models.

    `precision` is named where it changes vectors by more than rounding; `det_size`, in pixels, is
    part of what the pack is: at another size it finds other faces in the same photo.
    """

    name: str
    folder: Path
    digest: str
    licence: str
    figures: PackFigures
    precision: str = ""
    det_size: int = USUAL_DET_SIZE

    @property
    def identity(self) -> str:
        """Name, content and look in one word: with the same identity, the same vectors."""
        return self._identify(LOOK)

    @property
    def former_identity(self) -> str:
        """The identity of the same models with the first look.

        It missed faces that do not stand upright; its vectors are comparable with today's.
        """
        return self._identify("")

    def _identify(self, look: str) -> str:
        precision = self.precision and f"+{self.precision}"
        size = f"+det{self.det_size}" if self.det_size != USUAL_DET_SIZE else ""
        return f"{self.name}@{self.digest[:16]}{look}{precision}{size}"


def resolve_pack(
    settings: Settings,
    model_pack: str | None = None,
    det_size: int = USUAL_DET_SIZE,
    *,
    need_figures: bool = True,
) -> ModelPack:
    """A pack, or the one that the settings name; fetched or built when it is not there.

    `model_pack` is a folder, `opencv_zoo`, a name InsightFace downloads, or that of a folder beside
    those, under `model_root`. Without `need_figures` also one whose thresholds are not measured.
    Raises ModelPackError.
    """
    root = settings.model_root.expanduser().resolve() / "models"
    check = partial(_check_use, settings, need_figures=need_figures)
    pack = _locate_pack(model_pack or settings.model_pack, root, det_size, check)
    check(pack)
    precision = COARSE_PRECISIONS.get(settings.inference, "")
    return replace(pack, precision=precision, det_size=det_size)


def find_sized_pack(pack: ModelPack, det_size: int) -> ModelPack:
    """The same pack with its detector's file for another size, where it is made for one size.

    It is for detecting only. The pack itself where it has no such file, and cannot be given one.
    """
    if pack.det_size == USUAL_DET_SIZE:
        usual = pack.folder
    else:
        usual = pack.folder.with_name(pack.folder.name.removesuffix(f"-{pack.det_size}"))
    if pack.name == OPENCV_ZOO:
        usual = usual.with_name(OPENCV_ZOO)  # also beside a copy of another name
        with suppress(ModelPackError):  # a folder of one's own that cannot be written to
            _build_zoo(usual.parent, det_size)
    found = find_models(name_sized_folder(usual, det_size))
    return pack if found is None or _name_pack(found) != pack.name else replace(pack, folder=found)


def _check_use(settings: Settings, pack: ModelPack, *, need_figures: bool) -> None:
    """Raise ModelPackError for a pack that must not be used, or cannot without its figures."""
    if not (pack.figures.commercial or settings.accept_noncommercial):
        raise ModelPackError(
            f"Model pack {pack.name} does not say that its licence allows commercial use "
            f"({pack.licence}): set FACEPASS_MODEL_PACK=opencv_zoo, whose does, or "
            "FACEPASS_ACCEPT_NONCOMMERCIAL=1 when you have read the licence and keep to it."
        )
    if need_figures and not pack.figures.source:
        raise ModelPackError(
            f"Model pack {pack.name} does not say from which similarity on two faces are one "
            "person's: measure it on photos of people you know with `facepass accuracy FOLDER "
            f"--model-pack {shlex.quote(str(pack.folder))} --write`."
        )


def is_pack_known(settings: Settings, name: str) -> bool:
    """Whether a name, not a path, is one that `resolve_pack` can bring; nothing is fetched."""
    root = settings.model_root.expanduser() / "models"
    folders = {folder.name for folder in root.glob("*") if find_models(folder) is not None}
    return name in {OPENCV_ZOO, *INSIGHTFACE_PACKS} | folders


def _locate_pack(
    wanted: str, root: Path, det_size: int, check: Callable[[ModelPack], None]
) -> ModelPack:
    """The pack; `check` refuses one before it is downloaded."""
    if "/" in wanted or os.sep in wanted or Path(wanted).is_dir():
        return _read_pack(Path(wanted).expanduser().resolve(), det_size)
    folder = root / wanted
    if wanted == OPENCV_ZOO:
        _build_zoo(root, det_size)
    elif wanted in INSIGHTFACE_PACKS:
        if not is_downloaded(folder):
            figures = FIGURES_BY_NAME[wanted]
            check(ModelPack(wanted, Path(wanted), "", figures.licence, figures))
        install_pack(wanted, root, is_downloaded, download_pack)
    elif find_models(folder) is None:
        names = ", ".join((OPENCV_ZOO, *INSIGHTFACE_PACKS))
        raise ModelPackError(
            f"Model pack {wanted} is unknown: put its folder into {root}, or set "
            f"FACEPASS_MODEL_PACK to a folder that holds a pack, or to one of {names}."
        )
    return _read_pack(folder, det_size)


def _build_zoo(root: Path, det_size: int) -> None:
    """Build what is missing, and bring figures of an earlier release up to date."""
    from tasks.packs.opencv_zoo import build_opencv_zoo, is_zoo_built, update_figures  # with onnx

    folder = name_sized_folder(root / OPENCV_ZOO, det_size)
    fill = partial(build_opencv_zoo, det_size=det_size)
    update_figures(install_pack(folder.name, root, is_zoo_built, fill))


def name_sized_folder(folder: Path, det_size: int) -> Path:
    """The folder with the pack's models of that detector size, if its detector takes one size."""
    return folder if det_size == USUAL_DET_SIZE else folder.with_name(f"{folder.name}-{det_size}")


def describe_pack(pack: ModelPack) -> str:
    """The line logged at start."""
    return f"Model pack {pack.identity} (licence: {pack.licence})"


def _read_pack(folder: Path, det_size: int) -> ModelPack:
    """Describe the pack in `folder`; ModelPackError when no models are there.

    Its models of another size than the usual one lie beside it, its figures are in `folder`.
    """
    sized = name_sized_folder(folder, det_size)
    usual, found = find_models(folder), find_models(sized)
    if usual and found and _name_pack(usual) != _name_pack(found):
        found = usual  # another pack's folder, whose name ends so
    found = found or usual
    if found is None:
        raise ModelPackError(
            f"Model pack folder {folder} holds no models: set FACEPASS_MODEL_PACK to a folder "
            f"with a detector and a recogniser (.onnx), or to {OPENCV_ZOO}."
        )
    name = _name_pack(found)
    figures = (usual and read_figures(usual)) or read_figures(found) or FIGURES_BY_NAME.get(name)
    figures = figures or UNMEASURED_FIGURES
    try:
        digest, licence = hash_models(found), read_licence(found)
    except OSError as error:
        raise ModelPackError(
            f"Model pack folder {found} cannot be read ({shorten_error(error)}): "
            "make its files readable, or set FACEPASS_MODEL_PACK to another pack."
        ) from error
    licence = licence or figures.licence or f"unknown: see {found}"
    return ModelPack(name, found, digest, licence, figures)


def _name_pack(found: Path) -> str:
    return str(read_manifest(found).get("model_id") or found.name)
