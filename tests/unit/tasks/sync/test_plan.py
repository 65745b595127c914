"""What a run lists next: its own prefix first, then what was asked for meanwhile."""

from dataclasses import asdict
from uuid import UUID

import pytest

from models.errors import InvalidPrefixError
from models.queries.plans import Tally, merge_tallies
from models.tables import Event, SyncRun
from models.vocabulary import SyncState
from tasks.sync.context import ListingRequest, SyncContext
from tasks.sync.plan import find_request, plan_prefix
from tasks.sync.runner import cut_windows

RUN = UUID("a1b2c3d4-e5f6-7890-abcd-ef1234567890")
WHOLE, DAY, OTHER = "events/1/previews/", "events/1/previews/day1/", "events/1/x/previews/"
TALLY = Tally(*[3] * 7)


@pytest.fixture
def event() -> Event:
    """An event that nobody waits for."""
    return Event(id=1, name="x", gallery_token="t")


@pytest.fixture
def run() -> SyncRun:
    """A run of DAY that has listed nothing yet."""
    return SyncRun(flow_run_id=RUN, event_id=1, s3_prefix=DAY, state=SyncState.RUNNING)


def test_a_run_lists_its_own_prefix_first(run: SyncRun, event: Event) -> None:
    event.pending_prefixes = [OTHER]
    assert find_request(run, event) == ListingRequest(DAY, [OTHER])


def test_then_it_lists_what_was_asked_for_and_then_nothing(run: SyncRun, event: Event) -> None:
    run.planned = True
    run.tallies = {DAY: asdict(TALLY)}
    event.pending_prefixes = [OTHER, WHOLE]
    assert find_request(run, event) == ListingRequest(OTHER, [OTHER, WHOLE])
    event.pending_prefixes = []
    assert find_request(run, event) == ListingRequest(None)


def test_a_request_inside_a_listed_prefix_lists_that_again(run: SyncRun, event: Event) -> None:
    run.planned = True
    run.tallies = {WHOLE: asdict(TALLY)}
    event.pending_prefixes = [DAY]
    assert find_request(run, event) == ListingRequest(WHOLE, [DAY])


def test_another_events_prefix_is_refused_even_from_the_database() -> None:
    sync = SyncContext(RUN, 1, "Свадьба", DAY, epoch=1, pack_id=1, pack="p", folder="events/1/")
    with pytest.raises(InvalidPrefixError):
        plan_prefix(sync, ListingRequest("events/10/previews/"), None)  # type: ignore[arg-type]


def test_a_run_tried_again_after_it_listed_more_counts_no_photo_twice(
    run: SyncRun, event: Event
) -> None:
    """Run of DAY; WHOLE was asked for meanwhile; completed; then Retry in Prefect's UI."""
    run.tallies = merge_tallies({DAY: asdict(TALLY)}, WHOLE, TALLY)
    run.planned = False  # as announce_attempt leaves a completed run
    request = find_request(run, event)
    assert request.s3_prefix is not None
    tallies = merge_tallies(run.tallies, request.s3_prefix, TALLY)
    assert len(tallies) == 1


def test_a_runs_first_batch_is_done_alone() -> None:
    assert cut_windows([]) == []
    assert cut_windows([0]) == [[0]]
    assert cut_windows([0, 1, 2]) == [[0], [1, 2]]
    assert cut_windows([1, 2]) == [[1, 2]]
