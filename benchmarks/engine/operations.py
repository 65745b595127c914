"""A count of a model's operations and parameters, read from its graph."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from benchmarks.engine.standin import DETECTOR, RECOGNISER

DETECTOR_SIDE = 640  # pixels; photos are letterboxed to it
FACE_SIDE = 112  # pixels of an aligned face
SMALL = 64  # elements; constants up to this are shapes and scales that shapes depend on


@dataclass(frozen=True)
class Work:
    """Floating-point operations, a multiply-add being two: of a photo's detection, of a face."""

    photo_gflop: float
    face_gflop: float

    def total_gflop(self, photos: int, faces: int) -> float:
        """Of so many photos with so many faces in all."""
        return photos * self.photo_gflop + faces * self.face_gflop


def count_work(folder: Path) -> Work:
    """What detection and recognition cost with the pack in `folder` (buffalo_l's file names)."""
    return Work(
        photo_gflop=2e-9 * count_multiply_adds(folder / DETECTOR, DETECTOR_SIDE),
        face_gflop=2e-9 * count_multiply_adds(folder / RECOGNISER, FACE_SIDE),
    )


def count_multiply_adds(file: Path, side: int) -> int:
    """Multiply-adds of the convolutions and matrix products for one picture (3, side, side).

    The rest (sums, rectifiers, normalisation) is under one percent in such networks and is left
    out, as in published figures.
    """
    model = onnx.load(file)
    sizes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    shapes = _infer_shapes(model, side)
    total = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            total += prod(shapes[node.output[0]]) * prod(sizes[node.input[1]][1:])
        elif node.op_type == "Gemm":
            total += prod(sizes[node.input[1]])
        elif node.op_type == "MatMul":
            total += prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
    return total


def count_parameters(file: Path) -> int:
    """How many float weights the model has."""
    constants = onnx.load(file).graph.initializer
    return sum(prod(tensor.dims) for tensor in constants if tensor.data_type == TensorProto.FLOAT)


def _infer_shapes(model: onnx.ModelProto, side: int) -> dict[str, list[int]]:
    """The shape of every tensor for one picture. Changes the model: its weights are dropped."""
    graph = model.graph
    entry = helper.make_tensor_value_info(
        graph.input[0].name, TensorProto.FLOAT, [1, 3, side, side]
    )
    large = [tensor for tensor in graph.initializer if prod(tensor.dims) > SMALL]
    small = [tensor for tensor in graph.initializer if prod(tensor.dims) <= SMALL]
    weights = [
        helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        for tensor in large
    ]
    outputs = [
        helper.make_tensor_value_info(value.name, TensorProto.FLOAT, None) for value in graph.output
    ]
    bare = helper.make_graph(graph.node, "bare", [entry, *weights], outputs, small)
    inferred = onnx.shape_inference.infer_shapes(
        helper.make_model(bare, opset_imports=model.opset_import)
    ).graph
    known = [*inferred.input, *inferred.value_info, *inferred.output]
    return {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in known}
