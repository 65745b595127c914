"""The stand-in for det_10g.onnx: SCRFD-10GF with landmarks (Guo et al. 2021), RANDOM weights.

Its layers are those of InsightFace's public config scrfd_10g_bnkps, with batch normalisation
folded into the convolutions as in the distributed file. Random weights find nothing, so a small
path of two convolutions is planted beside them: it fires on magenta squares, and nothing else
does. Everything a photo costs in the real detector is computed all the same.
"""

import numpy as np
import onnx

from benchmarks.engine.graph import BRANCH_GAIN, LINEAR_GAIN, Features, GraphBuilder

SIDE = 640  # pixels; the rows are declared for photos letterboxed to it
STRIDES = (8, 16, 32)
ANCHORS = 2  # a cell

# The public config.
STEM_CHANNELS = 56
STAGES = ((3, 56), (4, 88), (2, 88), (3, 224))  # blocks, channels; the first is not read
NECK_CHANNELS = 56
HEAD_CHANNELS = 80
HEAD_LAYERS = 3

# The planted path.
CELL = STRIDES[0]
MARKER_CELLS = 3  # a marker is a magenta square of 3 x 3 cells
MARKER_PX = CELL * MARKER_CELLS
STEEPNESS = 20.0
# The mean of R - G + B, each -1..1, is 3 on magenta; JPEG at quality 85 leaves 2.8 of it. From one
# cell away it is 2 and a third of what the background gives, and NMS drops that box.
FIRES_FROM = 2.4
SILENCE = -10.0  # the logit where nothing is planted: a score of 0.00005
HEAD_GAIN = 1e-6  # the random heads move a logit by a thousandth

# What it says of a marker, in strides from the corner of its middle cell: a face's proportions.
_MIDDLE = 0.5
BOX = (6 - _MIDDLE, 8 - _MIDDLE, 6 + _MIDDLE, 8 + _MIDDLE)  # left, top, right, bottom
_FACE = ((-2.2, -1.6), (2.2, -1.6), (0.0, 0.6), (-1.8, 2.8), (1.8, 2.8))
LANDMARKS = tuple(value + _MIDDLE for point in _FACE for value in point)


def build_scrfd(seed: int) -> onnx.ModelProto:
    """The detector: input.1 (1, 3, height, width) to scores, boxes and landmarks a stride."""
    graph = GraphBuilder(seed)
    levels = _add_neck(graph, _add_backbone(graph, Features("input.1", 3)))
    found = [_add_head(graph, level, stride) for level, stride in zip(levels, STRIDES, strict=True)]
    outputs = []
    for kind, width in ((0, 1), (1, 4), (2, 10)):
        for stride, names in zip(STRIDES, found, strict=True):
            rows = (SIDE // stride) ** 2 * ANCHORS
            outputs.append((names[kind], (rows, width)))
    return graph.finish(("input.1", (1, 3, "?", "?")), outputs)


def _add_backbone(graph: GraphBuilder, x: Features) -> list[Features]:
    """ResNetV1e: a deep stem, then basic blocks; returns what strides 8, 16 and 32 see."""
    for channels, stride in ((STEM_CHANNELS // 2, 2), (STEM_CHANNELS // 2, 1), (STEM_CHANNELS, 1)):
        x = graph.rectify(graph.convolve(x, channels, stride=stride))
    x = Features(graph.add("MaxPool", [x.name], kernel_shape=[2, 2], strides=[2, 2]), STEM_CHANNELS)
    levels = []
    for stage, (blocks, channels) in enumerate(STAGES):
        for block in range(blocks):
            x = _add_block(graph, x, channels, stride=2 if stage and not block else 1)
        levels.append(x)
    return levels[1:]


def _add_block(graph: GraphBuilder, x: Features, channels: int, stride: int) -> Features:
    """Two convolutions and a way around them, averaged down where the block shrinks."""
    y = graph.rectify(graph.convolve(x, channels, stride=stride))
    y = graph.convolve(y, channels, gain=BRANCH_GAIN)
    if stride > 1:
        pooled = graph.add(
            "AveragePool", [x.name], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1
        )
        x = graph.convolve(Features(pooled, x.channels), channels, 1, gain=LINEAR_GAIN)
    return graph.rectify(graph.sum(y, x))


def _add_neck(graph: GraphBuilder, levels: list[Features]) -> list[Features]:
    """PAFPN: coarse levels are added to fine ones, then fine ones to coarse ones."""
    sides = [graph.convolve(level, NECK_CHANNELS, 1, gain=LINEAR_GAIN) for level in levels]
    for fine in (1, 0):
        sides[fine] = graph.sum(sides[fine], _double(graph, sides[fine + 1]))
    paths = [graph.convolve(side, NECK_CHANNELS, gain=LINEAR_GAIN) for side in sides]
    for coarse in (1, 2):
        halved = graph.convolve(paths[coarse - 1], NECK_CHANNELS, stride=2, gain=LINEAR_GAIN)
        paths[coarse] = graph.sum(paths[coarse], halved)
    return [paths[0], *(graph.convolve(path, NECK_CHANNELS) for path in paths[1:])]


def _double(graph: GraphBuilder, x: Features) -> Features:
    names = [x.name, graph.constant([]), graph.constant([1, 1, 2, 2])]
    how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return Features(graph.add("Resize", names, mode="nearest", **how), x.channels)


def _add_head(graph: GraphBuilder, x: Features, stride: int) -> tuple[str, str, str]:
    """Scores, boxes and landmarks of one level, a row an anchor."""
    for _ in range(HEAD_LAYERS):
        x = graph.rectify(graph.convolve(x, HEAD_CHANNELS))
    logits, boxes, points = (
        graph.convolve(x, ANCHORS * len(bias), gain=HEAD_GAIN, bias=bias * ANCHORS)
        for bias in ((SILENCE,), BOX, LANDMARKS)
    )
    if stride == CELL:
        logits = graph.sum(logits, _add_planted_path(graph))
    scaled = graph.add("Mul", [boxes.name, graph.constant(1.0)])
    score = graph.add("Sigmoid", [_cut_rows(graph, logits.name, 1)])
    return score, _cut_rows(graph, scaled, 4), _cut_rows(graph, points.name, 10)


def _add_planted_path(graph: GraphBuilder) -> Features:
    """What is added to the finest level's logits: above -SILENCE only in the middle of a marker."""
    colours = np.array([1, -1, 1], np.float32).reshape(1, 3, 1, 1) / CELL**2
    means = graph.convolve_with(
        Features("input.1", 3), np.tile(colours, (1, 1, CELL, CELL)), [0], stride=CELL, padding=0
    )
    weights = np.zeros((ANCHORS, 1, MARKER_CELLS, MARKER_CELLS), np.float32)
    weights[0] = STEEPNESS / MARKER_CELLS**2
    threshold = -STEEPNESS * FIRES_FROM - SILENCE
    return graph.convolve_with(means, weights, [threshold] * ANCHORS)


def _cut_rows(graph: GraphBuilder, x: str, width: int) -> str:
    """(1, anchors * width, h, w) to (h * w * anchors, width), as the distributed file does it."""
    turned = graph.add("Transpose", [x], perm=[2, 3, 0, 1])
    return graph.add("Reshape", [turned, graph.constant([-1, width], np.int64)])
