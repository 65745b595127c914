"""Cursors of pages: what an answer gave is read, whatever else is refused."""

import base64
import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InvalidCursorError
from models.queries.photos import MOST_SHIFT_S, EventClock, PageCursor

ZONES = st.none() | st.integers(-(2**15) + 1, 2**15 - 1)
CAMERAS = st.text("0123456789abcdef", min_size=8, max_size=8)
SHIFTS = st.dictionaries(CAMERAS, st.integers(-MOST_SHIFT_S, MOST_SHIFT_S), max_size=3)
IDS = st.integers(1, 2**63 - 1)
# Also what looks like the parts of a cursor.
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.datetimes().map(datetime.isoformat),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | CAMERAS, inner),
    max_leaves=8,
)
GOOD: list[Any] = [7, "2026-07-20T12:00:00", 180, {"0123abcd": -3600}]


def pack(values: Any) -> str:
    packed = json.dumps(values, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def check(cursor: PageCursor) -> None:
    """Whether PostgreSQL can take all that a cursor gives it."""
    values = [cursor.photo_id, *cursor.clock.shifts.values()]
    values += [] if cursor.clock.utc_offset is None else [cursor.clock.utc_offset]
    assert {type(value) for value in values} == {int}
    assert 0 < cursor.photo_id < 2**63
    assert abs(cursor.clock.utc_offset or 0) < 2**15
    assert all(abs(shift) <= MOST_SHIFT_S for shift in cursor.clock.shifts.values())
    assert all(len(name) == 8 and name.isascii() for name in cursor.clock.shifts)
    assert cursor.taken_at is None or cursor.taken_at.tzinfo is None


@given(IDS, st.none() | st.datetimes(), ZONES, SHIFTS)
def test_a_cursor_is_read_as_it_was_written(
    photo_id: int, moment: datetime | None, zone: int | None, shifts: dict[str, int]
) -> None:
    cursor = PageCursor(EventClock(zone, shifts), moment, photo_id)
    assert PageCursor.decode(cursor.encode()) == cursor
    check(cursor)


@given(
    JSON
    | st.tuples(JSON | IDS, JSON | st.none(), JSON | ZONES, JSON | SHIFTS)
    | st.tuples(IDS, st.none(), ZONES, st.dictionaries(JSON.map(str), JSON))
)
def test_any_other_json_is_refused_or_harmless(values: Any) -> None:
    try:
        cursor = PageCursor.decode(pack(values))
    except InvalidCursorError:
        return
    check(cursor)


@given(st.text() | st.binary().map(lambda packed: base64.urlsafe_b64encode(packed).decode()))
def test_any_text_is_refused_or_harmless(encoded: str) -> None:
    try:
        cursor = PageCursor.decode(encoded)
    except InvalidCursorError:
        return
    check(cursor)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *((0, value) for value in (0, -1, 2**63, True, 7.0, "7", None)),
        *((1, value) for value in ("2026-07-20T12:00:00+03:00", "2026-07-20", "", 5, "\0")),
        *((2, value) for value in (True, 180.0, 180.5, "180", 2**15, [], {})),
        *((3, value) for value in ([], None, "", {"0123abcd": True}, {"0123abcd": 1.5})),
        *((3, {name: 60}) for name in ("0123abc\0", "\ud800", "0123ABCD", "", "0123abcd\n")),
        *((3, {"0123abcd": value}) for value in (10**12, -(10**12), "60", None, 1e400)),
    ],
)
def test_a_crafted_cursor_is_refused(place: int, value: Any) -> None:
    assert PageCursor.decode(pack(GOOD)).photo_id == 7
    with pytest.raises(InvalidCursorError, match="unchanged"):
        PageCursor.decode(pack([*GOOD[:place], value, *GOOD[place + 1 :]]))
