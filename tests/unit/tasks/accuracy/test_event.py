"""The search as the product does it, in plain loops against arrays."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.accuracy.event import MOST_SEEDS, NOTHING, EventFaces, search_event
from tasks.packs.figures import Expansion

DIM = 4
EXPANSION = Expansion(seed=0.5, search=0.48, surely=0.52)


def make_unit(generator: np.random.Generator) -> np.ndarray:
    vector = generator.normal(size=DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def search_slowly(
    selfie: np.ndarray, photos: list[np.ndarray]
) -> tuple[list[float], list[float] | None]:
    """Both passes, photo by photo."""

    def rate(wanted: np.ndarray) -> list[float]:
        return [max([float(face @ wanted) for face in faces], default=NOTHING) for faces in photos]

    plain = rate(selfie)
    best = [max(faces, key=lambda face: float(face @ selfie), default=None) for faces in photos]
    order = sorted(range(len(photos)), key=lambda i: -plain[i])[:MOST_SEEDS]
    seeds = [i for i in order if plain[i] >= EXPANSION.seed]
    if not seeds:
        return plain, None
    total = selfie + sum(plain[i] * best[i] for i in seeds)  # type: ignore[operator]  # sum() starts at the number 0
    return plain, rate(total / np.linalg.norm(total))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_the_search_is_the_products_two_passes(seed: int, counts: list[int]) -> None:
    generator = np.random.default_rng(seed)
    photos = [
        np.array([make_unit(generator) for _ in range(count)], np.float32).reshape(-1, DIM)
        for count in counts
    ]
    selfie = make_unit(generator)
    plain, expanded = search_slowly(selfie, photos)
    search = search_event(selfie, EventFaces.of(photos), EXPANSION)
    assert np.allclose(search.plain, plain, atol=1e-5)
    assert (search.expanded is None) == (expanded is None)
    if search.expanded is not None:
        assert np.allclose(search.expanded, expanded, atol=1e-4)
        assert search_event(selfie, EventFaces.of(photos), None).expanded is None


def test_a_photo_that_is_replaced_is_found_by_its_new_faces_only() -> None:
    one, other, third = np.eye(3, DIM, dtype=np.float32)
    event = EventFaces.of([one[None], other[None]])
    assert search_event(one, event, None).plain.tolist() == [1.0, 0.0]
    replaced = event.replace(0, np.array([other, third]))
    assert search_event(third, replaced, None).plain.tolist() == [1.0, 0.0]
    assert search_event(one, replaced, None).plain.tolist() == [0.0, 0.0]
    assert event.replace(0, one[None][:0]).owners.tolist() == [1]


def test_the_selfies_own_photo_is_neither_found_nor_a_seed() -> None:
    one, other = np.eye(2, DIM, dtype=np.float32)
    near = np.array([0.8, 0.6, 0, 0], np.float32)
    event = EventFaces.of([one[None], near[None], other[None]])
    search = search_event(one, event, EXPANSION, left_out=0)
    assert search.plain.tolist() == [NOTHING, near[0], 0.0]
    assert search.expanded is not None
    total = one + near[0] * near
    assert search.expanded[0] == NOTHING
    assert np.allclose(search.expanded[1], near @ total / np.linalg.norm(total))
    assert search_event(one, event.replace(1, near[None][:0]), EXPANSION, 0).expanded is None


def test_an_event_without_a_face_shows_nothing() -> None:
    empty = np.zeros((0, DIM), np.float32)
    selfie = np.eye(1, DIM, dtype=np.float32)[0]
    search = search_event(selfie, EventFaces.of([empty, empty]), EXPANSION)
    assert search.plain.tolist() == [NOTHING, NOTHING]
    assert search.expanded is None
