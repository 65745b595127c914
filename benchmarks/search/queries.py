"""A series of searches: the time of each, and the share of the true best it found."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Engine
from sqlmodel import Session

from benchmarks.search.table import DIMENSION, FACES_A_PHOTO, Floats, make_vectors
from models.queries.search import FaceQuery, find_photos

TOP = 50  # photos a page
# Random faces are hardly ever more alike than 0.2. From 0.1 on about one of a hundred is near: more
# than the photos of one guest at any wedding, so that what comes after the distances counts too.
LOWEST = 0.1

Search = Callable[[int, Floats], Sequence[int]]


@dataclass(frozen=True)
class Timing:
    """Milliseconds of each search, and the mean share of the exact best photos found."""

    took_ms: list[float]
    recall: float

    @property
    def p50(self) -> float:
        """Half are quicker."""
        return float(np.percentile(self.took_ms, 50))

    @property
    def p95(self) -> float:
        """One of twenty is slower."""
        return float(np.percentile(self.took_ms, 95))


def search_by_product(database: Engine, pack_id: int) -> Search:
    """The product's own query, on a connection of the pool as the API has it."""

    def search(event_id: int, face: Floats) -> Sequence[int]:
        with Session(database) as session, session.begin():
            query = FaceQuery(event_id, [pack_id], face, LOWEST)
            return [photo.photo_id for photo in find_photos(session, query, after=None, limit=TOP)]

    return search


def measure(search: Search, events: Sequence[int], faces: int, rounds: int) -> Timing:
    """Search `rounds` times for a random face, event after event; compare with numpy's answer."""
    generator = np.random.default_rng(7)
    for event_id in events[:3]:
        search(event_id, _draw(generator))  # the first plans, and fills what a running server has
    took_ms, shares = [], []
    for number in range(rounds):
        event_id, face = events[number % len(events)], _draw(generator)
        began = time.perf_counter()
        found = search(event_id, face)
        took_ms.append((time.perf_counter() - began) * 1000)
        if number < max(20, len(events)):  # numpy's answer takes longer than the search
            shares.append(_compute_recall(event_id, faces, face, found))
    return Timing(took_ms, float(np.mean(shares)))


def _draw(generator: np.random.Generator) -> Floats:
    face = generator.standard_normal(DIMENSION)
    return (face / np.linalg.norm(face)).astype(np.float32)


def _compute_recall(event_id: int, faces: int, face: Floats, found: Sequence[int]) -> float:
    """Of the exact best photos, the share that was found."""
    similarities = make_vectors(event_id, faces) @ face.astype(np.float16).astype(np.float32)
    photos = np.arange(faces) // FACES_A_PHOTO
    best = np.full(photos[-1] + 1, -1.0, np.float32)
    np.maximum.at(best, photos, similarities)
    order = np.argsort(-best, kind="stable")[:TOP]
    expected = {event_id * 1_000_000 + int(i) for i in order if best[i] >= LOWEST}
    return len(expected & set(found)) / len(expected) if expected else 1.0
