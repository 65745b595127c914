"""Tests of the gate: a mode that misses faces or moves similarities is refused."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.engine.gate import LIMIT, Judgement, _sort_pairs, compute_iou, measure_figures
from tasks.faces.detected import DetectedFaces

BOX = np.array([0.1, 0.1, 0.3, 0.4], np.float32)


def make_photo(*vectors: list[float]) -> DetectedFaces:
    units = np.array([np.array(v) / np.linalg.norm(v) for v in vectors], np.float32)
    boxes = np.stack([np.add(BOX, [0.4 * i, 0, 0.4 * i, 0]) for i in range(len(vectors))])
    return DetectedFaces(boxes.astype(np.float32), np.ones(len(vectors), np.float32), units)


ANNA, BORIS = [1.0, 0.0, 0.1], [0.0, 1.0, 0.1]
REFERENCE = [make_photo(ANNA, BORIS), make_photo(ANNA), make_photo(BORIS)]


def judge(photos: list[DetectedFaces]) -> tuple[tuple[float, ...], float]:
    pairs = _sort_pairs(np.concatenate([photo.embeddings for photo in REFERENCE]))
    base = measure_figures(REFERENCE, REFERENCE, pairs)
    figures = measure_figures(photos, REFERENCE, pairs)
    return figures, max(abs(a - b) for a, b in zip(figures, base, strict=True))


def test_the_reference_itself_moves_nothing() -> None:
    figures, move = judge(REFERENCE)
    assert move == 0
    recall, same, _, others, _ = figures
    assert recall == 1
    assert same == pytest.approx(1)
    assert others < 0.1


def test_a_missed_face_lowers_recall_and_is_refused() -> None:
    missed = replace(
        REFERENCE[0],
        boxes=REFERENCE[0].boxes[:1],
        scores=REFERENCE[0].scores[:1],
        embeddings=REFERENCE[0].embeddings[:1],
    )
    figures, move = judge([missed, *REFERENCE[1:]])
    assert figures[0] == 0.75
    assert Judgement("mode", figures, move).is_refused


def test_a_vector_that_drifts_is_refused_and_one_that_rounds_is_not() -> None:
    drifted = [REFERENCE[0], make_photo([1.0, 0.3, 0.1]), REFERENCE[2]]
    assert judge(drifted)[1] > LIMIT
    rounded = [REFERENCE[0], make_photo([1.0, 0.002, 0.1]), REFERENCE[2]]
    assert 0 < judge(rounded)[1] <= LIMIT


@pytest.mark.parametrize(
    ("other", "iou"), [(BOX, 1.0), (BOX + 0.5, 0.0), (np.add(BOX, [0.1, 0, 0.1, 0]), 1 / 3)]
)
def test_intersection_over_union(other: np.ndarray, iou: float) -> None:
    assert compute_iou(BOX, other.astype(np.float32)) == pytest.approx(iou, abs=1e-5)
