"""The home folder of the stack: its files, its lock, and what a killed stack left in it."""

import fcntl
import json
import os
import secrets
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path

from deployments.stack.disk import explain_refusal
from deployments.stack.parts import Part
from deployments.stack.processes import (
    Process,
    find_marked,
    find_started,
    kill_processes,
    read_start,
)
from models.errors import StackError


@dataclass
class StackHome:
    """Paths under FACEPASS_HOME; held by one stack at a time."""

    path: Path
    mark: str = field(default_factory=lambda: secrets.token_hex(16))
    _lock: TextIOWrapper | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self.path = self.path.expanduser().resolve()

    @property
    def logs(self) -> Path:
        """One log a part."""
        return self.path / "logs"

    @property
    def env_file(self) -> Path:
        """What other tools need to join; there while the stack runs."""
        return self.path / "stack.env"

    @property
    def process_file(self) -> Path:
        """The processes of the running stack, for the start after a kill -9."""
        return self.path / "stack.pids"

    @property
    def is_held(self) -> bool:
        """Whether this object has the lock."""
        return self._lock is not None

    def hold(self) -> None:
        """Create the folder and lock it. Raises StackError while another stack holds it."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.path / "stack.lock").open("a")
        except OSError as error:
            raise explain_refusal(error, self.path) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise StackError(
                f"A stack already runs in {self.path}: stop it, "
                "or set FACEPASS_HOME to another folder."
            ) from error
        self._lock = lock

    def release(self) -> None:
        """Let another stack have the folder. The file stays: removing it would race."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def record(self, parts: Iterable[Part]) -> None:
        """Note the running processes, with their start times since pids are used again.

        PostgreSQL is not among them: its own start finds a leftover and ends it in peace.
        """
        processes = [
            {"name": part.name, "pid": part.process.pid, "created": read_start(part.process.pid)}
            for part in parts
            if part.process is not None
        ]
        write_private(
            self.process_file, json.dumps({"mark": self.mark, "processes": processes}) + "\n"
        )

    def sweep(self) -> list[str]:
        """Kill what a stack killed with -9 left running here; gives back the names, one each."""
        try:
            recorded = json.loads(self.process_file.read_text())
            mark = str(recorded["mark"])
            entries = [(str(p["name"]), int(p["pid"]), p["created"]) for p in recorded["processes"]]
        except (OSError, ValueError, KeyError, TypeError):
            entries, mark = [], ""  # nothing left, or a file that was being written at the kill
        processes: list[Process] = []
        names: dict[int, str] = {}
        for name, pid, created in entries:
            if (process := find_started(pid, created)) is not None:
                processes.append(process)
                names[pid] = name
        if mark:
            processes += [p for p in find_marked(mark) if p.pid not in names]
        kill_processes(processes)
        self.process_file.unlink(missing_ok=True)
        self.env_file.unlink(missing_ok=True)
        return [f"{names.get(p.pid, 'a flow run or helper')} (pid {p.pid})" for p in processes]

    def write_environment(self, environment: Mapping[str, str]) -> None:
        """Write stack.env, readable by `set -a; . stack.env` and by this user alone."""
        lines = [f"{key}={shlex.quote(value)}\n" for key, value in environment.items()]
        write_private(self.env_file, "".join(lines))

    def clear(self) -> None:
        """Remove what says that a stack runs, and kill what still carries its mark."""
        self.env_file.unlink(missing_ok=True)
        kill_processes(find_marked(self.mark))
        self.process_file.unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write at once and with mode 0600 from the first byte: readers see all of it or nothing."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    # Paths are bytes to the system: whatever the locale, they come back as they were.
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    new.replace(path)
