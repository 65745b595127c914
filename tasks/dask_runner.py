"""A Dask cluster that does batches. Dask's errors become the product's own here and nowhere else.

Its workers are processes of `dask worker`, set up as a worker of Prefect's pool is. Each loads the
models once, and its engine uses the machine's cores, however many batches it is given at a time.
"""

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prefect import Task, get_run_logger
from prefect.futures import PrefectFuture

from models.errors import ClusterUnavailableError, ConfigurationError, SyncIncompleteError
from tasks.in_flight import BatchRunner
from tasks.ticket import Ticket

if TYPE_CHECKING:
    from prefect_dask.task_runners import DaskTaskRunner

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
