"""Child processes of the stack: how they are started, watched, stopped and, if needed, killed.

It also reads the end of a log, and waits until a server is ready without delaying the exit. Nobody
else asks psutil about processes.
"""

import asyncio
import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import psutil  # type: ignore[import-untyped]  # publishes no types, and its stubs are not locked

from deployments.command_line.signals import STOP_SIGNALS
from models.errors import StackError

Result = TypeVar("Result")
Process: TypeAlias = psutil.Process

# In the environment of every child and so of every flow run below them: finds what a part left.
MARK = "FACEPASS_STACK_MARK"
PAUSE_S = 0.05  # between two looks at something that starts
PR_SET_PDEATHSIG = 1
# Loaded here and not in the child: between fork and exec little is safe.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

# The end of a log. A traceback's last lines are often only the bottom of a box, "An exception
# occurred." or Go's stacks; the line that names the cause stands above them.
READ_BYTES = 65_536  # from the end
CAUSE_LINES = 60  # further up it is another story
FRAME = " \t|+-│╭╮╰╯─┌┐└┘━┃"  # what tracebacks and their boxes are drawn with
EMPTY_OF_WORDS = re.compile(r"[^\w]*")
CAUSE = re.compile(
    r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt)(?::\s.*)?$"  # Python
    # PostgreSQL. A call that it refuses while it starts or ends is FATAL to that call alone.
    r"|.*\b(?:PANIC|FATAL):(?!\s+(?:the database system is|terminating connection|sorry,))\s"
    r"|F\d{4}\s\d\d:\d\d"  # the S3 server's last words
)
# Go's: the program always ends with it.
PANIC = re.compile(r"(?:panic|fatal error|flag provided but not defined):\s")


def die_with_parent(signal_number: int = signal.SIGTERM) -> None:
    """For `preexec_fn`: the kernel sends this signal when the parent dies, even by kill -9.

    Linux only; elsewhere the next start cleans up. It follows the *thread* that forked, so a
    parent must start children from its main thread.
    """
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


@dataclass(frozen=True)
class Identity:
    """The user a part runs as."""

    uid: int
    gid: int
    name: str


def run_as(identity: Identity | None) -> dict[str, Any]:
    """What Popen must be told to run a program as this user."""
    if identity is None:
        return {}
    return {"user": identity.uid, "group": identity.gid, "extra_groups": []}


@dataclass
class Part:
    """A program of the stack, run as a direct child in a session of its own."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    cwd: Path | None = None
    identity: Identity | None = None
    stop_signal: int = signal.SIGTERM
    stop_timeout_s: float = 10.0
    # A worker that is asked to stop waits for its flow runs; they are asked together with it.
    ask_descendants: bool = False
    # It does one thing and ends; ending with 0 is no death.
    ends: bool = False
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False, repr=False)
    _tree: list[Process] = field(default_factory=list, init=False, repr=False)

    def start(self) -> None:
        """Start the program; stdout and stderr go to the log, the last start's log to .old."""
        if threading.current_thread() is not threading.main_thread():
            raise StackError("The stack must be started from the main thread.")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.old"))
        parent = os.getpid()

        def prepare() -> None:
            # After setuid, which clears the death signal; Popen changes the user before this.
            die_with_parent(self.stop_signal)
            if os.getppid() != parent:
                os._exit(1)
            # A background shell starts its jobs with SIGINT ignored, and exec hands that down.
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_DFL)

        with self.log.open("wb") as log:
            try:
                self.process = subprocess.Popen(
                    list(self.argv),
                    env=dict(self.env),
                    cwd=self.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=prepare,
                    **run_as(self.identity),
                )
            except OSError as error:
                raise StackError(f"{self.name} cannot be started: {error}.") from error

    @property
    def exit_code(self) -> int | None:
        """None while it runs, or was never started."""
        return self.process.poll() if self.process else None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def ask_to_stop(self) -> None:
        """Send the stop signal; the tree is noted first, orphans could not be found later."""
        if self.process is None:
            return
        self._note_tree(self.process.pid)
        if self.is_running:
            self.process.send_signal(self.stop_signal)
        if self.ask_descendants:
            for child in self._tree:
                send_signal(child, signal.SIGTERM)

    def finish(self) -> None:
        """Wait for the end, then kill what is left of the whole tree."""
        if self.process is None:
            return
        try:
            self.process.wait(self.stop_timeout_s)
        except subprocess.TimeoutExpired:
            self._note_tree(self.process.pid)  # it may have started more meanwhile
            self.process.kill()
            self.process.wait()
        kill_processes(self._tree)

    def list_descendants(self) -> list[Process]:
        """The processes below it, now."""
        return [] if self.process is None else collect_descendants(self.process.pid)

    def _note_tree(self, pid: int) -> None:
        self._tree += [one for one in collect_descendants(pid) if one not in self._tree]

    def stop(self) -> None:
        """Ask, wait, kill. Does nothing for a part that was never started."""
        self.ask_to_stop()
        self.finish()

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return read_tail(self.log, lines)

    def describe_failure(self, what: str, told: str | None = None) -> StackError:
        """An error that names this part and shows the end of its log, or what its log told."""
        tail = self.tail() if told is None else told
        shown = f" Its last lines ({self.log}):\n{tail}" if tail else f" Its log: {self.log}"
        return StackError(f"{self.name} {what}.{shown}")

    def describe_death(self) -> StackError:
        """The error for a part that ended by itself; the last line names the cause."""
        code = self.exit_code
        if code == -signal.SIGKILL:  # its log does not know why
            return self.describe_failure(
                "ended by signal 9 (killed by somebody, or by the system when memory ran out)"
            )
        how = f"by signal {-code}" if code is not None and code < 0 else f"with code {code}"
        return self.describe_failure(f"ended {how}", read_death(self.log))


def collect_descendants(pid: int) -> list[Process]:
    """All processes below this one, now."""
    try:
        return list(Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def read_variable(processes: Sequence[Process], name: str) -> set[str]:
    """The values of a variable in the environments of these processes, where they have it."""
    found = set()
    for process in processes:
        with suppress(psutil.Error, OSError):
            if value := process.environ().get(name):
                found.add(value)
    return found


def find_processes(matches: Callable[[Process], bool]) -> list[Process]:
    """Processes for which this holds, without those that nobody lets us read."""
    found = []
    for process in psutil.process_iter():
        # It ended meanwhile, or is another user's.
        with suppress(psutil.Error, OSError):
            if matches(process):
                found.append(process)
    return found


def find_marked(mark: str) -> list[Process]:
    """Processes that carry this mark in their environment, this one apart."""
    return find_processes(lambda one: one.pid != os.getpid() and one.environ().get(MARK) == mark)


def read_start(pid: int) -> float | None:
    """When the process with this pid was started; None if there is none."""
    try:
        return float(Process(pid).create_time())
    except psutil.Error:
        return None


def find_started(pid: int, created: float | None) -> Process | None:
    """The process that had this pid then, if it still runs: pids are used again."""
    with suppress(psutil.Error):
        process = Process(pid)
        # A clock that was set moves the time a little.
        is_same = created is not None and abs(process.create_time() - created) < 2.0
        if is_same and process.status() != psutil.STATUS_ZOMBIE:  # dead, not yet reaped
            return process
    return None


def send_signal(process: Process, number: int) -> None:
    """Send it, unless the process is gone (psutil never signals a reused pid)."""
    with suppress(psutil.Error):
        process.send_signal(number)


def wait_for_end(processes: Sequence[Process], timeout_s: float) -> list[Process]:
    """Wait; gives back those that are still there."""
    return list(psutil.wait_procs(processes, timeout=timeout_s)[1])


def kill_processes(processes: Sequence[Process], timeout_s: float = 5.0) -> None:
    """Kill these and wait until they are gone."""
    for process in processes:
        send_signal(process, signal.SIGKILL)
    wait_for_end(processes, timeout_s)


def read_tail(log: Path, lines: int = 20) -> str:
    """The last lines that say something."""
    return "\n".join(_read_told(log)[-lines:])


def read_death(log: Path, lines: int = 20) -> str:
    """The same for a program that ended by itself: the line that names the cause comes last."""
    told = _read_told(log)
    cause = find_cause(told)
    if cause is None:
        return "\n".join(told[-lines:])
    before = told[:-1] if told[-1].strip(FRAME) == cause else told
    return "\n".join([*before[-(lines - 1) :], cause])


def find_cause(lines: list[str]) -> str | None:
    """The last line that names an error, without the frame around it."""
    bare = [line.strip(FRAME) for line in lines]
    panics = [line for line in bare if PANIC.match(line)]
    errors = [line for line in bare[-CAUSE_LINES:] if CAUSE.match(line)]
    return next(iter([*panics[-1:], *errors[-1:]]), None)


def _read_told(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - READ_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if not EMPTY_OF_WORDS.fullmatch(line)]


class NotReadyError(Exception):
    """A server does not answer yet, as it should once it is up."""


async def run_in_thread(work: Callable[[], Result]) -> Result:
    """Run blocking work beside the loop.

    A daemon thread, not the loop's executor: that one is joined at exit, however long it hangs.
    """
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()  # who awaits may be cancelled, the work cannot

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whoever awaits would wait on
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(future)


async def wait_until(probe: Callable[[], object], *, timeout_s: float) -> None:
    """Call the probe until it stops raising NotReadyError, which is raised on after the time."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            await run_in_thread(probe)
        except NotReadyError:
            if time.monotonic() > deadline:
                raise
        else:
            return
        await asyncio.sleep(PAUSE_S)
