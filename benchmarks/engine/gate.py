"""The command of `make gate`: a faster backend's faces on real photos against onnxruntime's fp32.

Compares the recall of detection and the similarities of the same person and of others. A mode that
moves any of them by more than one percent is refused, and the command fails.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.engine.pictures import make_real_photos
from benchmarks.engine.rounds import list_modes
from benchmarks.engine.variants import EXACT
from benchmarks.stored import MAX_PIXELS
from models.settings import Settings
from tasks.faces.detected import DetectedFaces
from tasks.faces.engine import FaceEngine
from tasks.images.decode import decode_photo
from tasks.packs.registry import resolve_pack

LIMIT = 0.01  # the largest move of a figure
SAME_FACE_IOU = 0.5
SAME_PERSON_COSINE = 0.5  # in fp32, far from both groups of these photos
FIGURES = ("recall", "same, mean", "same, smallest", "others, mean", "others, largest")


@dataclass(frozen=True)
class Judgement:
    """A mode's figures, and the largest move from fp32's."""

    mode: str
    figures: tuple[float, ...]
    move: float

    @property
    def is_refused(self) -> bool:
        """Whether the mode changes what guests find."""
        return self.move > LIMIT


def main() -> int:
    """Judge every mode of this machine: 1 when one is refused."""
    console = Console(stderr=True, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        judgements = judge_modes(Path(folder))
    table = Table(title="Real photos, opencv_zoo: each mode against onnxruntime fp32")
    for name in ("mode", *FIGURES, "largest move", ""):
        table.add_column(name, justify="right")
    for one in judgements:
        figures = (f"{value:.4f}" for value in one.figures)
        verdict = "REFUSED" if one.is_refused else "passes"
        table.add_row(one.mode, *figures, f"{one.move:.2%}", verdict)
    console.print(table)
    passes = {one.mode: not one.is_refused for one in judgements}
    sys.stdout.write(json.dumps({"limit": LIMIT, "passes": passes}) + "\n")
    return int(not all(passes.values()))


def judge_modes(models: Path) -> list[Judgement]:
    """The figures of each mode that this machine can run; fp32's first."""
    found = {mode: _find_faces(mode, models) for mode in list_modes()}
    reference = found[EXACT]
    pairs = _sort_pairs(
        np.concatenate([faces.embeddings for faces in reference if len(faces.scores)])
    )
    base = measure_figures(reference, reference, pairs)
    judgements = []
    for mode, faces in found.items():
        figures = measure_figures(faces, reference, pairs)
        moves = [abs(ours - theirs) for ours, theirs in zip(figures, base, strict=True)]
        judgements.append(Judgement(mode, figures, max(moves)))
    return judgements


def _find_faces(mode: str, models: Path) -> list[DetectedFaces]:
    wanted = {"model_pack": "opencv_zoo", "model_root": models, "inference": mode}
    engine = FaceEngine(resolve_pack(Settings.model_validate(wanted)), mode)
    readers = [partial(decode_photo, photo.jpeg, MAX_PIXELS) for photo in make_real_photos()]
    return [faces for faces in engine.embed_all(readers) if isinstance(faces, DetectedFaces)]


@dataclass(frozen=True)
class _Pairs:
    """Indices of faces, as fp32 sees them: of one person, of two."""

    same: npt.NDArray[np.int64]  # (P, 2)
    others: npt.NDArray[np.int64]


def _sort_pairs(vectors: npt.NDArray[np.float32]) -> _Pairs:
    every = np.array(list(combinations(range(len(vectors)), 2)))
    is_same = _compare(vectors, every) >= SAME_PERSON_COSINE
    return _Pairs(every[is_same], every[~is_same])


def measure_figures(
    photos: Sequence[DetectedFaces], reference: Sequence[DetectedFaces], pairs: _Pairs
) -> tuple[float, ...]:
    """FIGURES of a mode; a face it misses counts as similar to nobody."""
    vectors, hits = [], 0
    for ours, theirs in zip(photos, reference, strict=True):
        for box, vector in zip(theirs.boxes, theirs.embeddings, strict=True):
            overlaps = [compute_iou(box, other) for other in ours.boxes]
            best = int(np.argmax(overlaps)) if overlaps else -1
            is_hit = best >= 0 and overlaps[best] >= SAME_FACE_IOU
            hits += is_hit
            vectors.append(ours.embeddings[best] if is_hit else np.zeros_like(vector))
    stacked = np.stack(vectors)
    same, others = _compare(stacked, pairs.same), _compare(stacked, pairs.others)
    means = (float(same.mean()), float(same.min()), float(others.mean()), float(others.max()))
    return (hits / len(vectors), *means)


def _compare(
    vectors: npt.NDArray[np.float32], pairs: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    cosines: npt.NDArray[np.float32] = (vectors[pairs[:, 0]] * vectors[pairs[:, 1]]).sum(axis=1)
    return cosines


def compute_iou(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Intersection over union of two boxes x1, y1, x2, y2."""
    left, top = np.maximum(one[:2], other[:2])
    right, bottom = np.minimum(one[2:], other[2:])
    shared = max(0.0, right - left) * max(0.0, bottom - top)
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (one, other)]
    return float(shared / (sum(areas) - shared))


if __name__ == "__main__":
    sys.exit(main())
