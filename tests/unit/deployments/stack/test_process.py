"""A part: started, asked, killed with all below it, and its log's end shown."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from deployments.command_line.signals import interrupt_on_signals, note_signals
from deployments.stack.process import Part, run_in_thread
from models.errors import StackError

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"],
                         start_new_session=True)
print("child", child.pid, flush=True)
time.sleep(60)
"""


def make_part(tmp_path: Path, code: str, **options: float) -> Part:
    return Part(
        "sample", [sys.executable, "-c", code], dict(os.environ), tmp_path / "a.log", **options
    )


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_death_is_described_with_the_end_of_the_log(tmp_path: Path) -> None:
    part = make_part(tmp_path, "import sys; [print('line', n) for n in range(50)]; sys.exit(3)")
    part.start()
    wait_for(lambda: part.exit_code is not None)
    text = str(part.describe_death())
    assert text.startswith("sample ended with code 3.")
    assert "line 49" in text
    assert "line 29" not in text
    assert part.tail(2) == "line 48\nline 49"


def test_the_last_log_is_kept_once(tmp_path: Path) -> None:
    for word in ("first", "second"):
        part = make_part(tmp_path, f"print({word!r})")
        part.start()
        wait_for(lambda: part.exit_code is not None)  # noqa: B023 - called at once
    assert (tmp_path / "a.log").read_text() == "second\n"
    assert (tmp_path / "a.log.old").read_text() == "first\n"


def test_stop_kills_the_whole_tree(tmp_path: Path) -> None:
    part = make_part(tmp_path, STUBBORN, stop_timeout_s=0.3)
    part.start()
    wait_for(lambda: "child" in part.tail())
    child = int(part.tail().split()[-1])
    part.stop()
    assert part.exit_code == -signal.SIGKILL
    assert not psutil.pid_exists(child)


def test_stop_reaches_descendants_of_a_part_that_ends_in_peace(tmp_path: Path) -> None:
    part = make_part(tmp_path, STUBBORN.replace("signal.SIG_IGN", "lambda *_: sys.exit(0)"))
    part.start()
    wait_for(lambda: "child" in part.tail())
    child = int(part.tail().split()[-1])
    part.stop()
    assert part.exit_code == 0
    assert not psutil.pid_exists(child)


def test_an_ignored_interrupt_is_not_handed_down(tmp_path: Path) -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        part = make_part(tmp_path, "import signal; print(signal.getsignal(signal.SIGINT))")
        part.start()
        wait_for(lambda: part.exit_code is not None)
    finally:
        signal.signal(signal.SIGINT, previous)
    assert "default_int_handler" in part.tail()


def test_a_missing_program_is_an_error_of_the_stack(tmp_path: Path) -> None:
    part = Part("sample", [str(tmp_path / "nothing")], {}, tmp_path / "a.log")
    with pytest.raises(StackError, match="sample cannot be started"):
        part.start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of a death")
def test_a_part_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = f"""
import os, pathlib, sys, time
from deployments.stack.process import Part
part = Part("x", [sys.executable, "-c", "import time; time.sleep(60)"], dict(os.environ),
            pathlib.Path({str(tmp_path)!r}) / "x.log")
part.start()
print(part.process.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    wait_for(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie")


def test_signals_are_noted_inside_and_interrupt_outside() -> None:
    with interrupt_on_signals():
        with note_signals() as note:
            os.kill(os.getpid(), signal.SIGTERM)
            wait_for(lambda: note.number == signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)


@pytest.mark.parametrize("end", [SystemExit(1), KeyboardInterrupt(), ValueError("no")])
def test_work_in_a_thread_is_not_waited_for_however_it_ends(end: BaseException) -> None:
    def work() -> None:
        raise end  # Rich raises SystemExit where nobody reads its lines any longer

    with pytest.raises(type(end)):
        asyncio.run(asyncio.wait_for(run_in_thread(work), 10))
