"""Assembly of a model pack from YuNet and a recogniser's ONNX file that its owner brings.

The file is checked before anything is written, and never unpickled. It is taken for ArcFace's kind:
RGB faces of 112x112 pixels, (x - 127.5) / 127.5, and 512 numbers a face.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx.external_data_helper import uses_external_data

from models.errors import ModelPackError
from tasks.packs.figures import (
    AURAFACE_FIGURES,
    INSIGHTFACE_FIGURES,
    OPENCV_ZOO_FIGURES,
    UNMEASURED_FIGURES,
    PackFigures,
)
from tasks.packs.folder import shorten_error, write_figures
from tasks.packs.install import INSIGHTFACE_PACKS, install_pack
from tasks.packs.opencv_zoo import (
    DETECTOR,
    LICENCE_FILE,
    describe_yunet,
    free_batch,
    replace_items,
    write_manifest,
    write_model,
    write_yunet,
)
from tasks.packs.opencv_zoo import RECOGNISER as SFACE
from tasks.packs.registry import (
    OPENCV_ZOO,
    SMALL_DET_SIZE,
    USUAL_DET_SIZE,
    name_sized_folder,
)

DET_SIZES = (USUAL_DET_SIZE, 1280, SMALL_DET_SIZE)  # of the profiles, and of second looks
FACE_SIDE, DIMENSION = 112, 512
RECOGNISER = "recogniser.onnx"
MOST_BYTES = 1_500_000_000  # protobuf ends at 2 GB; ResNet-100 has 261 MB
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")  # InsightFace's form of a model_id
# With YuNet, which opencv_zoo has too.
_UNMEASURED = replace(
    UNMEASURED_FIGURES, detection=OPENCV_ZOO_FIGURES.detection, doubt=OPENCV_ZOO_FIGURES.doubt
)
_INSIGHTFACE = replace(_UNMEASURED, licence=INSIGHTFACE_FIGURES.licence)
AURAFACE = "a7933ea5330113b01c9b60351d8f4c33003f145d8470ac5f0e52ee2effe25c60"
# What is known of a recogniser's file by its SHA-256. InsightFace's antelopev2 has a glintr100.onnx
# too, and that one is not for commercial use.
KNOWN_RECOGNISERS = {
    AURAFACE: AURAFACE_FIGURES,
    "4ab1d6435d639628a6f3e5008dd4f929edf4c4124b1a7169e1048f9fef534cdf": _INSIGHTFACE,  # antelopev2
    "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43": _INSIGHTFACE,  # buffalo_l
    "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f": _INSIGHTFACE,  # buffalo_s
}


@dataclass(frozen=True)
class Recogniser:
    """A recogniser to be made a pack of, checked."""

    name: str
    model: onnx.ModelProto
    digest: str  # of the file that was brought
    figures: PackFigures


def read_recogniser(path: Path, name: str | None, licence: str, *, commercial: bool) -> Recogniser:
    """Check the file and say what is known of it.

    name: of the pack; none for AuraFace's own. licence: the recogniser's, in a line, and whether it
    allows commercial use; of a file that is known both are known. Raises ModelPackError.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelPackError(f"{path} is too large for a face recogniser's ONNX file.")
        content = path.read_bytes()
    except OSError as error:
        raise ModelPackError(f"{path} cannot be read ({shorten_error(error)}).") from error
    digest = hashlib.sha256(content).hexdigest()
    if name is None and digest == AURAFACE:
        name = "auraface"
    if name is None:
        raise ModelPackError(f"{path} is no file that is known here: name the pack with --name.")
    if not _NAME.fullmatch(name) or name in {OPENCV_ZOO, *INSIGHTFACE_PACKS}:
        raise ModelPackError(
            f"A pack cannot be named {name}: take Latin letters, digits, points and dashes, and "
            "no name of a pack that is known."
        )
    figures = KNOWN_RECOGNISERS.get(digest) or replace(
        _UNMEASURED,
        licence=f"{licence or 'unknown'} ({name}), MIT (YuNet)",
        commercial=commercial,
    )
    if commercial and not figures.commercial:
        raise ModelPackError(
            f"{path} is a recogniser of InsightFace's, whose licence is {figures.licence}: "
            "leave --commercial out."
        )
    model = _parse_recogniser(path, content)
    _try_recogniser(path, model)
    return Recogniser(name, model, digest, figures)


def assemble_pack(recogniser: Recogniser, root: Path, *, may_replace: bool) -> Path:
    """Write the pack's folders, one a detector size, into `root`; returns the usual size's.

    Raises ModelPackError, also for a pack that is there when it may not be replaced.
    """
    folder = root / recogniser.name
    folders = {size: name_sized_folder(folder, size) for size in DET_SIZES}
    for there in folders.values():
        if there.exists() and not may_replace:
            raise ModelPackError(
                f"{there} is there already: --replace puts the new pack in its place, and --name "
                "gives it another one."
            )
    for size, sized in folders.items():
        fill = partial(_write_pack, recogniser, det_size=size, shared=folder / RECOGNISER)
        install_pack(sized.name, root, lambda _folder: False, fill)
    return folder


def _write_pack(recogniser: Recogniser, folder: Path, det_size: int, shared: Path) -> None:
    """Fill a new folder; the recogniser is `shared` with the usual size's where it can be."""
    folder.mkdir()
    file = folder / RECOGNISER
    if det_size == USUAL_DET_SIZE:
        write_model(recogniser.model, file)
    else:
        try:
            os.link(shared, file)  # hundreds of megabytes
        except OSError:
            shutil.copyfile(shared, file)
    tasks = {
        "detection": describe_yunet(write_yunet(folder, det_size)),
        "recognition": {
            "file": RECOGNISER,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "preprocessing": {"mean": 127.5, "std": 127.5},
            "input_size": [FACE_SIDE, FACE_SIDE],
            "embedding_dimension": DIMENSION,
        },
    }
    manifest = {
        "manifest_version": 2,
        "model_id": recogniser.name,
        "display_name": f"YuNet and {recogniser.name}",
        "license": "MODEL.LICENSE",
        "tasks": tasks,
    }
    write_manifest(folder, manifest)
    (folder / "MODEL.LICENSE").write_text(_tell_licence(recogniser), encoding="utf-8")
    write_figures(folder, recogniser.figures)


def _tell_licence(recogniser: Recogniser) -> str:
    """The licences' text; the first line is what the product says at start."""
    ours = LICENCE_FILE.read_text(encoding="utf-8")
    yunet = ours[ours.index(f"{DETECTOR}:") : ours.index(f"{SFACE}:")]
    apache = ours[ours.index("    Licensed under the Apache") : ours.index("Changes:")]
    terms = f"    {recogniser.figures.licence}\n\n"
    if recogniser.digest == AURAFACE:
        terms = f"Source: https://huggingface.co/fal/AuraFace-v1 (glintr100.onnx)\n\n{apache}"
    return (
        f"{recogniser.figures.licence}\n\n{yunet}"
        f"{RECOGNISER}: face recogniser, from a file with the SHA-256\n{recogniser.digest}\n{terms}"
        "Changes: FacePass Sync stores YuNet's weights as float32 again, and lays out its input\n"
        "and output as SCRFD does; the recogniser takes any number of faces at once.\n"
    )


def _parse_recogniser(path: Path, content: bytes) -> onnx.ModelProto:
    """The model, with a free number of faces; ModelPackError for what is none."""
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf's, which publishes no types
        raise ModelPackError(f"{path} is no ONNX model.") from error
    if model.functions or any(_uses_foreign_parts(graph) for graph in _walk_graphs(model.graph)):
        raise ModelPackError(
            f"{path} keeps weights in other files, or has operators that ONNX itself has not: "
            "export it as one file with ONNX's own operators."
        )
    weights = {item.name for item in model.graph.initializer}
    inputs = [item for item in model.graph.input if item.name not in weights]
    outputs = [_read_shape(item) for item in model.graph.output]
    shapes = [_read_shape(item) for item in inputs]
    if shapes != [(3, FACE_SIDE, FACE_SIDE)] or len(outputs) != 1 or outputs[0] is None:
        raise ModelPackError(
            f"{path} is no face recogniser of ArcFace's kind: one takes float32 of "
            f"Nx3x{FACE_SIDE}x{FACE_SIDE} and gives Nx{DIMENSION}."
        )
    # Older exports list weights as inputs too, which onnxruntime does not take for constants.
    replace_items(model.graph.input, inputs)
    del model.graph.value_info[:]  # shapes of one face at a time
    free_batch(model)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelPackError(f"{path} is no valid ONNX model ({shorten_error(error)}).") from error
    return model


def _walk_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph, and those inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from _walk_graphs(inner)


def _uses_foreign_parts(graph: onnx.GraphProto) -> bool:
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    tensors = [*graph.initializer, *(attribute.t for attribute in attributes)]
    tensors += [tensor for attribute in attributes for tensor in attribute.tensors]
    return any(node.domain not in {"", "ai.onnx"} for node in graph.node) or any(
        uses_external_data(tensor) for tensor in tensors
    )


def _read_shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    """The shape after the first axis, 0 where it is free; none for another type than float32."""
    tensor = value.type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT or not tensor.shape.dim:
        return None
    return tuple(axis.dim_value for axis in tensor.shape.dim[1:])


def _try_recogniser(path: Path, model: onnx.ModelProto) -> None:
    """Embed noise, one face and three at once. Raises ModelPackError."""
    import onnxruntime

    faces = np.random.default_rng(0).uniform(-1, 1, (3, 3, FACE_SIDE, FACE_SIDE))
    faces = faces.astype(np.float32)
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        name = session.get_inputs()[0].name
        (one,), (three,) = (session.run(None, {name: faces[:count]}) for count in (1, 3))
    except Exception as error:  # onnxruntime's errors share no base class
        raise ModelPackError(
            f"{path} cannot be run on several faces at once ({shorten_error(error)}): export it "
            "with a free batch axis."
        ) from error
    if (one.shape, three.shape) != ((1, DIMENSION), (3, DIMENSION)):
        raise ModelPackError(
            f"{path} gives {'x'.join(map(str, one.shape))} numbers for a face: a recogniser of "
            f"ArcFace's kind gives 1x{DIMENSION}."
        )
    if not np.isfinite(three).all() or not np.allclose(one[0], three[0], atol=1e-2):
        raise ModelPackError(f"{path} gives numbers that cannot be: it is damaged.")
