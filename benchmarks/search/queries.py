"""A series of searches: the time of each, and the share of the true best it found."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import Engine
from sqlmodel import Session

from benchmarks.search.reference import expand, find_best, round_to_halves
from benchmarks.search.table import (
    DIMENSION,
    FACES_A_PHOTO,
    Floats,
    make_vectors,
    resemble_guest,
)
from models.queries.search import FaceQuery, find_photos, find_seeds

TOP = 50  # photos a page
# Random faces are hardly ever more alike than 0.2. From 0.1 on about one of a hundred is near: more
# than the photos of one guest at any wedding, so that what comes after the distances counts too.
LOWEST = 0.1

SEED = 0.5  # the guest's photos are, and no other

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


def search_by_product(database: Engine, pack_id: int, *, expanded: bool = True) -> Search:
    """The product's own queries, on a connection of the pool as the API has it."""

    def search(event_id: int, face: Floats) -> Sequence[int]:
        with Session(database) as session, session.begin():
            query = FaceQuery(event_id, [pack_id], face, LOWEST, seed_similarity=SEED)
            if expanded:
                query = replace(query, seeds=find_seeds(session, query))
            return [photo.photo_id for photo in find_photos(session, query, after=None, limit=TOP)]

    return search


def measure(
    search: Search, events: Sequence[int], faces: int, rounds: int, *, expanded: bool = False
) -> Timing:
    """Search `rounds` times for a guest's face, event after event; compare with numpy's answer."""
    generator = np.random.default_rng(7)
    for event_id in events[:3]:
        # The first plans, and fills what a running server has.
        search(event_id, _draw(generator, event_id))
    took_ms, shares = [], []
    for number in range(rounds):
        event_id = events[number % len(events)]
        face = _draw(generator, event_id)
        began = time.perf_counter()
        found = search(event_id, face)
        took_ms.append((time.perf_counter() - began) * 1000)
        if number < max(20, len(events)):  # numpy's answer takes longer than the search
            expected = _find_expected(event_id, faces, face, expanded=expanded)
            shares.append(len(expected & set(found)) / len(expected) if expected else 1.0)
    return Timing(took_ms, float(np.mean(shares)))


def _draw(generator: np.random.Generator, event_id: int) -> Floats:
    """A selfie of the event's guest."""
    face = generator.standard_normal(DIMENSION, np.float32)
    return resemble_guest(event_id, face / np.linalg.norm(face))


def _find_expected(event_id: int, faces: int, face: Floats, *, expanded: bool) -> set[int]:
    """The exact best photos."""
    vectors = make_vectors(event_id, faces)
    photos = (event_id * 1_000_000 + np.arange(faces) // FACES_A_PHOTO).tolist()
    wanted = face = round_to_halves(face)
    if expanded:
        seeds = find_best(vectors, photos, face, SEED)
        wanted = round_to_halves(expand(face, vectors, seeds))
    return {photos[index] for index, _ in find_best(vectors, photos, wanted, LOWEST)[:TOP]}
