"""Cursors: what was encoded is decoded, and nothing else is."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidCursorError
from models.queries.search import Cursor, FoundPhoto

finite = st.floats(allow_nan=False, allow_infinity=False)
ids = st.integers(-(2**63), 2**63 - 1)
packs = st.integers(-(2**15), 2**15 - 1)


@given(finite, ids, packs)
def test_a_cursor_is_the_place_it_was_made_of_to_the_bit(
    distance: float, photo_id: int, pack_id: int
) -> None:
    cursor = Cursor.decode(Cursor(distance, photo_id, pack_id).encode())
    assert (cursor.distance.hex(), cursor.photo_id, cursor.pack_id) == (
        distance.hex(),
        photo_id,
        pack_id,
    )


@given(st.text() | st.binary().map(lambda b: b.decode("latin-1")))
def test_any_other_text_is_refused_or_a_place(text: str) -> None:
    with contextlib.suppress(InvalidCursorError):
        assert math.isfinite(Cursor.decode(text).distance)


@pytest.mark.parametrize("distance", [math.nan, math.inf, -math.inf])
def test_a_place_is_a_number(distance: float) -> None:
    with pytest.raises(InvalidCursorError):
        Cursor.decode(Cursor(distance, 1).encode())


def test_a_similarity_is_a_cosine() -> None:
    found = FoundPhoto(1, "k", "u", False, -1.0002, (0, 0, 1, 1))
    assert found.similarity == 1.0
