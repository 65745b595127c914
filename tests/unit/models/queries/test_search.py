"""Cursors: what was encoded is decoded, and nothing else is."""

import base64
import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidCursorError
from models.queries.search import MOST_SEEDS, Cursor, FoundPhoto

finite = st.floats(allow_nan=False, allow_infinity=False)
ids = st.integers(-(2**63), 2**63 - 1)
packs = st.integers(-(2**15), 2**15 - 1)
seeds = st.lists(st.integers(1, 2**63 - 1), max_size=MOST_SEEDS, unique=True).map(
    lambda some: tuple(sorted(some))
)


@given(finite, ids, packs, seeds)
def test_a_cursor_is_the_place_it_was_made_of_to_the_bit(
    distance: float, photo_id: int, pack_id: int, seeds: tuple[int, ...]
) -> None:
    cursor = Cursor.decode(Cursor(distance, photo_id, pack_id, seeds).encode())
    assert (cursor.distance.hex(), cursor.photo_id, cursor.pack_id, cursor.seeds) == (
        distance.hex(),
        photo_id,
        pack_id,
        seeds,
    )


@given(
    st.text()
    | st.binary().map(lambda b: b.decode("latin-1"))
    | st.binary(max_size=200).map(lambda b: base64.urlsafe_b64encode(b).decode())
)
def test_any_other_text_is_refused_or_a_place(text: str) -> None:
    with contextlib.suppress(InvalidCursorError):
        cursor = Cursor.decode(text)
        assert cursor.encode() == text
        assert math.isfinite(cursor.distance)
        assert len(cursor.seeds) <= MOST_SEEDS
        assert list(cursor.seeds) == sorted({seed for seed in cursor.seeds if seed > 0})


@pytest.mark.parametrize("distance", [math.nan, math.inf, -math.inf])
def test_a_place_is_a_number(distance: float) -> None:
    with pytest.raises(InvalidCursorError):
        Cursor.decode(Cursor(distance, 1).encode())


@pytest.mark.parametrize(
    "seeds",
    [(0,), (-1,), (2, 1), (1, 1), (1, 3, 2), tuple(range(1, MOST_SEEDS + 2))],
    ids=lambda seeds: f"{len(seeds)} from {seeds[0]}",
)
def test_seeds_are_ids_in_order_and_not_too_many(seeds: tuple[int, ...]) -> None:
    with pytest.raises(InvalidCursorError):
        Cursor.decode(Cursor(-0.5, 1, 1, seeds).encode())


def test_a_cursor_that_another_hand_wrote_is_refused() -> None:
    encoded = Cursor(-0.5, 1, 1).encode()
    for other in (encoded[:-4], encoded + "AAAA", encoded + "\n", " " + encoded):
        with pytest.raises(InvalidCursorError):
            Cursor.decode(other)
    # The same bytes in other letters: the last one's spare bits.
    packed = Cursor(-0.5, 1, 1, (1,)).encode()
    assert packed.endswith("A=")
    with pytest.raises(InvalidCursorError):
        Cursor.decode(packed[:-2] + "B=")


def test_a_similarity_is_a_cosine() -> None:
    found = FoundPhoto(1, "k", "u", "o", False, -1.0002, -1.0001, (0, 0, 1, 1))
    assert (found.similarity, found.selfie_similarity) == (1.0, 1.0)
