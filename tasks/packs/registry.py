"""The registry of model packs: it finds a pack by name, with its folder, identity and licence.

A pack is a folder with a face detector and a face recogniser. Vectors of different packs are never
compared, so a pack's identity is its name and a hash of its content (`ModelPack.identity`).
"""

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from models.errors import ModelPackError
from models.settings import Settings
from tasks.packs.figures import KNOWN_FIGURES, UNMEASURED_FIGURES, PackFigures
from tasks.packs.folder import (
    find_models,
    hash_models,
    read_figures,
    read_licence,
    read_manifest,
    shorten_error,
)
from tasks.packs.install import download_pack, install_pack, is_downloaded

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
# Backends whose vectors differ from onnxruntime's by more than rounding (`make gate` shows it):
# vectors of two precisions are kept apart like those of two packs.
COARSE_PRECISIONS = {"openvino-bf16": "bf16"}
USUAL_DET_SIZE = 640  # pixels: the side of the square in which faces are looked for
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
    pack = _locate_pack(model_pack or settings.model_pack, root, det_size)
    if need_figures and not pack.figures.source:
        raise ModelPackError(
            f"Model pack {pack.name} says nothing about its thresholds: measure them on photos of "
            f"known people with `facepass accuracy FOLDER --model-pack {pack.folder} --write`."
        )
    precision = COARSE_PRECISIONS.get(settings.inference, "")
    return replace(pack, precision=precision, det_size=det_size)


def is_pack_known(settings: Settings, name: str) -> bool:
    """Whether a name, not a path, is one that `resolve_pack` can bring; nothing is fetched."""
    root = settings.model_root.expanduser() / "models"
    folders = {folder.name for folder in root.glob("*") if find_models(folder) is not None}
    return name in {OPENCV_ZOO, *INSIGHTFACE_PACKS} | folders


def _locate_pack(wanted: str, root: Path, det_size: int) -> ModelPack:
    if "/" in wanted or os.sep in wanted or Path(wanted).is_dir():
        return _read_pack(Path(wanted).expanduser().resolve())
    if wanted == OPENCV_ZOO:
        from tasks.packs.opencv_zoo import build_opencv_zoo, is_zoo_built  # with onnx, if needed

        # Its detector's file is made for one size.
        folder = wanted if det_size == USUAL_DET_SIZE else f"{wanted}-{det_size}"
        fill = partial(build_opencv_zoo, det_size=det_size)
        return _read_pack(install_pack(folder, root, is_zoo_built, fill))
    if wanted in INSIGHTFACE_PACKS:
        return _read_pack(install_pack(wanted, root, is_downloaded, download_pack))
    if find_models(root / wanted) is not None:
        return _read_pack(root / wanted)
    names = ", ".join((OPENCV_ZOO, *INSIGHTFACE_PACKS))
    raise ModelPackError(
        f"Model pack {wanted} is unknown: put its folder into {root}, or set FACEPASS_MODEL_PACK "
        f"to a folder that holds a pack, or to one of {names}."
    )


def describe_pack(pack: ModelPack) -> str:
    """The line logged at start."""
    return f"Model pack {pack.identity} (licence: {pack.licence})"


def _read_pack(folder: Path) -> ModelPack:
    """Describe the pack in `folder`; ModelPackError when no models are there."""
    found = find_models(folder)
    if found is None:
        raise ModelPackError(
            f"Model pack folder {folder} holds no models: set FACEPASS_MODEL_PACK to a folder "
            f"with a detector and a recogniser (.onnx), or to {OPENCV_ZOO}."
        )
    name = str(read_manifest(found).get("model_id") or found.name)
    try:
        digest, licence = hash_models(found), read_licence(found)
    except OSError as error:
        raise ModelPackError(
            f"Model pack folder {found} cannot be read ({shorten_error(error)}): "
            "make its files readable, or set FACEPASS_MODEL_PACK to another pack."
        ) from error
    if licence is None and name in INSIGHTFACE_PACKS:
        licence = "non-commercial research only (InsightFace)"
    figures = read_figures(found) or KNOWN_FIGURES.get(name, UNMEASURED_FIGURES)
    licence = figures.licence or licence or f"unknown: see {found}"
    return ModelPack(name, found, digest, licence, figures)
