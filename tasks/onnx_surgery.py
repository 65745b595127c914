"""Inputs and outputs of ONNX graphs, changed to what InsightFace expects of YuNet and SFace."""

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from tasks.onnx_weights import replace_items

AnyArray = npt.NDArray[np.generic]


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
