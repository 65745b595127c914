"""How often a run reports: at most twice in any second, by a clock that the test turns."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from models.tables import SyncRun
from models.vocabulary import SyncState
from tasks.sync import artifacts
from tasks.sync.artifacts import REPORT_INTERVAL_S, Throttle
from tasks.sync.context import SyncContext

RUN, BAR = UUID(int=1), UUID(int=2)
SYNC = SyncContext(RUN, 1, "Свадьба", "events/1/previews/", 1, 1, "p", "events/1/", progress_id=BAR)


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
    yield sent


def test_a_report_is_due_once_an_interval() -> None:
    clock = Clock()
    throttle = Throttle(1.0, clock)
    asked = []
    for _ in range(50):
        clock.now += 0.125  # 6.25 s in all
        asked.append(throttle.is_due())
    assert asked.count(True) == 6
    assert [index for index, due in enumerate(asked) if due] == [7, 15, 23, 31, 39, 47]


@pytest.mark.parametrize("end_s", [0.0, 0.25, 0.99, 1.0, 1.01, 3.5, 3.99, 4.0])
def test_with_the_bars_creation_and_the_last_report_it_is_twice_a_second_at_most(
    end_s: float,
) -> None:
    clock = Clock(0.0)
    throttle, sent = Throttle(clock=clock), [0.0]
    while clock.now + 0.01 <= end_s:
        clock.now += 0.01
        if throttle.is_due():
            sent.append(clock.now)
    sent.append(end_s)
    crowds = [sum(start <= at < start + REPORT_INTERVAL_S for at in sent) for start in sent]
    assert REPORT_INTERVAL_S >= 1
    assert max(crowds) <= 2


def test_a_report_moves_the_bar_to_where_the_ledger_is(reports: list[float]) -> None:
    artifacts.report_progress(SYNC)
    assert reports == [75.0]
    artifacts.finish_progress(SYNC.progress_id)
    assert reports == [75.0, 100.0]


def test_without_a_bar_nothing_is_counted(reports: list[float]) -> None:
    artifacts.report_progress(replace(SYNC, progress_id=None))
    artifacts.finish_progress(None)
    assert reports == []
