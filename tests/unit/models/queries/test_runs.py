"""Requests that wait for a run: which ones a listing answers."""

from hypothesis import given
from hypothesis import strategies as st

from models.queries.runs import drop_requests, merge_requests
from models.tables import Event

PREFIXES = st.sampled_from(
    ["events/1/previews/", "events/1/previews/a/", "events/1/previews/ab/", "events/1/x/previews/"]
)


class RecordingSession:
    """Takes what is to be written."""

    def __init__(self) -> None:
        self.added: list[object] = []

    def add(self, row: object) -> None:
        """Remember the row."""
        self.added.append(row)


def drop(event: Event, seen: list[str], s3_prefix: str) -> list[str]:
    """What still waits after a listing of `s3_prefix`."""
    session = RecordingSession()
    drop_requests(session, event, seen, s3_prefix)  # type: ignore[arg-type]
    assert session.added == [event]
    return event.pending_prefixes


@given(st.lists(PREFIXES, max_size=6), st.lists(PREFIXES, max_size=4), PREFIXES)
def test_a_listing_answers_what_waited_under_it_and_nothing_that_came_later(
    waiting: list[str], later: list[str], listed: str
) -> None:
    event = Event(name="x", gallery_token="t", pending_prefixes=[*waiting, *later])
    unanswered = [prefix for prefix in waiting if not prefix.startswith(listed)]
    assert drop(event, waiting, listed) == [*unanswered, *later]


def test_a_request_repeated_during_the_listing_waits_for_another_one() -> None:
    same = "events/1/previews/"
    event = Event(name="x", gallery_token="t", pending_prefixes=[same, same])
    assert drop(event, [same], same) == [same]


@given(st.lists(PREFIXES, max_size=8))
def test_what_waits_is_covered_by_what_is_listed_and_nothing_twice(waiting: list[str]) -> None:
    merged = merge_requests(waiting)
    assert set(merged) <= set(waiting)
    assert all(any(prefix.startswith(wide) for wide in merged) for prefix in waiting)
    assert not any(a.startswith(b) for a in merged for b in merged if a is not b)
    assert merged == [prefix for prefix in dict.fromkeys(waiting) if prefix in merged]
