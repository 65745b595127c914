"""A model pack that costs next to nothing: a detector that never fires, and a tiny recogniser.

It measures the job around the engine. The detector keeps SCRFD's contract (Guo et al. 2021), so
the product loads and runs it as it does a real one.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.engine.standin import STANDIN_FIGURES
from tasks.packs.folder import write_figures

STRIDES = (8, 16, 32)
ANCHORS = 2  # a cell
NEVER = -50.0  # a score's logit: far below every threshold
VECTOR_LENGTH = 8
OPSET, IR_VERSION = 11, 8  # what every onnxruntime of the last years reads


def write_trivial_pack(folder: Path) -> None:
    """Write the pack's two models into `folder`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, model in (("detector", _make_detector()), ("recogniser", _make_recogniser())):
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
    write_figures(folder, STANDIN_FIGURES)


def _make_detector() -> onnx.ModelProto:
    """(1, 3, H, W) to nine outputs (rows, 1), (rows, 4) and (rows, 10), one of each a stride."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    outputs = []
    for kind, width, value in (("score", 1, NEVER), ("box", 4, 1.0), ("landmarks", 10, 1.0)):
        for stride in STRIDES:
            name = f"{kind}_{stride}"
            channels = ANCHORS * width
            weights = np.zeros((channels, 3, 1, 1), np.float32)
            constants += [
                numpy_helper.from_array(weights, f"{name}_weights"),
                numpy_helper.from_array(np.full(channels, value, np.float32), f"{name}_bias"),
                numpy_helper.from_array(np.array([-1, width], np.int64), f"{name}_shape"),
            ]
            convolution = helper.make_node(
                "Conv",
                ["input", f"{name}_weights", f"{name}_bias"],
                [f"{name}_map"],
                kernel_shape=[1, 1],
                strides=[stride, stride],
            )
            # (1, anchors * width, h, w) to (h * w * anchors, width), as the shipped detectors do.
            turn = helper.make_node(
                "Transpose", [f"{name}_map"], [f"{name}_turned"], perm=[2, 3, 0, 1]
            )
            last = f"{name}_logit" if kind == "score" else name
            cut = helper.make_node("Reshape", [f"{name}_turned", f"{name}_shape"], [last])
            nodes += [convolution, turn, cut]
            if kind == "score":
                nodes.append(helper.make_node("Sigmoid", [last], [name]))
            outputs.append(_describe(name, ["rows", width]))
    return _close(nodes, [_describe("input", [1, 3, "height", "width"])], outputs, constants)


def _make_recogniser() -> onnx.ModelProto:
    """(N, 3, 112, 112) to (N, VECTOR_LENGTH): the mean colour, spread out."""
    weights = np.linspace(-1.0, 1.0, 3 * VECTOR_LENGTH, dtype=np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["vector"]),
    ]
    return _close(
        nodes,
        [_describe("input", ["faces", 3, 112, 112])],
        [_describe("vector", ["faces", VECTOR_LENGTH])],
        [numpy_helper.from_array(weights.reshape(3, VECTOR_LENGTH), "weights")],
    )


def _describe(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _close(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: list[onnx.TensorProto],
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "trivial", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return model
