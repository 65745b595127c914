"""A builder of convolutional networks as ONNX graphs, layer by layer; seeded RANDOM weights."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 11  # what buffalo_l's files were exported with
IR_VERSION = 8
# Keeps a signal's size through a convolution and a rectifier. (He et al. 2015 have 2; the filters
# here are blind to their input's mean, a third of what a rectifier passes.)
RECTIFIED_GAIN = 2.9
BRANCH_GAIN = 0.3  # the last layer of a residual branch: the sum stays near its input's size
LINEAR_GAIN = 1.0  # no rectifier follows

Floats = npt.NDArray[np.float32]


class Features(NamedTuple):
    """A tensor in the graph: its name and how many channels (or columns) it has."""

    name: str
    channels: int


class GraphBuilder:
    """A graph in the making. The same seed and the same calls give the same bytes."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, value: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """Add a constant; returns its name."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def add(
        self, operator: str, inputs: Sequence[str], **attributes: int | float | str | list[int]
    ) -> str:
        """Add a node; returns its output's name."""
        name = f"{operator}_{len(self._nodes)}"
        node = helper.make_node(operator, list(inputs), [name], name=name)
        node.attribute.extend(helper.make_attribute(*item) for item in sorted(attributes.items()))
        self._nodes.append(node)
        return name

    def convolve(
        self,
        x: Features,
        channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        groups: int = 1,
        gain: float = RECTIFIED_GAIN,
        bias: Sequence[float] | None = None,
    ) -> Features:
        """A random convolution, padded to keep the size (divided by `stride`).

        gain: the output's variance for inputs of variance 1. bias: a value a channel, or random.
        """
        shape = (channels, x.channels // groups, kernel, kernel)
        weights = self._draw_filters(shape, gain)
        offsets = 0.05 * self._draw((channels,)) if bias is None else bias
        return self.convolve_with(x, weights, offsets, stride=stride, groups=groups)

    def convolve_with(
        self,
        x: Features,
        weights: Floats,
        bias: npt.ArrayLike,
        *,
        stride: int = 1,
        groups: int = 1,
        padding: int | None = None,
    ) -> Features:
        """A convolution with given weights (out, in, k, k); padding is half of k if not told."""
        kernel = weights.shape[2]
        name = self.add(
            "Conv",
            [x.name, self.constant(weights), self.constant(bias)],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2 if padding is None else padding] * 4,
            dilations=[1, 1],
            group=groups,
        )
        return Features(name, weights.shape[0])

    def rectify(self, x: Features) -> Features:
        """ReLU."""
        return Features(self.add("Relu", [x.name]), x.channels)

    def rectify_softly(self, x: Features) -> Features:
        """PReLU: negative values are shrunk to about a quarter, each channel's by its share."""
        shares = 0.25 + 0.02 * self._draw((x.channels, 1, 1))
        return Features(self.add("PRelu", [x.name, self.constant(shares)]), x.channels)

    def normalise(self, x: Features) -> Features:
        """Batch normalisation, with statistics near 0 and 1."""
        scale, offset, mean = (0.05 * self._draw((x.channels,)) for _ in range(3))
        variance = 1 + 0.1 * np.abs(self._draw((x.channels,)))
        names = [self.constant(value) for value in (1 + scale, offset, mean, variance)]
        return Features(self.add("BatchNormalization", [x.name, *names], epsilon=1e-5), x.channels)

    def sum(self, x: Features, y: Features) -> Features:
        """Both added, element by element."""
        return Features(self.add("Add", [x.name, y.name]), x.channels)

    def connect(self, x: str, columns: int, outputs: int) -> str:
        """Flatten and fully connect: (N, columns in all) to (N, outputs)."""
        flat = self.add("Flatten", [x], axis=1)
        weights = self._draw_filters((outputs, columns), LINEAR_GAIN)
        names = [flat, self.constant(weights), self.constant(np.zeros(outputs))]
        return self.add("Gemm", names, transB=1)

    def finish(
        self,
        entry: tuple[str, Sequence[int | str]],
        outputs: Sequence[tuple[str, Sequence[int | str]]],
    ) -> onnx.ModelProto:
        """The checked model; `entry` and `outputs` are names with shapes."""
        described = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
            for name, shape in (entry, *outputs)
        ]
        graph = helper.make_graph(
            self._nodes, "random_standin", described[:1], described[1:], self._constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        return model

    def _draw(self, shape: tuple[int, ...]) -> Floats:
        return self._random.standard_normal(shape, dtype=np.float32)

    def _draw_filters(self, shape: tuple[int, ...], gain: float) -> Floats:
        weights = self._draw(shape)
        # Blind to the input's mean: otherwise a deep random network says nearly the same of
        # whatever it is shown.
        weights -= weights.mean(axis=tuple(range(1, len(shape))), keepdims=True)
        weights *= np.float32(np.sqrt(gain / np.prod(shape[1:])))
        return weights
