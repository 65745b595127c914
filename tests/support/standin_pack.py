"""A tiny model pack with buffalo_l's files and random weights, and pictures it finds "faces" in.

The weights of buffalo_l may not be shipped, so the tests run the same code path on this pack:
five files told apart by their shapes, as InsightFace passes over a manifest of figures alone, and
512 numbers a face. The detector fires on pure magenta squares, so a test knows how many faces a
picture has, and where.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tasks.packs.figures import PackFigures
from tasks.packs.folder import write_figures

DETECTOR_SIDE = 640  # pixels; photos are letterboxed to it
MARKER_SIDE = 24  # pixels after letterboxing: covers whole 8x8 cells wherever it lies
BOX_STRIDES = 6.0  # the box reaches this many strides of 8 pixels from its cell to each side
MAGENTA_BGR = (255, 0, 255)
# Eyes, nose, corners of the mouth around the cell, in strides: a face's proportions.
LANDMARKS = (-2.2, -1.6, 2.2, -1.6, 0.0, 0.6, -1.8, 2.8, 1.8, 2.8)
EMBEDDING_DIMENSION = 512
STANDIN_FIGURES = PackFigures(
    detection=0.5,
    search=0.50,
    surely=0.60,
    expansion=None,
    source="made up for tests",
    commercial=True,
)


def write_standin_pack(folder: Path) -> None:
    """Write the five files and figures into `folder`, which is made if need be.

    The same bytes every time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    models = {
        "det_10g": _make_detector(),
        "w600k_r50": _make_projection("input.1", 112, EMBEDDING_DIMENSION, seed=1),
        "1k3d68": _make_projection("data", 192, 3309, seed=2),
        "2d106det": _make_projection("data", 192, 212, seed=3),
        "genderage": _make_projection("data", 96, 3, seed=4),
    }
    for name, model in models.items():
        content = model.SerializeToString(deterministic=True)
        (folder / f"{name}.onnx").write_bytes(content)
    write_figures(folder, STANDIN_FIGURES)


def write_standin_recogniser(path: Path, dimension: int = EMBEDDING_DIMENSION) -> None:
    """Write a file of AuraFace's shape (glintr100.onnx): one face of 112x112 to `dimension`."""
    model = _make_projection("input.1", 112, dimension, seed=5)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    path.write_bytes(model.SerializeToString(deterministic=True))


def draw_markers(
    width: int, height: int, centers: Sequence[tuple[int, int]]
) -> npt.NDArray[np.uint8]:
    """A BGR picture (height, width, 3) with one face at each of `centers` (x, y in pixels).

    Centres lie at least an eighth of the longer side apart and a twentieth from the borders.
    The background is noise of its own for each (width, height, centers), so faces of different
    pictures get different embeddings. The markers survive JPEG at quality 95.
    """
    noise = np.random.default_rng([width, height, *np.ravel(centers).astype(int)])
    # Coarse and not bright: JPEG keeps it, and no cell of it can pass for magenta.
    coarse = noise.integers(0, 190, (24, 24, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    half = round(MARKER_SIDE / 2 * max(width, height) / DETECTOR_SIDE)
    for x, y in centers:
        cv2.rectangle(picture, (x - half, y - half), (x + half, y + half), MAGENTA_BGR, -1)
    return np.asarray(picture, dtype=np.uint8)


def _make_detector() -> onnx.ModelProto:
    """SCRFD's contract: 9 outputs of rank 2, strides 8, 16, 32, two anchors a cell, any size."""
    graph = _Graph()
    outputs: dict[str, list[onnx.ValueInfoProto]] = {"score": [], "box": [], "kps": []}
    for stride in (8, 16, 32):
        # The mean of R - G + B over a cell, each -1..1, is 3 on magenta. Stride 8 fires on it
        # where over five sixths of a cell are magenta; nothing else ever fires.
        weights = np.zeros((2, 3, stride, stride), np.float32)
        if stride == 8:
            weights[0] = np.array([20, -20, 20]).reshape(3, 1, 1) / stride**2
        logits = graph.convolve("input.1", weights, [-50.0, -50.0])
        score = graph.add("Sigmoid", [graph.cut_rows(logits, 1)])
        outputs["score"].append(_describe(score, ["rows", 1]))
        for kind, values in (("box", [BOX_STRIDES] * 4), ("kps", list(LANDMARKS))):
            blank = np.zeros((2 * len(values), 3, stride, stride), np.float32)
            found = graph.convolve("input.1", blank, values * 2)
            rows = graph.cut_rows(found, len(values))
            outputs[kind].append(_describe(rows, ["rows", len(values)]))
    picture = _describe("input.1", [1, 3, "height", "width"])
    return graph.close(picture, outputs["score"] + outputs["box"] + outputs["kps"])


def _make_projection(name: str, side: int, outputs: int, seed: int) -> onnx.ModelProto:
    """A random projection of the picture's 8x8 mean colours: (N, 3, side, side) to (N, outputs)."""
    graph = _Graph()
    cell = side // 8
    means = graph.add("AveragePool", [name], kernel_shape=[cell, cell], strides=[cell, cell])
    flat = graph.add("Flatten", [means])
    weights = np.random.default_rng(seed).standard_normal((3, 64, outputs)).astype(np.float32)
    # Blind to a picture's mean colour, or all faces would look much the same.
    weights -= weights.mean(axis=1, keepdims=True)
    found = graph.add("MatMul", [flat, graph.constant(weights.reshape(192, outputs))])
    picture = _describe(name, ["None", 3, side, side])
    return graph.close(picture, [_describe(found, ["None", outputs])])


def _describe(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


class _Graph:
    """Nodes and constants of a graph in the making, with names of their own."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: npt.NDArray[np.generic]) -> str:
        """Add a constant; returns its name."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, operator: str, inputs: list[str], **attributes: list[int]) -> str:
        """Add a node; returns its output's name."""
        name = f"{operator}_{len(self.nodes)}"
        node = helper.make_node(operator, inputs, [name], name=name)
        node.attribute.extend(
            helper.make_attribute(key, value) for key, value in attributes.items()
        )
        self.nodes.append(node)
        return name

    def convolve(self, picture: str, weights: npt.NDArray[np.float32], bias: list[float]) -> str:
        """A convolution whose steps are as wide as its kernel."""
        side = weights.shape[2]
        names = [picture, self.constant(weights), self.constant(np.array(bias, np.float32))]
        return self.add("Conv", names, kernel_shape=[side, side], strides=[side, side])

    def cut_rows(self, feature_map: str, width: int) -> str:
        """(1, 2 * width, h, w) to (h * w * 2, width), as the shipped detectors do it."""
        turned = self.add("Transpose", [feature_map], perm=[2, 3, 0, 1])
        return self.add("Reshape", [turned, self.constant(np.array([-1, width], np.int64))])

    def close(
        self, picture: onnx.ValueInfoProto, outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """The checked model."""
        graph = helper.make_graph(self.nodes, "standin", [picture], outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)])
        model.ir_version = 8
        onnx.checker.check_model(model, full_check=True)
        return model
