"""Batches in flight: a few for each that is being done, and the next as soon as one ends."""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from prefect import Task, unmapped
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner
from prefect.utilities.callables import get_call_parameters

from models.errors import (
    ClusterUnavailableError,
    ConfigurationError,
    DatabaseUnavailableError,
    FacePassError,
    S3AccessError,
    S3DownloadError,
    S3OutageError,
    SyncSupersededError,
)
from tasks.artifacts import report_progress
from tasks.ticket import Ticket

# While one batch computes, the next one fetches.
BATCHES_A_MACHINE = 2
# One is done, one is at hand when it ends. More would only wait: of another event's sync on the
# same cluster, too.
BATCHES_A_SLOT = 2
SILENCE_S = 10.0  # without a batch's end, after which the runner is looked at
# What every further batch would meet too.
FATAL_ERRORS = (
    *(SyncSupersededError, S3AccessError, S3OutageError),
    *(ClusterUnavailableError, ConfigurationError),
)


class BatchRunner:
    """A started task runner of Prefect that is given batches; here its own thread pool."""

    def __init__(self, runner: TaskRunner[Any]) -> None:
        self._runner = runner

    def count_slots(self) -> int:
        """How many batches are done at a time, now; at least 1."""
        return BATCHES_A_MACHINE

    def map(
        self, task: Task[..., None], batches: Sequence[Any], ticket: Ticket
    ) -> list[PrefectFuture[Any]]:
        """Hand out batches of the plan; waits for none of them."""
        anything: Any = task  # the runner's own type asks for a task that may be asynchronous
        parameters = get_call_parameters(task.fn, (list(batches), unmapped(ticket)), {})
        return list(self._runner.map(anything, parameters))

    def read_error(self, future: PrefectFuture[Any]) -> Exception | None:
        """Why a batch that has ended failed; None if it did not."""
        result = future.result(raise_on_failure=False)
        return result if isinstance(result, Exception) else None


class Flight:
    """Batches that were handed out and have not ended."""

    def __init__(self, runner: BatchRunner, task: Task[..., None], ticket: Ticket) -> None:
        self._runner, self._task, self._ticket = runner, task, ticket
        self._ended: SimpleQueue[PrefectFuture[Any]] = SimpleQueue()
        self.size = 0

    def fill(self, waiting: deque[Any]) -> None:
        """Hand out as many of the waiting batches as there is room for."""
        room = BATCHES_A_SLOT * self._runner.count_slots() - self.size
        batches = [waiting.popleft() for _ in range(min(room, len(waiting)))]
        if not batches:
            return
        futures = self._runner.map(self._task, batches, self._ticket)
        self.size += len(futures)
        for future in futures:
            future.add_done_callback(self._ended.put)

    def wait_for_one(self) -> Exception | None:
        """Wait until a batch ends; its error, if it failed."""
        while True:
            try:
                future = self._ended.get(timeout=SILENCE_S)
            except Empty:
                self._runner.count_slots()  # raises where nobody is left to end one
            else:
                self.size -= 1
                return self._runner.read_error(future)


def map_batches(
    runner: BatchRunner, task: Task[..., None], batches: Sequence[Any], ticket: Ticket
) -> list[Exception]:
    """Have a task done for each batch, a bounded number at a time; the errors of those that failed.

    One failed batch does not stop the others. What they would all meet does, an outage of S3
    among it, noticed photo by photo or by a window in which S3 gave nothing at all: it is raised
    when what was in flight has ended.
    """
    flight, waiting = Flight(runner, task, ticket), deque(batches)
    errors: list[Exception] = []
    while waiting or flight.size:
        flight.fill(waiting)
        if (error := flight.wait_for_one()) is not None:
            errors.append(error)
        with suppress(DatabaseUnavailableError):  # the bar is for people
            report_progress(ticket)
        if isinstance(error, FATAL_ERRORS):
            waiting.clear()
    _raise_fatal(errors, is_all=len(errors) == len(batches))
    return errors


def _raise_fatal(errors: Sequence[Exception], *, is_all: bool) -> None:
    """Raise the error that ends an attempt: of several, the one that says most."""
    for kind in FATAL_ERRORS:
        raise_first([error for error in errors if isinstance(error, kind)])
    if is_all and all(isinstance(error, S3DownloadError) for error in errors):
        raise_first(errors)


def raise_first(errors: Sequence[Exception]) -> None:
    """Fail the attempt with the clearest of its batches' errors, if there is any."""
    for error in sorted(errors, key=lambda error: not isinstance(error, FacePassError)):
        raise error
