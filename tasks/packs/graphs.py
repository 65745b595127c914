"""Graphs of a pack's models that take batches of pictures as bytes, made from its files.

A byte a channel is a quarter of what a model reads: the graph itself turns bytes into its numbers.
A detector's graph keeps the rows above a threshold, a thousandth of what it computes. What they
compute is the same, number by number.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tasks.packs.opencv_zoo import replace_items

PIXELS, THRESHOLD = "pixels", "threshold"
PLACES, ROWS = "places", "rows"
VECTORS = "vectors"
# Before the names of what is added, which a file may have too.
OWN = "facepass_"
# One score, four distances, five points.
WIDTHS = (1, 4, 10)
ROW_WIDTH = sum(WIDTHS)
# Transpositions of a head's (batch, channels, height, width): whether cells come before photos.
_CELLS_FIRST, _PHOTOS_FIRST = (2, 3, 0, 1), (0, 2, 3, 1)
# Kept in fp32 where the rest is fp16: it has no fp16 form on all devices.
_FULL_PRECISION = ["Resize"]


def build_detector(
    path: Path,
    side: int,
    mean: float,
    std: float,
    levels: Mapping[int, int],
    *,
    half: bool = False,
) -> bytes:
    """The graph of a detector of SCRFD's form (scores, distances and points of each level).

    In: PIXELS uint8 (B, side, side, 3) BGR and THRESHOLD, one float32. Out: PLACES int64 (M,), the
    places of the candidates whose score is THRESHOLD or more among those of all photos, photo after
    photo, and ROWS float32 (M, 15): score, box x1 y1 x2 y2 and points, in pixels of the square.
    mean, std: of the model's input; levels: their strides and anchors a cell. half: computed in
    fp16. Raises ValueError for a graph of another form.
    """
    model = onnx.load(str(path))
    names = [output.name for output in model.graph.output]
    if len(names) != len(WIDTHS) * len(levels):
        raise ValueError("a detector without landmarks")
    cells_first = _find_order(model, names[0])
    _free_batch_axis(model)
    model = _convert_to_half(model) if half else model
    _feed_bytes(model, side, mean, std, half=half)
    graph = model.graph
    joined = [
        _join_level(graph, names[level :: len(levels)], side, (stride, anchors), cells_first)
        for level, (stride, anchors) in enumerate(levels.items())
    ]
    _add(graph, "Concat", joined, f"{OWN}all", axis=1)
    _keep_rows(graph)
    content: bytes = model.SerializeToString()
    return content


def build_recogniser(
    path: Path, side: int, mean: float, std: float, *, half: bool = False
) -> bytes:
    """The graph of a recogniser: PIXELS uint8 (B, side, side, 3) BGR to VECTORS float32 (B, dim).

    Raises ValueError for a graph of another form.
    """
    model = onnx.load(str(path))
    [output] = model.graph.output
    model = _convert_to_half(model) if half else model
    _feed_bytes(model, side, mean, std, half=half)
    cast = helper.make_node("Cast", [output.name], [VECTORS], to=TensorProto.FLOAT)
    model.graph.node.append(cast)
    described = helper.make_tensor_value_info(VECTORS, TensorProto.FLOAT, ["batch", None])
    replace_items(model.graph.output, [described])
    content: bytes = model.SerializeToString()
    return content


def _find_order(model: onnx.ModelProto, output: str) -> bool:
    """Whether an output's rows are cells before photos, by the last transposition before it."""
    makers = {name: node for node in model.graph.node for name in node.output}
    name = output
    while name in makers:
        node = makers[name]
        if node.op_type == "Transpose":
            turn = tuple(helper.get_node_attr_value(node, "perm"))
            if turn in {_CELLS_FIRST, _PHOTOS_FIRST}:
                return turn == _CELLS_FIRST
            break
        name = node.input[0]
    raise ValueError("a detector whose rows are in an unknown order")


def _free_batch_axis(model: onnx.ModelProto) -> None:
    """Let a detector that was written for one photo take any number, in place.

    A head's Reshape then counts its rows itself, and a constant that is put beside a head's rows
    (as opencv_zoo's second anchor, which scores 0) is as long as they are.
    """
    graph = model.graph
    constants = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    nodes = []
    for number, node in enumerate(graph.node):
        if node.op_type == "Reshape" and node.input[1] in constants:
            shape = constants[node.input[1]]
            if len(shape) and (shape > 0).all():
                node.input[1] = _add_constant(
                    graph, f"free_shape_{number}", np.array([-1, *shape[1:]], np.int64)
                )
        elif node.op_type == "Concat":
            nodes += _stretch_constants(graph, node, constants, number)
        nodes.append(node)
    replace_items(graph.node, nodes)
    del graph.value_info[:]


def _stretch_constants(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    constants: dict[str, npt.NDArray[np.generic]],
    number: int,
) -> list[onnx.NodeProto]:
    """Nodes that give a Concat's constants the shape of its first input."""
    added = []
    for place, name in enumerate(node.input):
        value = constants.get(name)
        if value is None or value.ndim < 3 or place == 0 or np.ptp(value) != 0:
            continue
        shape, stretched = f"{OWN}shape_{number}_{place}", f"{OWN}stretched_{number}_{place}"
        one = _add_constant(graph, f"{stretched}_value", value.reshape(-1)[:1])
        added.append(helper.make_node("Shape", [node.input[0]], [shape]))
        added.append(helper.make_node("Expand", [one, shape], [stretched]))
        node.input[place] = stretched
    return added


def _convert_to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in fp16, its inputs and outputs too."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    for number, node in enumerate(model.graph.node):  # what it adds is named after the nodes
        node.name = f"node_{number}"
    converted: onnx.ModelProto = convert_float_to_float16(
        model,
        keep_io_types=False,
        op_block_list=_FULL_PRECISION,
        force_fp16_initializers=True,
    )
    del converted.graph.value_info[:]  # shapes for one picture, which it has worked out
    return converted


def _feed_bytes(model: onnx.ModelProto, side: int, mean: float, std: float, *, half: bool) -> None:
    """Let the model read BGR bytes (B, side, side, 3) instead of its RGB numbers, in place.

    As cv2.dnn.blobFromImage does it, to the bit: minus the mean, then times 1 / std.
    """
    graph = model.graph
    own = graph.input[0].name
    kind = np.float16 if half else np.float32
    steps: list[tuple[str, str | None, dict[str, int | list[int]]]] = [
        ("Gather", _add_constant(graph, "channels", np.array([2, 1, 0], np.int64)), {"axis": 3}),
        ("Transpose", None, {"perm": [0, 3, 1, 2]}),
        ("Cast", None, {"to": helper.np_dtype_to_tensor_dtype(np.dtype(kind))}),
    ]
    if (mean, std) != (0, 1):
        steps.append(("Sub", _add_constant(graph, "mean", np.array(mean, kind)), {}))
        steps.append(("Mul", _add_constant(graph, "share", np.array(1 / std, kind)), {}))
    names = [PIXELS, *(f"{OWN}bytes_{number}" for number in range(1, len(steps))), own]
    nodes = []
    for (operator, constant, how), (before, after) in zip(steps, pairwise(names), strict=True):
        node = helper.make_node(operator, [before, *([constant] if constant else [])], [after])
        node.attribute.extend(helper.make_attribute(*item) for item in how.items())
        nodes.append(node)
    replace_items(graph.node, [*nodes, *graph.node])
    others = [value for value in graph.input if value.name != own]
    pixels = helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, ["batch", side, side, 3])
    replace_items(graph.input, [pixels, *others])


def _join_level(
    graph: onnx.GraphProto,
    names: Sequence[str],
    side: int,
    level: tuple[int, int],
    cells_first: bool,
) -> str:
    """A level's candidates (B, rows, 15): score, box and points in pixels, photo after photo.

    level: its stride and its anchors a cell. The arithmetic, in float32 and in this order, is
    InsightFace's.
    """
    stride, anchors = level
    cells = side // stride
    parts = []
    for name, width in zip(names, WIDTHS, strict=True):
        flat = f"{OWN}level_{stride}_{width}"
        _add(graph, "Cast", [name], f"{flat}_float", to=TensorProto.FLOAT)
        if cells_first:
            shape = np.array([cells * cells, -1, anchors * width], np.int64)
            _reshape(graph, f"{flat}_float", shape, f"{flat}_cells")
            node = helper.make_node("Transpose", [f"{flat}_cells"], [f"{flat}_photos"])
            node.attribute.append(helper.make_attribute("perm", [1, 0, 2]))
            graph.node.append(node)
        else:
            _add(graph, "Identity", [f"{flat}_float"], f"{flat}_photos")
        rows = np.array([-1, cells * cells * anchors, width], np.int64)
        _reshape(graph, f"{flat}_photos", rows, flat)
        parts.append(flat)
    y, x = np.mgrid[:cells, :cells].astype(np.float32) * stride
    corners = np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), anchors, axis=0)
    # A box is two corners away from the cell's, to the left and top, and to the right and bottom.
    signs = np.array([-1, -1, 1, 1, *[1] * 10], np.float32)
    _add(graph, "Concat", parts[1:], f"{OWN}distances_{stride}", axis=2)
    scale = _add_constant(graph, f"scale_{stride}", signs * stride)
    _add(graph, "Mul", [f"{OWN}distances_{stride}", scale], f"{OWN}offsets_{stride}")
    places = _add_constant(graph, f"places_{stride}", np.tile(corners, 7)[None])
    _add(graph, "Add", [f"{OWN}offsets_{stride}", places], f"{OWN}pixels_{stride}")
    _add(graph, "Concat", [parts[0], f"{OWN}pixels_{stride}"], f"{OWN}rows_{stride}", axis=2)
    return f"{OWN}rows_{stride}"


def _keep_rows(graph: onnx.GraphProto) -> None:
    """Put out only the rows of all candidates (B, rows, 15) whose score reaches THRESHOLD."""
    first = _add_constant(graph, "first", np.array([0], np.int64))
    _add(graph, "Gather", [f"{OWN}all", first], f"{OWN}scores", axis=2)
    _reshape(graph, f"{OWN}scores", np.array([-1], np.int64), f"{OWN}score")
    # Of a score that is no number neither is true, as in NumPy.
    _add(graph, "Greater", [f"{OWN}score", THRESHOLD], f"{OWN}is_above")
    _add(graph, "Equal", [f"{OWN}score", THRESHOLD], f"{OWN}is_equal")
    _add(graph, "Or", [f"{OWN}is_above", f"{OWN}is_equal"], f"{OWN}is_kept")
    _add(graph, "NonZero", [f"{OWN}is_kept"], f"{OWN}kept_row")
    _reshape(graph, f"{OWN}kept_row", np.array([-1], np.int64), PLACES)
    _reshape(graph, f"{OWN}all", np.array([-1, ROW_WIDTH], np.int64), f"{OWN}all_rows")
    _add(graph, "Gather", [f"{OWN}all_rows", PLACES], ROWS, axis=0)
    graph.input.append(helper.make_tensor_value_info(THRESHOLD, TensorProto.FLOAT, [1]))
    described = [
        helper.make_tensor_value_info(PLACES, TensorProto.INT64, ["kept"]),
        helper.make_tensor_value_info(ROWS, TensorProto.FLOAT, ["kept", ROW_WIDTH]),
    ]
    replace_items(graph.output, described)


def _reshape(graph: onnx.GraphProto, name: str, shape: npt.NDArray[np.int64], output: str) -> None:
    constant = _add_constant(graph, f"{output}_shape_of", shape)
    _add(graph, "Reshape", [name, constant], output)


def _add(
    graph: onnx.GraphProto, operator: str, inputs: Sequence[str], output: str, **how: int
) -> None:
    node = helper.make_node(operator, list(inputs), [output])
    node.attribute.extend(helper.make_attribute(*item) for item in how.items())
    graph.node.append(node)


def _add_constant(graph: onnx.GraphProto, name: str, value: npt.NDArray[np.generic]) -> str:
    graph.initializer.append(numpy_helper.from_array(value, OWN + name))
    return OWN + name
