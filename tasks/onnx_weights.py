"""Weights of ONNX graphs: block-quantised constants folded to float32, and tidying up after it.

Only the builder of opencv_zoo needs `onnx`: no module but its three imports it.
Operators follow the ONNX operator set 21 (DequantizeLinear with `axis` and `block_size`).
"""

from collections.abc import Callable, MutableSequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

FloatArray = npt.NDArray[np.float32]
AnyArray = npt.NDArray[np.generic]
Item = TypeVar("Item")


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


def replace_items(field: MutableSequence[Item], items: list[Item]) -> None:
    """Put `items` in place of all that a repeated protobuf field holds."""
    del field[:]
    field.extend(items)
