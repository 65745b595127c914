"""A stand-in for InsightFace's buffalo_l: its shapes and its operations, RANDOM weights.

buffalo_l's weights are for non-commercial research only and not always at hand. Speed does not
depend on what the weights are, so benchmarks of speed run on this pack just as well; its
embeddings mean nothing, and it finds the markers of `benchmarks.engine.pictures`, not people.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx

from benchmarks.engine.iresnet import build_iresnet
from benchmarks.engine.scrfd import build_scrfd
from benchmarks.engine.side_models import build_gender_age, build_landmarks_2d, build_landmarks_3d
from tasks.packs.figures import UNMEASURED_FIGURES
from tasks.packs.folder import write_figures

DETECTOR = "det_10g.onnx"
RECOGNISER = "w600k_r50.onnx"
# Nobody's licence forbids anything of random weights.
STANDIN_FIGURES = replace(UNMEASURED_FIGURES, source="random weights", commercial=True)
# File, its builder; a file's seed is its place.
FILES: dict[str, Callable[[int], onnx.ModelProto]] = {
    DETECTOR: build_scrfd,
    RECOGNISER: build_iresnet,
    "1k3d68.onnx": build_landmarks_3d,
    "2d106det.onnx": build_landmarks_2d,
    "genderage.onnx": build_gender_age,
}


def write_standin_buffalo(folder: Path) -> None:
    """Write the five files (310 MB) and figures into `folder`, which is made if need be.

    The same bytes every time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, build) in enumerate(FILES.items(), start=1):
        (folder / name).write_bytes(build(seed).SerializeToString(deterministic=True))
    write_figures(folder, STANDIN_FIGURES)
