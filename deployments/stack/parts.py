"""One child process of the stack: started, watched, asked to stop, and gone for certain."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deployments.stack.log_tail import read_death, read_tail
from deployments.stack.processes import (
    Process,
    collect_descendants,
    kill_processes,
    merge_processes,
    send_signal,
)
from models.errors import StackError

PR_SET_PDEATHSIG = 1
# Loaded here and not in the child: between fork and exec little is safe.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


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
        identity = self.identity
        parent = os.getpid()

        def prepare() -> None:
            # After setuid, which clears the death signal; Popen changes the user before this.
            die_with_parent(self.stop_signal)
            if os.getppid() != parent:
                os._exit(1)
            # A background shell starts its jobs with SIGINT ignored, and exec hands that down.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
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
                    user=identity.uid if identity else None,
                    group=identity.gid if identity else None,
                    extra_groups=[] if identity else None,
                    preexec_fn=prepare,
                )
            except OSError as error:
                raise StackError(f"{self.name} cannot be started: {error}.") from error

    @property
    def exit_code(self) -> int | None:
        """The exit code, None while it runs (or was never started)."""
        return self.process.poll() if self.process else None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def ask_to_stop(self) -> None:
        """Send the stop signal; the tree is noted first, orphans could not be found later."""
        if self.process is None:
            return
        self._tree = merge_processes(self._tree, collect_descendants(self.process.pid))
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
            # It may have started more meanwhile.
            self._tree = merge_processes(self._tree, collect_descendants(self.process.pid))
            self.process.kill()
            self.process.wait()
        kill_processes(self._tree)

    def stop(self) -> None:
        """Ask, wait, kill. Does nothing for a part that was never started."""
        self.ask_to_stop()
        self.finish()

    def tail(self, lines: int = 20) -> str:
        """The last lines of its log."""
        return read_tail(self.log, lines)

    def describe_failure(self, what: str) -> StackError:
        """An error that names this part and shows the end of its log."""
        return self._describe(what, self.tail())

    def _describe(self, what: str, tail: str) -> StackError:
        shown = f" Its last lines ({self.log}):\n{tail}" if tail else f" Its log: {self.log}"
        return StackError(f"{self.name} {what}.{shown}")

    def describe_death(self) -> StackError:
        """The error for a part that ended by itself; the last line names the cause."""
        code = self.exit_code
        if code == -signal.SIGKILL:
            how = "by signal 9 (killed by somebody, or by the system when memory ran out)"
            return self._describe(f"ended {how}", self.tail())  # its log does not know why
        how = f"by signal {-code}" if code is not None and code < 0 else f"with code {code}"
        return self._describe(f"ended {how}", read_death(self.log))
