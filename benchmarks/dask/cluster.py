"""A Dask cluster on this machine: a scheduler and workers, each a process of its own."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from deployments.stack.process import die_with_parent
from models.errors import StackError

ROOT = Path(__file__).parents[2]
START_LIMIT_S = 60
# tasks/sync/context.py says why.
QUIET = {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false"}
LOOPBACK = "127.0.0.1"
# Without a dashboard there is a page all the same, on every address unless it is told one.
HIDDEN = ("--host", LOOPBACK, "--no-dashboard", "--dashboard-address", f"{LOOPBACK}:0")
# A worker's memory is bounded by its engine; Dask's own limit would kill it.
WORKER = ("--no-nanny", "--memory-limit", "0", *HIDDEN)


class DaskCluster:
    """A scheduler on a free port, and workers that join it; all gone with the block.

    They are killed, not asked: what they were doing is done by whoever comes after. The kernel
    kills them too when this process dies.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """folder: where logs go; environment: what the workers get."""
        self._folder, self._environment = folder, environment
        self._processes: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self.address = ""

    @contextmanager
    def run(self) -> Iterator[Self]:
        """Start the scheduler; kill everything when the block ends."""
        try:
            self._start_scheduler()
            yield self
        finally:
            for process in self._processes:
                process.send_signal(signal.SIGKILL)
            for process in self._processes:
                process.wait()

    def start_workers(self, count: int, *options: str, **more: str) -> None:
        """Start workers, and wait until they have joined; `more` goes into their environment."""
        for _ in range(count):
            self.add("dask", "worker", self.address, *WORKER, *options, **more)
        self.wait_for_workers(sum(worker.poll() is None for worker in self.workers))

    def add(self, *argv: str, **more: str) -> None:
        """Start one process of workers (`python -m ...`); waits for nothing."""
        self.workers.append(self._start(*argv, **more))

    def wait_for_workers(self, count: int) -> None:
        """Wait until so many workers have joined."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
            client.wait_for_workers(count, timeout=START_LIMIT_S)

    def stop_workers(self) -> None:
        """Kill all workers there are."""
        for worker in self.workers:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        self.workers.clear()

    def _start_scheduler(self) -> None:
        about = self._folder / "scheduler.json"
        about.unlink(missing_ok=True)  # of a cluster before this one
        scheduler = self._start(
            *("dask", "scheduler", "--port", "0", *HIDDEN),
            *("--scheduler-file", str(about)),
        )
        deadline = time.monotonic() + START_LIMIT_S
        while not (text := about.read_text() if about.exists() else ""):
            if scheduler.poll() is not None or time.monotonic() > deadline:
                raise StackError("The Dask scheduler did not start.")
            time.sleep(0.05)
        self.address = json.loads(text)["address"]

    def _start(self, *arguments: str, **more: str) -> "subprocess.Popen[bytes]":
        number = len(self._processes)
        more |= {"PYTHONPATH": str(ROOT), "DASK_TEMPORARY_DIRECTORY": str(self._folder)}
        options: dict[str, Any] = {"preexec_fn": _die_with_parent, "cwd": ROOT}
        with (self._folder / f"dask-{number}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env={**self._environment, **QUIET, **more},
                stdout=log,
                stderr=log,
                **options,
            )
        self._processes.append(process)
        return process


def _die_with_parent() -> None:
    die_with_parent(signal.SIGKILL)
