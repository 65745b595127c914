"""How often a run reports: at most twice in any second, by a clock that the test turns."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from models.tables import SyncRun
from models.vocabulary import SyncState
from tasks.sync import artifacts
from tasks.sync.artifacts import REPORT_INTERVAL_S, Pace, get_pace
from tasks.sync.context import Ticket

RUN, BAR = UUID(int=1), UUID(int=2)
TICKET = Ticket(RUN, 1, "Свадьба", "events/1/previews/", 1, 1, "p", progress_id=BAR)


@dataclass
class Clock:
    """A clock that stands until it is turned."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


class FakeSession:
    """Knows one run."""

    def get_one(self, *_: object) -> SyncRun:
        """The run."""
        return SyncRun(flow_run_id=RUN, event_id=1, s3_prefix="", state=SyncState.RUNNING)


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """What the bar was set to; the ledger is at 3 of 4 photos."""

    @contextmanager
    def open_session() -> Iterator[FakeSession]:
        yield FakeSession()

    sent: list[float] = []
    monkeypatch.setattr(artifacts, "open_session", open_session)
    monkeypatch.setattr(artifacts, "count_progress", lambda *_: (3, 4))
    monkeypatch.setattr(
        artifacts, "update_progress_artifact", lambda _, progress: sent.append(progress)
    )
    get_pace.cache_clear()
    yield sent
    get_pace.cache_clear()


def test_a_report_is_due_once_an_interval() -> None:
    clock = Clock()
    pace = Pace(1.0, clock)
    asked = []
    for _ in range(50):
        clock.now += 0.125  # 6.25 s in all
        asked.append(pace.is_due())
    assert asked.count(True) == 6
    assert [index for index, due in enumerate(asked) if due] == [7, 15, 23, 31, 39, 47]


def test_of_many_threads_one_reports() -> None:
    clock = Clock()
    pace = Pace(1.0, clock)
    clock.now += 1
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: pace.is_due(), range(100))) == 1


@pytest.mark.parametrize("end_s", [0.0, 0.25, 0.99, 1.0, 1.01, 3.5, 3.99, 4.0])
def test_with_the_bars_creation_and_the_last_report_it_is_twice_a_second_at_most(
    end_s: float,
) -> None:
    clock = Clock(0.0)
    pace, sent = Pace(clock=clock), [0.0]
    while clock.now + 0.01 <= end_s:
        clock.now += 0.01
        if pace.is_due():
            sent.append(clock.now)
    sent.append(end_s)
    crowds = [sum(start <= at < start + REPORT_INTERVAL_S for at in sent) for start in sent]
    assert REPORT_INTERVAL_S >= 1
    assert max(crowds) <= 2


def test_batches_that_end_at_once_do_not_move_the_bar_each(
    reports: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    pace = Pace(REPORT_INTERVAL_S, clock)
    monkeypatch.setattr(artifacts, "get_pace", lambda _: pace)
    for _ in range(20):
        artifacts.report_progress(TICKET)
    assert reports == []
    clock.now += REPORT_INTERVAL_S
    for _ in range(20):
        artifacts.report_progress(TICKET)
    assert reports == [75.0]


def test_the_last_report_never_waits(reports: list[float]) -> None:
    artifacts.report_progress(TICKET)
    artifacts.report_progress(TICKET, is_last=True)
    assert reports == [75.0]


def test_every_bar_has_a_pace_of_its_own(reports: list[float]) -> None:
    assert get_pace(BAR) is get_pace(BAR)
    assert get_pace(BAR) is not get_pace(UUID(int=3))


def test_without_a_bar_nothing_is_counted(reports: list[float]) -> None:
    artifacts.report_progress(replace(TICKET, progress_id=None), is_last=True)
    assert reports == []
