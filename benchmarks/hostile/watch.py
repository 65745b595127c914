"""A worker process under watch: each batch's duration and memory are measured and bounded."""

import json
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

import psutil  # type: ignore[import-untyped]  # publishes no types, and its stubs are not locked

SAMPLE_S = 0.02
START_S = 120.0
MIB = 1024 * 1024


@dataclass(frozen=True)
class Bounds:
    """What a worker may take for one batch."""

    seconds: float
    mib: int


@dataclass(frozen=True)
class Look:
    """What a worker made of one batch: its verdicts, or how it crashed."""

    verdicts: tuple[str, ...]
    crash: str | None
    seconds: float
    peak_mib: int


class WatchedWorker:
    """Starts the command, and starts it again after it died or was stopped for passing a bound."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None

    def look(self, numbers: Sequence[int], bounds: Bounds) -> Look:
        """Have the worker look at these files as one batch."""
        process = self._process or self._start()
        questions = cast(IO[str], process.stdin)
        questions.write(json.dumps(list(numbers)) + "\n")
        questions.flush()
        began = time.monotonic()
        answer, crash, peak = self._wait(process, bounds)
        if crash:
            self.close()
        return Look(tuple(answer or ()), crash, time.monotonic() - began, peak)

    def _start(self) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True, bufsize=1)
        self._process = process
        _, crash, _ = self._wait(process, Bounds(START_S, 1_000_000))
        if crash:
            self.close()
            raise RuntimeError(f"The worker did not start: it {crash}.")
        return process

    def _wait(
        self, process: "subprocess.Popen[str]", bounds: Bounds
    ) -> tuple[list[Any] | None, str | None, int]:
        """The worker's next line, or how it crashed; and its largest memory meanwhile."""
        watched, peak = psutil.Process(process.pid), 0
        answers = cast(IO[str], process.stdout)
        deadline = time.monotonic() + bounds.seconds
        while True:
            try:
                peak = max(peak, watched.memory_info().rss // MIB)
            except psutil.Error:
                return None, "died", peak
            if peak > bounds.mib:
                return None, "passed the memory bound", peak
            if time.monotonic() > deadline:
                return None, "stalled", peak
            if select.select([answers], [], [], SAMPLE_S)[0]:
                line = answers.readline()
                return (json.loads(line), None, peak) if line else (None, "died", peak)

    def close(self) -> None:
        """Kill the process, if there is one."""
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None
