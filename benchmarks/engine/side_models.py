"""Stand-ins for buffalo_l's three other models, RANDOM weights: landmarks, gender and age.

Their layers are not published. These have the files' inputs and outputs and backbones of their
kind (ResNet-50; MobileNet of half and of a quarter width). They are approximate, and a sixth to a
third smaller than the distributed files (143.6, 5.03 and 1.32 MB): chosen to cost less, not more.
"""

import onnx

from benchmarks.engine.graph import BRANCH_GAIN, LINEAR_GAIN, Features, GraphBuilder

RESNET_STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))  # blocks, channels inside them
WIDENING = 4  # a block's output has so many times the channels inside it
MOBILENET_STEM = 32
# channels, stride
MOBILENET_LAYERS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    *[(512, 1)] * 5, (1024, 2), (1024, 1),
)  # fmt: skip


def build_landmarks_3d(seed: int) -> onnx.ModelProto:
    """1k3d68.onnx: ResNet-50 (He et al. 2016), data (N, 3, 192, 192) to (N, 3309)."""
    graph = GraphBuilder(seed)
    x = graph.rectify(graph.convolve(_add_entry(graph), RESNET_STAGES[0][1], 7, stride=2))
    pooled = graph.add("MaxPool", [x.name], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = Features(pooled, x.channels)
    for stage, (blocks, channels) in enumerate(RESNET_STAGES):
        for block in range(blocks):
            x = _add_bottleneck(graph, x, channels, stride=2 if stage and not block else 1)
    return _finish(graph, x, side=192, outputs=3309)


def build_landmarks_2d(seed: int) -> onnx.ModelProto:
    """2d106det.onnx: data (N, 3, 192, 192) to (N, 212)."""
    return _build_mobilenet(seed, divisor=2, side=192, outputs=212)


def build_gender_age(seed: int) -> onnx.ModelProto:
    """genderage.onnx: data (N, 3, 96, 96) to (N, 3)."""
    return _build_mobilenet(seed, divisor=4, side=96, outputs=3)


def _build_mobilenet(seed: int, *, divisor: int, side: int, outputs: int) -> onnx.ModelProto:
    """MobileNet (Howard et al. 2017) with its channels divided."""
    graph = GraphBuilder(seed)
    x = graph.rectify(graph.convolve(_add_entry(graph), MOBILENET_STEM // divisor, stride=2))
    for channels, stride in MOBILENET_LAYERS:
        x = graph.convolve(x, x.channels, stride=stride, groups=x.channels)
        x = graph.convolve(graph.rectify(x), channels // divisor, 1)
        x = graph.rectify(x)
    return _finish(graph, x, side=side, outputs=outputs)


def _add_entry(graph: GraphBuilder) -> Features:
    """Pixels 0..255 to -1..1 inside the graph; InsightFace looks for these two nodes by name."""
    centred = graph.add("Sub", ["data", graph.constant(127.5)])
    return Features(graph.add("Mul", [centred, graph.constant(1 / 128)]), 3)


def _add_bottleneck(graph: GraphBuilder, x: Features, channels: int, stride: int) -> Features:
    y = graph.rectify(graph.convolve(x, channels, 1))
    y = graph.rectify(graph.convolve(y, channels, stride=stride))
    y = graph.convolve(y, channels * WIDENING, 1, gain=BRANCH_GAIN)
    if x.channels != y.channels or stride > 1:
        x = graph.convolve(x, y.channels, 1, stride=stride, gain=LINEAR_GAIN)
    return graph.rectify(graph.sum(y, x))


def _finish(graph: GraphBuilder, x: Features, *, side: int, outputs: int) -> onnx.ModelProto:
    pooled = graph.add("GlobalAveragePool", [x.name])
    answer = graph.connect(pooled, x.channels, outputs)
    return graph.finish(("data", ("None", 3, side, side)), [(answer, ("None", outputs))])
