"""The plan's bookkeeping: which listing's counts stand, and what a request makes a run list."""

from dataclasses import asdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from models.queries.plans import Tally, merge_tallies, widen_prefix

Tallies = dict[str, dict[str, Any]]

PREFIXES = st.lists(st.sampled_from(["a/", "b/", "IMG_", "день/"]), max_size=4).map(
    lambda parts: "events/1/previews/" + "".join(parts)
)
COUNTS = st.integers(0, 10**6)
IGNORED = st.dictionaries(st.sampled_from(["heic", "raw"]), COUNTS)
TALLIES = st.builds(Tally, *[COUNTS] * 7, ignored=IGNORED)
EMPTY = Tally(0, 0, 0, 0, 0, 0, 0)


def list_prefixes(requests: list[tuple[str, Tally]]) -> Tallies:
    """The tallies after each request was widened, listed and merged, as tasks/sync/plan.py does."""
    tallies: Tallies = {}
    for prefix, tally in requests:
        tallies = merge_tallies(tallies, widen_prefix(tallies, prefix), tally)
    return tallies


@given(st.lists(st.tuples(PREFIXES, TALLIES), max_size=8))
def test_no_photo_is_counted_by_two_listings(requests: list[tuple[str, Tally]]) -> None:
    kept = list(list_prefixes(requests))
    assert not [(a, b) for a in kept for b in kept if a != b and a.startswith(b)]


@given(st.lists(st.tuples(PREFIXES, TALLIES), max_size=8))
def test_every_requested_prefix_is_counted_by_exactly_one_listing(
    requests: list[tuple[str, Tally]],
) -> None:
    kept = list_prefixes(requests)
    for prefix, _ in requests:
        assert sum(prefix.startswith(known) for known in kept) == 1


@given(st.lists(st.tuples(PREFIXES, TALLIES), min_size=1, max_size=8))
def test_the_latest_listing_of_a_prefix_counts_and_in_full(
    requests: list[tuple[str, Tally]],
) -> None:
    *earlier, (prefix, tally) = requests
    wide = widen_prefix(list_prefixes(earlier), prefix)
    assert list_prefixes(requests)[wide] == asdict(tally)


@given(st.lists(PREFIXES, max_size=5, unique=True), PREFIXES, TALLIES)
def test_listings_outside_the_new_one_keep_their_counts(
    known: list[str], prefix: str, tally: Tally
) -> None:
    before = {name: asdict(EMPTY) | {"listed": i} for i, name in enumerate(known)}
    copy = {name: dict(counts) for name, counts in before.items()}
    after = merge_tallies(before, prefix, tally)
    assert before == copy  # a JSON column notices new objects only
    assert {name: after[name] for name in after if name != prefix} == {
        name: counts for name, counts in before.items() if not name.startswith(prefix)
    }


@given(st.lists(PREFIXES, max_size=5, unique=True), PREFIXES)
def test_a_request_is_widened_to_a_listing_that_contains_it_or_to_nothing(
    known: list[str], prefix: str
) -> None:
    tallies = {name: asdict(EMPTY) for name in known}
    wide = widen_prefix(tallies, prefix)
    assert prefix.startswith(wide)
    assert wide == prefix or wide in tallies
    assert (wide in tallies) == any(prefix.startswith(name) for name in known)
