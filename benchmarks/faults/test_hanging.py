"""Tests of hung servers: all processes of a part stand still, and go on whatever happens."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil  # type: ignore[import-untyped]  # publishes no types, and its stubs are not locked
import pytest

from benchmarks.faults.hanging import hang
from deployments.stack.process import Part, kill_processes

CHILD = "import time; print('up', flush=True); time.sleep(60)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def test_a_hung_part_stands_still_with_its_children_and_goes_on(tmp_path: Path) -> None:
    part = Part("server", [sys.executable, "-c", PARENT], {}, tmp_path / "log")
    part.process = subprocess.Popen(part.argv, stdout=subprocess.PIPE)
    assert part.process.stdout is not None
    part.process.stdout.readline()
    parent = psutil.Process(part.process.pid)
    both = [parent, *parent.children()]
    scene: Any = SimpleNamespace(parts={"server": part})

    def stopped() -> list[bool]:
        return [process.status() == psutil.STATUS_STOPPED for process in both]

    try:
        with pytest.raises(KeyboardInterrupt), hang(scene, "server"):
            wait_until(lambda: all(stopped()))
            raise KeyboardInterrupt
        wait_until(lambda: not any(stopped()))
    finally:
        kill_processes(both)
        part.process.wait()
        part.process.stdout.close()
    assert len(both) == 2


def wait_until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
