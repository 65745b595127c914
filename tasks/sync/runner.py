"""The task runner for batches: threads of this process or a Dask cluster, with a limit at a time.

On a Dask cluster each worker loads the models once and uses all cores of its machine. Dask's
errors become errors of the product here and nowhere else.
"""

import pickle
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from prefect import Task, get_run_logger
from prefect.client.schemas.objects import RunInput
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

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
from models.session import open_session
from models.settings import get_settings
from models.tables import SyncRun
from tasks.sync.artifacts import Throttle, report_progress
from tasks.sync.context import SyncContext

if TYPE_CHECKING:
    from prefect_dask.task_runners import DaskTaskRunner

# While one batch computes, the next one fetches.
BATCHES_A_MACHINE = 2
# A card is done with a batch in the time in which another one is stored and a third one fetched.
BATCHES_A_CARD = 4
# One is done, one is at hand when it ends. More would only wait: of another event's sync on the
# same cluster, too.
BATCHES_A_SLOT = 2
SILENCE_S = 10.0  # without a batch's end, after which the runner is looked at
FIRST_BATCH = 0  # the number of a run's first one
# What every further batch would meet too.
FATAL_ERRORS = (
    SyncSupersededError,
    S3AccessError,
    S3OutageError,
    ClusterUnavailableError,
    ConfigurationError,
)

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


# --- the task runner ---


class Threads:
    """A few threads of this process: one batch computes while the next one fetches."""

    def __init__(self, runner: TaskRunner[Any]) -> None:
        self._runner = runner

    def count_slots(self) -> int:
        """How many batches are done at a time, now; at least 1."""
        return count_batches_at_a_time()

    def submit(self, task: Task[..., Any], parameters: dict[str, Any]) -> PrefectFuture[Any]:
        """Hand out one batch; waits for nothing."""
        future: PrefectFuture[Any] = self._runner.submit(task, parameters)
        return future

    def read_error(self, future: PrefectFuture[Any]) -> Exception | None:
        """Why a batch that has ended failed; None if it did not."""
        result = future.result(raise_on_failure=False)
        return result if isinstance(result, Exception) else None


class Cluster(Threads):
    """The workers of a Dask cluster, whichever there are at the time."""

    def __init__(self, runner: "DaskTaskRunner") -> None:
        super().__init__(runner)
        with _map_dask_errors():
            self._client: Any = runner.client  # half of its methods have no types

    def count_slots(self) -> int:
        """Threads of all workers together; waits a minute for the first worker.

        Raises ClusterUnavailableError.
        """
        from distributed import TimeoutError as DaskTimeoutError

        with _map_dask_errors():
            if threads := self._client.nthreads():
                return sum(threads.values())
            try:
                self._client.wait_for_workers(1, timeout=WORKERS_LIMIT_S)
            except DaskTimeoutError as error:
                raise ClusterUnavailableError(NO_WORKERS) from error
        return 1

    def submit(self, task: Task[..., Any], parameters: dict[str, Any]) -> PrefectFuture[Any]:
        """Hand out one batch. Raises ClusterUnavailableError."""
        with _map_dask_errors():
            return super().submit(task, parameters)

    def read_error(self, future: PrefectFuture[Any]) -> Exception | None:
        """Why a batch that has ended failed, on whichever worker; None if it did not."""
        try:
            with _map_dask_errors():
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
        with _map_dask_errors():
            holders = self._client.who_has([dask_future.wrapped_future])
        return ", ".join(address for addresses in holders.values() for address in addresses)


class BatchTaskRunner(TaskRunner[PrefectFuture[Any]]):
    """The task runner that FACEPASS_TASK_RUNNER names, for a flow's `task_runner=`.

    It is opened by the first batch, inside the flow, so that a cluster that is away fails the
    attempt with a sentence. Raises ConfigurationError and ClusterUnavailableError then.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Prefect's own has no types
        self._open = ExitStack()
        self._workers: Threads | None = None

    def duplicate(self) -> Self:
        """A new one, as Prefect asks for each attempt."""
        return type(self)()

    @property
    def workers(self) -> Threads:
        """What does the batches, connected."""
        if self._workers is None:
            self._workers = self._open.enter_context(open_workers())
        return self._workers

    def submit(
        self,
        task: Task[..., Any],
        parameters: dict[str, Any],
        wait_for: Iterable[PrefectFuture[Any]] | None = None,  # noqa: ARG002 (Prefect's signature;
        dependencies: dict[str, set[RunInput]] | None = None,  # noqa: ARG002  batches wait for none)
    ) -> PrefectFuture[Any]:
        """Hand out one batch; it waits for nothing and depends on nothing."""
        return self.workers.submit(task, parameters)

    def close(self) -> None:
        """Let go of the threads, or of the cluster, which forgets what it has not begun."""
        self._workers = None
        self._open.close()

    def __exit__(self, *error: object) -> None:
        self.close()
        super().__exit__(*error)


def count_batches_at_a_time() -> int:
    """Batches that threads of one process do at a time."""
    on_card = get_settings().inference.startswith("cuda")
    return BATCHES_A_CARD if on_card else BATCHES_A_MACHINE


@contextmanager
def open_workers() -> Iterator[Threads]:
    """What the settings name, for the block.

    Raises ConfigurationError, and ClusterUnavailableError for a cluster that is away or empty.
    """
    settings = get_settings()
    if settings.task_runner != "dask":
        with ThreadPoolTaskRunner[Any](max_workers=count_batches_at_a_time()) as threads:
            yield Threads(threads)
        return
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ImportError as error:
        raise ConfigurationError(NOT_INSTALLED) from error
    address = settings.require_dask_scheduler()
    with DaskTaskRunner(address=address, client_kwargs={"timeout": CONNECT_LIMIT_S}) as runner:
        cluster = Cluster(runner)
        cluster.count_slots()
        yield cluster


@contextmanager
def _map_dask_errors() -> Iterator[None]:
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


# --- the batches ---


def map_batches(task: Task[..., None], batches: Sequence[Any], sync: SyncContext) -> None:
    """Have a task done for each batch, on the flow's task runner, a bounded number at a time.

    One failed batch does not stop the others: the clearest of their errors is raised when all
    have ended.
    """
    context = FlowRunContext.get()
    if context is None or not isinstance(context.task_runner, BatchTaskRunner):
        raise RuntimeError("Batches are done in a flow whose task_runner is a BatchTaskRunner.")
    errors: list[Exception] = []
    try:
        for window in cut_windows(batches):
            errors += do_batches(context.task_runner.workers, task, window, sync)
    finally:
        context.task_runner.close()
    raise_first(errors)


def cut_windows(batches: Sequence[Any]) -> list[Sequence[Any]]:
    """Batches that are done side by side; a run's small first one is done alone.

    Beside a large one its few photos would wait among those, and its faces be seen late.
    """
    alone = 1 if batches[:1] == [FIRST_BATCH] else 0
    return [window for window in (batches[:alone], batches[alone:]) if window]


def do_batches(
    workers: Threads, task: Task[..., None], batches: Sequence[Any], sync: SyncContext
) -> list[Exception]:
    """Submit a task for each batch as others end; the errors of those that failed.

    What every batch would meet ends the attempt, and is raised when those in flight have ended;
    an outage of S3 is noticed photo by photo, or where S3 gave nothing of all batches.
    """
    waiting, throttle = deque(batches), Throttle()
    ended: SimpleQueue[PrefectFuture[Any]] = SimpleQueue()
    errors: list[Exception] = []
    in_flight = 0
    while waiting or in_flight:
        # What `as_completed` does, for futures that are added as others complete.
        room = BATCHES_A_SLOT * workers.count_slots() - in_flight if waiting else 0
        for _ in range(min(room, len(waiting))):
            task.submit(waiting.popleft(), sync).add_done_callback(ended.put)
            in_flight += 1
        error = _wait_for_one(workers, ended)
        in_flight -= 1
        if error is not None:
            errors.append(error)
        if throttle.is_due():
            # The bar is for people; batches tell of a database that takes nothing.
            with suppress(DatabaseUnavailableError, ConfigurationError):
                report_progress(sync)
        if isinstance(error, FATAL_ERRORS):
            waiting.clear()
    for kind in FATAL_ERRORS:
        raise_first([error for error in errors if isinstance(error, kind)])
    if len(errors) == len(batches) and all(isinstance(error, S3DownloadError) for error in errors):
        raise_first(errors)
    return errors


def _wait_for_one(workers: Threads, ended: "SimpleQueue[PrefectFuture[Any]]") -> Exception | None:
    """Wait until a batch ends; its error, if it failed."""
    while True:
        try:
            future = ended.get(timeout=SILENCE_S)
        except Empty:
            workers.count_slots()  # raises where nobody is left to end one
        else:
            return workers.read_error(future)


def raise_first(errors: Sequence[Exception]) -> None:
    """Fail the attempt with the clearest of its batches' errors, if there is any."""
    for error in sorted(errors, key=lambda error: not isinstance(error, FacePassError)):
        raise error


# --- the workers of a cluster ---

# What all processes that do a part of one sync must have alike: with another bucket every photo
# would have vanished, with another result storage faces would lie where no erasure looks.
COMMON_SETTINGS = (
    "s3_bucket",
    "s3_endpoint_url",
    "result_storage",
    "max_pixels",
    "max_photo_bytes",
)


def read_common_settings() -> dict[str, Any]:
    """The values of COMMON_SETTINGS in this process; nothing where it does the batches itself."""
    settings = get_settings()
    if settings.task_runner != "dask":
        return {}
    return {name: getattr(settings, name) for name in COMMON_SETTINGS}


def check_worker(sync: SyncContext) -> None:
    """Raise ConfigurationError in a Dask worker that is set up otherwise than the sync's process.

    Values are not told: an address may hold a password.
    """
    if not sync.common_settings:
        return
    _check_profiler()
    settings = get_settings()
    different = [
        name for name, value in sync.common_settings.items() if getattr(settings, name) != value
    ]
    if different:
        names = ", ".join(f"FACEPASS_{name.upper()}" for name in different)
        raise ConfigurationError(
            f"A Dask worker has another {names} than the sync: give all workers its settings."
        )
    with open_session() as session:
        if session.get(SyncRun, sync.flow_run_id) is None:
            raise ConfigurationError(
                "A Dask worker's database does not know the sync: give all workers the same "
                "FACEPASS_DATABASE_URL."
            )


def _check_profiler() -> None:
    """Raise ConfigurationError in a Dask worker whose profiler may bring it to a standstill.

    It asks for all threads' frames a hundred times a second. Before Python 3.12 a garbage
    collection in the middle of that can wait for a thread that waits for it
    (https://github.com/python/cpython/issues/106883), and the process stands still for ever.
    """
    distributed = sys.modules.get("distributed")  # is there in a Dask worker
    if distributed is None or sys.version_info >= (3, 12):
        return
    with suppress(ValueError):  # not a worker after all
        distributed.get_worker()
        if distributed.dask.config.get("distributed.worker.profile.enabled"):
            raise ConfigurationError(
                "With this Python the profiler of Dask workers can stop them for ever: start them "
                "with DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=false."
            )
