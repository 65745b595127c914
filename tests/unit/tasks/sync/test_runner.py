"""How batches are handed out, and what their failures mean for the others."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.futures import PrefectConcurrentFuture, PrefectFuture

from models.errors import (
    ClusterUnavailableError,
    ConfigurationError,
    DatabaseOutdatedError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
    EventErasedError,
    FaceEngineError,
    FacePassError,
    S3AccessError,
    S3DownloadError,
    S3OutageError,
    SyncIncompleteError,
    SyncSupersededError,
)
from tasks.sync import runner
from tasks.sync.batch import embed_and_store
from tasks.sync.context import SyncContext
from tasks.sync.runner import BATCHES_A_SLOT, Threads, do_batches, map_batches, raise_first

SYNC = SyncContext(uuid4(), 1, "Свадьба", "events/1/previews/", 1, 1, "pack", "events/1/")


class FakeWorkers(Threads):
    """Does batches in threads: a batch fails with the error that stands at its number."""

    def __init__(self, errors: dict[int, Exception], slots: Sequence[int]) -> None:
        self.errors, self.slots = errors, list(slots)
        self.handed_out: list[int] = []
        self.ended = 0
        self.crowds: list[tuple[int, int]] = []  # in flight after handing out; slots then

    def count_slots(self) -> int:
        self.current = self.slots.pop(0) if len(self.slots) > 1 else self.slots[0]
        return self.current

    def hand_out(self, number: int, sync: SyncContext) -> PrefectFuture[Any]:
        assert sync is SYNC
        self.handed_out.append(number)
        self.crowds.append((len(self.handed_out) - self.ended, self.current))
        return PrefectConcurrentFuture(uuid4(), self.pool.submit(self.errors.get, number))

    def read_error(self, future: PrefectFuture[Any]) -> Exception | None:
        self.ended += 1
        return super().read_error(future)

    @contextmanager
    def start(self, threads: int = 3) -> Iterator["FakeWorkers"]:
        with ThreadPoolExecutor(threads) as self.pool:
            yield self


def do(workers: FakeWorkers, batches: Sequence[int]) -> list[Exception]:
    """All of these batches, by a task that hands each to the workers."""
    task: Any = SimpleNamespace(submit=workers.hand_out)
    return do_batches(workers, task, batches, SYNC)


@given(
    count=st.integers(0, 40),
    slots=st.lists(st.integers(1, 8), min_size=1, max_size=10),
    failing=st.sets(st.integers(0, 39)),
)
def test_every_batch_is_handed_out_once_and_never_too_many_at_a_time(
    count: int, slots: list[int], failing: set[int]
) -> None:
    errors: dict[int, Exception] = {n: SyncIncompleteError(str(n)) for n in failing if n < count}
    with FakeWorkers(errors, slots).start() as workers:
        found = do(workers, range(count))
    assert workers.handed_out == list(range(count))
    assert {id(error) for error in found} == {id(error) for error in errors.values()}
    assert all(crowd <= BATCHES_A_SLOT * slots for crowd, slots in workers.crowds)


@pytest.mark.parametrize(
    "error",
    [
        SyncSupersededError("a newer attempt"),
        EventErasedError(),
        S3AccessError("denied"),
        S3OutageError("away"),
        ClusterUnavailableError("no workers"),
        ConfigurationError("another bucket"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_all_batches_would_meet_stops_them(error: FacePassError) -> None:
    # By one thread, so that they end in their order: others could overtake the one that fails.
    with (
        FakeWorkers({3: error}, [1]).start(threads=1) as workers,
        pytest.raises(type(error), match=str(error)),
    ):
        do(workers, range(100))
    assert len(workers.handed_out) == 3 + BATCHES_A_SLOT
    assert workers.ended == len(workers.handed_out)


@pytest.mark.parametrize(
    "kind", [DatabaseUnavailableError, DatabaseRefusedError, DatabaseOutdatedError]
)
def test_a_bar_that_cannot_be_moved_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, kind: type[FacePassError]
) -> None:
    def fail(_sync: SyncContext) -> None:
        raise kind("no")

    monkeypatch.setattr(runner, "report_progress", fail)
    monkeypatch.setattr(runner, "Throttle", lambda: SimpleNamespace(is_due=lambda: True))
    with FakeWorkers({}, [1]).start() as workers:
        assert do(workers, range(5)) == []
    assert workers.ended == 5


def test_a_window_in_which_s3_gave_nothing_is_an_outage() -> None:
    away: dict[int, Exception] = {n: S3DownloadError("away") for n in range(3)}
    with FakeWorkers(away, [2]).start() as workers:
        assert do(workers, range(4)) == list(away.values())
        with pytest.raises(S3DownloadError):
            do(workers, range(3))


def test_a_runner_that_is_lost_is_noticed_though_no_batch_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "SILENCE_S", 0.01)

    class LostWorkers(Threads):
        looks = 0

        def __init__(self) -> None:
            pass

        def count_slots(self) -> int:
            self.looks += 1
            if self.looks > 3:
                raise ClusterUnavailableError("no workers")
            return 1

    def submit(*_: object) -> PrefectFuture[Any]:
        return PrefectConcurrentFuture(uuid4(), Future())

    task: Any = SimpleNamespace(submit=submit)
    with pytest.raises(ClusterUnavailableError):
        do_batches(LostWorkers(), task, [0], SYNC)


def test_batches_are_done_in_a_flow_only() -> None:
    with pytest.raises(RuntimeError, match="task_runner"):
        map_batches(embed_and_store, [0], SYNC)


def test_an_attempt_fails_with_the_clearest_of_its_errors() -> None:
    raise_first([])
    with pytest.raises(FaceEngineError):
        raise_first([ValueError("?"), FaceEngineError("the models fail"), KeyError("?")])
