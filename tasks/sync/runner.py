"""Batches in flight: a few for each that is being done, and the next as soon as one ends.

A Dask cluster that does batches. Dask's errors become the product's own here and nowhere else.

Its workers are processes of `dask worker`, set up as a worker of Prefect's pool is. Each loads the
models once, and its engine uses the machine's cores, however many batches it is given at a time.

What does a sync's batches: threads of this process, or the workers of a Dask cluster.
"""

import pickle
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from prefect import Task, get_run_logger, unmapped
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
    SyncIncompleteError,
    SyncSupersededError,
)
from tasks.sync.artifacts import report_progress
from tasks.sync.context import Ticket

if TYPE_CHECKING:
    from prefect_dask.task_runners import DaskTaskRunner
from prefect.task_runners import ThreadPoolTaskRunner

from models.settings import get_settings

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


CONNECT_LIMIT_S = 10
# A worker that was killed is back by then, if anything starts it again.
WORKERS_LIMIT_S = 60
NOT_INSTALLED = (
    "FACEPASS_TASK_RUNNER=dask needs the extra: pip install 'facepass-sync[dask]' on every machine."
)
UNREACHABLE = (
    "The Dask scheduler cannot be reached: start `dask scheduler`, or set FACEPASS_DASK_SCHEDULER "
    "to where it is."
)
NO_WORKERS = "The Dask cluster has no workers: start `dask worker` on the machines that compute."
OTHER_RELEASE = (
    "Dask's scheduler or a worker of it does not know this project: start them in an environment "
    "where the same release of it is installed."
)
ALL_DIED = (
    "A batch was given up: every Dask worker that began it died. Their logs say why; mostly it is "
    "`--memory-limit`, which should be 0."
)


class DaskRunner(BatchRunner):
    """Gives batches to a cluster's workers, whichever there are at the time."""

    def __init__(self, runner: "DaskTaskRunner") -> None:
        super().__init__(runner)
        with _map_errors():
            self._client: Any = runner.client  # half of its methods have no types

    def count_slots(self) -> int:
        """Threads of all workers together; waits a minute for the first worker.

        Raises ClusterUnavailableError.
        """
        from distributed import TimeoutError as DaskTimeoutError

        with _map_errors():
            if threads := self._client.nthreads():
                return sum(threads.values())
            try:
                self._client.wait_for_workers(1, timeout=WORKERS_LIMIT_S)
            except DaskTimeoutError as error:
                raise ClusterUnavailableError(NO_WORKERS) from error
        return 1

    def map(
        self, task: Task[..., None], batches: Sequence[Any], ticket: Ticket
    ) -> list[PrefectFuture[Any]]:
        """Hand out batches of the plan. Raises ClusterUnavailableError."""
        with _map_errors():
            return super().map(task, batches, ticket)

    def read_error(self, future: PrefectFuture[Any]) -> Exception | None:
        """Why a batch that has ended failed, on whichever worker; None if it did not."""
        try:
            with _map_errors():
                error = super().read_error(future)
        except (ClusterUnavailableError, ConfigurationError, SyncIncompleteError) as lost:
            return lost
        if error is not None:
            get_run_logger().warning(
                "A batch failed on %s: %s", self._find_worker(future), type(error).__name__
            )
        return error

    def _find_worker(self, future: PrefectFuture[Any]) -> str:
        dask_future: Any = future
        with _map_errors():
            holders = self._client.who_has([dask_future.wrapped_future])
        return ", ".join(address for addresses in holders.values() for address in addresses)


@contextmanager
def open_dask_runner(address: str) -> Iterator[DaskRunner]:
    """A connection to the cluster at `address`, for the block. What it has not begun, it forgets.

    Raises ConfigurationError without the extra `dask`, ClusterUnavailableError.
    """
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError as error:
        raise ConfigurationError(NOT_INSTALLED) from error
    with DaskTaskRunner(address=address, client_kwargs={"timeout": CONNECT_LIMIT_S}) as runner:
        cluster = DaskRunner(runner)
        cluster.count_slots()
        yield cluster


@contextmanager
def _map_errors() -> Iterator[None]:
    from distributed import CancelledError, KilledWorker

    try:
        yield
    except KilledWorker as error:
        raise SyncIncompleteError(ALL_DIED) from error
    except (ImportError, AttributeError, pickle.UnpicklingError) as error:
        raise ConfigurationError(OTHER_RELEASE) from error
    except RuntimeError as error:
        # How the scheduler says so: it reads what it is given, too.
        if "deserializ" not in str(error):
            raise
        raise ConfigurationError(OTHER_RELEASE) from error
    except (CancelledError, OSError) as error:  # OSError: time-outs too
        raise ClusterUnavailableError(UNREACHABLE) from error


@contextmanager
def open_runner() -> Iterator[BatchRunner]:
    """The runner that the settings name, for the block.

    Raises ConfigurationError, and ClusterUnavailableError for a cluster that is away or empty.
    """
    settings = get_settings()
    if settings.task_runner == "dask":
        with open_dask_runner(settings.require_dask_scheduler()) as cluster:
            yield cluster
    else:
        threads = ThreadPoolTaskRunner[Any](max_workers=BATCHES_A_MACHINE)
        with threads:
            yield BatchRunner(threads)
