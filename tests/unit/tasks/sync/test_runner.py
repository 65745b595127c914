"""How batches are handed out, and what their failures mean for the others."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect import Task
from prefect.futures import PrefectConcurrentFuture, PrefectFuture

from models.errors import (
    ClusterUnavailableError,
    ConfigurationError,
    EventErasedError,
    FaceEngineError,
    FacePassError,
    S3AccessError,
    S3DownloadError,
    S3OutageError,
    SyncIncompleteError,
    SyncSupersededError,
)
from tasks.sync import runner as in_flight
from tasks.sync.batch import sync_batch
from tasks.sync.context import Ticket
from tasks.sync.runner import BATCHES_A_SLOT, BatchRunner, map_batches, raise_first

TICKET = Ticket(uuid4(), 1, "Свадьба", "events/1/previews/", 1, 1, "pack")


class FakeRunner(BatchRunner):
    """Does batches in threads: a batch fails with the error that stands at its number."""

    def __init__(self, errors: dict[int, Exception], slots: Sequence[int]) -> None:
        self.errors, self.slots = errors, list(slots)
        self.handed_out: list[int] = []
        self.ended = 0
        self.crowds: list[tuple[int, int]] = []  # in flight after handing out; slots then

    def count_slots(self) -> int:
        self.current = self.slots.pop(0) if len(self.slots) > 1 else self.slots[0]
        return self.current

    def map(
        self, task: Task[..., None], numbers: Sequence[int], ticket: Ticket
    ) -> list[PrefectFuture[Any]]:
        self.handed_out += numbers
        self.crowds.append((len(self.handed_out) - self.ended, self.current))
        futures = [self.pool.submit(self.errors.get, number) for number in numbers]
        return [PrefectConcurrentFuture(uuid4(), future) for future in futures]

    def read_error(self, future: PrefectFuture[Any]) -> Exception | None:
        self.ended += 1
        return super().read_error(future)

    @contextmanager
    def start(self) -> Iterator["FakeRunner"]:
        with ThreadPoolExecutor(3) as self.pool:
            yield self


@given(
    count=st.integers(0, 40),
    slots=st.lists(st.integers(1, 8), min_size=1, max_size=10),
    failing=st.sets(st.integers(0, 39)),
)
def test_every_batch_is_handed_out_once_and_never_too_many_at_a_time(
    count: int, slots: list[int], failing: set[int]
) -> None:
    errors: dict[int, Exception] = {n: SyncIncompleteError(str(n)) for n in failing if n < count}
    with FakeRunner(errors, slots).start() as runner:
        found = map_batches(runner, sync_batch, range(count), TICKET)
    assert runner.handed_out == list(range(count))
    assert {id(error) for error in found} == {id(error) for error in errors.values()}
    assert all(crowd <= BATCHES_A_SLOT * slots for crowd, slots in runner.crowds)


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
    with (
        FakeRunner({3: error}, [1]).start() as runner,
        pytest.raises(type(error), match=str(error)),
    ):
        map_batches(runner, sync_batch, range(100), TICKET)
    assert len(runner.handed_out) <= 3 + BATCHES_A_SLOT
    assert runner.ended == len(runner.handed_out)


def test_a_window_in_which_s3_gave_nothing_is_an_outage() -> None:
    away: dict[int, Exception] = {n: S3DownloadError("away") for n in range(3)}
    with FakeRunner(away, [2]).start() as runner:
        assert map_batches(runner, sync_batch, range(4), TICKET) == list(away.values())
        with pytest.raises(S3DownloadError):
            map_batches(runner, sync_batch, range(3), TICKET)


def test_a_runner_that_is_lost_is_noticed_though_no_batch_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(in_flight, "SILENCE_S", 0.01)

    class LostRunner(BatchRunner):
        looks = 0

        def __init__(self) -> None:
            pass

        def count_slots(self) -> int:
            self.looks += 1
            if self.looks > 3:
                raise ClusterUnavailableError("no workers")
            return 1

        def map(
            self, task: Task[..., None], numbers: Sequence[int], ticket: Ticket
        ) -> list[PrefectFuture[Any]]:
            from concurrent.futures import Future

            return [PrefectConcurrentFuture(uuid4(), Future()) for _ in numbers]

    with pytest.raises(ClusterUnavailableError):
        map_batches(LostRunner(), sync_batch, [0], TICKET)


def test_an_attempt_fails_with_the_clearest_of_its_errors() -> None:
    raise_first([])
    with pytest.raises(FaceEngineError):
        raise_first([ValueError("?"), FaceEngineError("the models fail"), KeyError("?")])
