"""What does a sync's batches: threads of this process, or the workers of a Dask cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.task_runners import ThreadPoolTaskRunner

from models.settings import get_settings
from tasks.in_flight import BATCHES_A_MACHINE, BatchRunner


@contextmanager
def open_runner() -> Iterator[BatchRunner]:
    """The runner that the settings name, for the block.

    Raises ConfigurationError, and ClusterUnavailableError for a cluster that is away or empty.
    """
    settings = get_settings()
    if settings.task_runner == "dask":
        from tasks.dask_runner import open_dask_runner

        with open_dask_runner(settings.require_dask_scheduler()) as cluster:
            yield cluster
    else:
        threads = ThreadPoolTaskRunner[Any](max_workers=BATCHES_A_MACHINE)
        with threads:
            yield BatchRunner(threads)
