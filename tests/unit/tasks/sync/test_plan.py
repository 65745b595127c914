"""What a run lists next: its own prefix first, then what was asked for meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from uuid import UUID

import pytest

from models.errors import InvalidPrefixError
from models.queries.plans import Tally, merge_tallies
from models.tables import Event, SyncRun
from models.vocabulary import SyncState
from tasks.sync import plan
from tasks.sync.hold import Ticket
from tasks.sync.plan import Request, cut_windows, read_request

RUN = UUID("a1b2c3d4-e5f6-7890-abcd-ef1234567890")
WHOLE, DAY, OTHER = "events/1/previews/", "events/1/previews/day1/", "events/1/x/previews/"
TALLY = Tally(*[3] * 7)


@dataclass
class FakeDatabase:
    """One event and one run."""

    event: Event
    run: SyncRun

    @contextmanager
    def open_session(self) -> Iterator["FakeDatabase"]:
        """This database is its own session."""
        yield self

    def get_one(self, *_: object) -> SyncRun:
        """The run."""
        return self.run

    def read_event(self, *_: object) -> Event:
        """The event."""
        return self.event


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> FakeDatabase:
    """A run of DAY that has listed nothing yet."""
    fake = FakeDatabase(
        Event(id=1, name="x", gallery_token="t"),
        SyncRun(flow_run_id=RUN, event_id=1, s3_prefix=DAY, state=SyncState.RUNNING),
    )
    monkeypatch.setattr(plan, "open_session", fake.open_session)
    monkeypatch.setattr(plan, "read_event", fake.read_event)
    return fake


TICKET = Ticket(RUN, 1, "Свадьба", DAY, epoch=1, pack_id=1, pack="p")


def test_a_run_lists_its_own_prefix_first(database: FakeDatabase) -> None:
    database.event.pending_prefixes = [OTHER]
    assert read_request(TICKET) == Request(DAY, [OTHER])


def test_then_it_lists_what_was_asked_for_and_then_nothing(database: FakeDatabase) -> None:
    database.run.planned = True
    database.run.tallies = {DAY: asdict(TALLY)}
    database.event.pending_prefixes = [OTHER, WHOLE]
    assert read_request(TICKET) == Request(OTHER, [OTHER, WHOLE])
    database.event.pending_prefixes = []
    assert read_request(TICKET) is None


def test_a_request_inside_a_listed_prefix_lists_that_again(database: FakeDatabase) -> None:
    database.run.planned = True
    database.run.tallies = {WHOLE: asdict(TALLY)}
    database.event.pending_prefixes = [DAY]
    assert read_request(TICKET) == Request(WHOLE, [DAY])


def test_another_events_prefix_is_refused_even_from_the_database(database: FakeDatabase) -> None:
    database.run.s3_prefix = "events/10/previews/"
    with pytest.raises(InvalidPrefixError):
        read_request(TICKET)


def test_a_run_tried_again_after_it_listed_more_counts_no_photo_twice(
    database: FakeDatabase,
) -> None:
    """Run of DAY; WHOLE was asked for meanwhile; completed; then Retry in Prefect's UI."""
    database.run.tallies = merge_tallies({DAY: asdict(TALLY)}, WHOLE, TALLY)
    database.run.planned = False  # as start_attempt leaves a completed run
    request = read_request(TICKET)
    assert request is not None
    tallies = merge_tallies(database.run.tallies, request.s3_prefix, TALLY)
    assert len(tallies) == 1


def test_a_runs_first_batch_is_done_alone() -> None:
    assert cut_windows([]) == []
    assert cut_windows([0]) == [[0]]
    assert cut_windows([0, 1, 2]) == [[0], [1, 2]]
    assert cut_windows([1, 2]) == [[1, 2]]
