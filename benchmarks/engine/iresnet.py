"""The stand-in for w600k_r50.onnx: IResNet-50 of ArcFace (Deng et al. 2019), RANDOM weights.

The layers are those of InsightFace's public arcface_torch: in each block a batch normalisation
(which zero padding keeps from being folded), a convolution, PReLU, a convolution.
"""

import onnx

from benchmarks.engine.graph import BRANCH_GAIN, LINEAR_GAIN, Features, GraphBuilder

SIDE = 112  # pixels of an aligned face
STAGES = ((3, 64), (4, 128), (14, 256), (3, 512))  # blocks, channels
DIMENSION = 512
LAST_SIDE = SIDE // 2 ** len(STAGES)
SOFT_GAIN = 1.9  # keeps a signal's size through a convolution and PReLU


def build_iresnet(seed: int) -> onnx.ModelProto:
    """The recogniser: input.1 (N, 3, 112, 112) to embeddings (N, 512), not normalised."""
    graph = GraphBuilder(seed)
    x = graph.convolve(Features("input.1", 3), STAGES[0][1], gain=SOFT_GAIN)
    x = graph.rectify_softly(x)
    for blocks, channels in STAGES:
        for block in range(blocks):
            x = _add_block(graph, x, channels, shrink=block == 0)
    x = graph.normalise(x)
    columns = x.channels * LAST_SIDE**2
    connected = Features(graph.connect(x.name, columns, DIMENSION), DIMENSION)
    embedding = graph.normalise(connected).name
    return graph.finish(("input.1", ("None", 3, SIDE, SIDE)), [(embedding, ("None", DIMENSION))])


def _add_block(graph: GraphBuilder, x: Features, channels: int, *, shrink: bool) -> Features:
    """The second convolution does the shrinking, so the first works at full size."""
    stride = 2 if shrink else 1
    y = graph.rectify_softly(graph.convolve(graph.normalise(x), channels, gain=SOFT_GAIN))
    y = graph.convolve(y, channels, stride=stride, gain=BRANCH_GAIN)
    if shrink:
        x = graph.convolve(x, channels, 1, stride=stride, gain=LINEAR_GAIN)
    return graph.sum(y, x)
