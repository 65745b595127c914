"""A preview's notes about its original: the same when read again, and believed only if they fit."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.vocabulary import FIRST_TAKEN, Taking
from tasks.s3.objects import CAMERA, TAKEN, describe_taking, parse_taking

TAKINGS = st.builds(
    Taking,
    st.datetimes(FIRST_TAKEN, datetime.fromisoformat("2026-01-01")),
    st.none() | st.integers(-840, 840),
    st.from_regex("[0-9a-f]{8}", fullmatch=True),
    st.none() | st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=60),
)


@given(TAKINGS)
def test_what_is_written_is_read_and_fits_into_s3(taking: Taking) -> None:
    notes = describe_taking(taking)
    assert parse_taking(notes) == taking
    assert all(value.isascii() and value.isprintable() for value in notes.values())
    assert sum(len(name) + len(value) for name, value in notes.items()) < 1_500


@pytest.mark.parametrize(
    ("taken", "camera"),
    [
        ("2026-06-20T12:00:00", "not hexadecimal"),
        ("2026-06-20T12:00:00", "1f3a9c0b <script>"),
        ("2026-06-20T12:00:00", ""),
        ("1980-01-01T00:00:00", "1f3a9c0b"),
        ("2099-01-01T00:00:00", "1f3a9c0b"),
        ("2026-02-30T12:00:00", "1f3a9c0b"),
        ("2026-06-20", "1f3a9c0b"),
        ("2026-06-20T12:00:00+99:99", "1f3a9c0b"),
        ("２０２６-06-20T12:00:00", "1f3a9c0b"),
        ("0" * 2_000, "1f3a9c0b"),
    ],
)
def test_what_somebody_else_put_there_is_none(taken: str, camera: str) -> None:
    assert parse_taking({TAKEN: taken, CAMERA: camera}) is None
    assert parse_taking({TAKEN: taken}) is parse_taking({}) is None
