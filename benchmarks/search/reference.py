"""The expanded search in numpy, as models/queries/search.py has it in SQL: for comparison."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.queries.search import MOST_SEEDS

Floats = npt.NDArray[np.float32]


def round_to_halves(vectors: Floats) -> Floats:
    """Vectors as they are stored."""
    return vectors.astype(np.float16).astype(np.float32)


def find_best(
    vectors: Floats, photos: Sequence[int], wanted: Floats, least: float
) -> list[tuple[int, float]]:
    """Indices of each photo's best face, with their similarities; the most similar first.

    vectors: (faces, dimension), photos: the id of each one's photo.
    """
    similarities = (vectors @ wanted).tolist()
    best: dict[int, int] = {}
    for index, photo in enumerate(photos):
        if photo not in best or similarities[index] > similarities[best[photo]]:
            best[photo] = index
    order = sorted(best.values(), key=lambda index: (-similarities[index], photos[index]))
    return [(index, similarities[index]) for index in order if similarities[index] >= least]


def expand(selfie: Floats, vectors: Floats, seeds: Sequence[tuple[int, float]]) -> Floats:
    """The selfie averaged with its seeds, which are the first MOST_SEEDS of find_best."""
    total = selfie + sum(
        (similarity * vectors[index] for index, similarity in seeds[:MOST_SEEDS]),
        np.zeros_like(selfie),
    )
    return np.asarray(total / np.linalg.norm(total), np.float32)
