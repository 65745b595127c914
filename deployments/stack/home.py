"""The stack's home folder (FACEPASS_HOME): its files, its lock and its free disk space.

One sentence reports a full disk, before a start or when a program has failed because of it. If a
stack was killed, the next start ends the processes it left running.
"""

import errno
import fcntl
import json
import math
import os
import secrets
import shlex
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from io import TextIOWrapper
from pathlib import Path

from deployments.command_line.running_stack import ENV_FILE, PUSH_ENV_FILE
from deployments.stack.process import (
    Part,
    Process,
    find_marked,
    find_started,
    kill_processes,
    read_start,
)
from models.errors import FacePassError, StackError

MIB = 1024 * 1024
NEW_DATABASE_BYTES = 300 * MIB  # PostgreSQL 80, the S3 server's indexes 55, a model pack 40, rest
# PostgreSQL's next log files. No more: who must delete photos to make room has to start first.
START_BYTES = 48 * MIB
SOCKET_BYTES = MIB // 4  # a lock file
FULL_BYTES = 64 * MIB  # while a stack runs; twice as much is low
# `weed mini` refuses photos below this share of the disk, and has no flag for it.
S3_RESERVE = 0.01
LOOK_EVERY_S = 2.0
NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
OTHER_HOME = "set FACEPASS_HOME to a folder on another disk"


class DiskFullError(StackError):
    """A folder has too little room for a start."""


class Room(IntEnum):
    """How much of it a running stack has left."""

    ENOUGH = 0
    LOW = 1
    NONE = 2


def require_start(home: Path) -> None:
    """Raises DiskFullError where no stack could start, before anything is written."""
    _require_room(home, START_BYTES, OTHER_HOME)


def require_database(home: Path, sockets: Path, *, is_new: bool) -> None:
    """Raises DiskFullError where PostgreSQL could not be made or would find no room to run."""
    _require_room(home, NEW_DATABASE_BYTES if is_new else START_BYTES, OTHER_HOME)
    _require_room(sockets.parent, SOCKET_BYTES, "set TMPDIR to a folder on another disk")


def _require_room(folder: Path, needed: int, remedy: str) -> None:
    free = read_free(folder)
    if free < needed:
        raise DiskFullError(
            f"The disk of {folder} is full: {_in_mib(free)} are free, a start needs "
            f"{_in_mib(needed)}. Free some space there, or {remedy}."
        )


@contextmanager
def explain_failures(home: Path) -> Iterator[None]:
    """Within the block, what failed for want of room says so, and no OSError comes out."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno not in NO_SPACE:
            raise  # no file's: a closed pipe, a socket
        raise explain_refusal(error, home) from error
    except DiskFullError:
        raise
    except FacePassError as error:
        room = measure_room(home)
        if room is Room.ENOUGH:
            raise
        raise StackError(f"{describe_shortage(home, room)}\n{error}") from error


def explain_refusal(error: OSError, home: Path) -> StackError:
    """The error for a file or folder of the home that the system refuses."""
    if error.errno in NO_SPACE:
        return DiskFullError(
            f"The disk of {home} is full, or your share of it is used up ({error.strerror}). "
            f"Free some space there, or {OTHER_HOME}."
        )
    return StackError(f"FACEPASS_HOME cannot be used: {error}.")


def measure_room(home: Path) -> Room:
    """What a stack that runs in this home has left."""
    free, full = read_free(home), max(FULL_BYTES, read_s3_reserve(home))
    if free >= 2 * full:
        return Room.ENOUGH
    return Room.LOW if free >= full else Room.NONE


def describe_shortage(home: Path, room: Room) -> str:
    """What a person must know, and do, while the stack runs."""
    state = "full" if room is Room.NONE else "nearly full"
    reserve = read_s3_reserve(home)
    photos = f"S3 takes no photos below {_in_mib(reserve)}, and " if reserve else ""
    return (
        f"The disk of {home} is {state}: {_in_mib(read_free(home))} are free. "
        f"{photos}PostgreSQL stops when nothing is left. Free some space there."
    )


def read_s3_reserve(home: Path) -> int:
    """What the embedded S3 server keeps free; 0 where the photos are elsewhere."""
    if not (home / "s3").is_dir():
        return 0
    return int(shutil.disk_usage(home).total * S3_RESERVE)


def read_free(folder: Path) -> int:
    """Bytes that this user may still write there, or where the folder would be made."""
    existing = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    return shutil.disk_usage(existing).free


def watch_disk(home: Path) -> Iterator[str | None]:
    """Says once that the disk runs low, once that it is full, and once that it is over.

    Without end: each look gives the sentence that is news, or None.
    """
    before, looked = Room.ENOUGH, -math.inf
    while True:
        news = None
        if time.monotonic() - looked >= LOOK_EVERY_S:
            looked, room = time.monotonic(), measure_room(home)
            if room > before:
                news = describe_shortage(home, room)
            elif room is Room.ENOUGH and before is not room:
                news = f"The disk of {home} has room again: {_in_mib(read_free(home))}."
            before = room
        yield news


def _in_mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB" if size < 10 * MIB else f"{size // MIB} MiB"


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
        return self.path / ENV_FILE

    @property
    def push_env_file(self) -> Path:
        """What uploaders need; there while the stack runs."""
        return self.path / PUSH_ENV_FILE

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
        text = json.dumps({"mark": self.mark, "processes": processes})
        write_private(self.process_file, f"{text}\n")

    def sweep(self) -> list[str]:
        """Kill what a stack killed with -9 left running here; gives back the names, one each."""
        try:
            recorded = json.loads(self.process_file.read_text())
            mark = str(recorded["mark"])
            entries = [(str(p["name"]), int(p["pid"]), p["created"]) for p in recorded["processes"]]
        except (OSError, ValueError, KeyError, TypeError):
            entries, mark = [], ""  # nothing left, or a file that was being written at the kill
        left: dict[Process, str] = {}
        for name, pid, created in entries:
            if (process := find_started(pid, created)) is not None:
                left[process] = name
        for process in find_marked(mark) if mark else []:
            left.setdefault(process, "a flow run or helper")
        kill_processes(list(left))
        for file in (self.process_file, self.env_file, self.push_env_file):
            file.unlink(missing_ok=True)
        return [f"{name} (pid {process.pid})" for process, name in left.items()]

    def write_environment(
        self, environment: Mapping[str, str], push_environment: Mapping[str, str]
    ) -> None:
        """Write push.env and stack.env, readable by `set -a; . stack.env` and by this user alone.

        stack.env comes last: it tells others that the stack is up.
        """
        for path, values in ((self.push_env_file, push_environment), (self.env_file, environment)):
            lines = [f"{key}={shlex.quote(value)}\n" for key, value in values.items()]
            write_private(path, "".join(lines))

    def clear(self) -> None:
        """Remove what says that a stack runs, and kill what still carries its mark."""
        for file in (self.env_file, self.push_env_file):
            file.unlink(missing_ok=True)
        kill_processes(find_marked(self.mark))
        self.process_file.unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write text as `write_private_bytes` does."""
    # Paths are bytes to the system: whatever the locale, they come back as they were.
    write_private_bytes(path, text.encode("utf-8", errors="surrogateescape"))


def write_private_bytes(path: Path, content: bytes) -> None:
    """Write at once and with mode 0600 from the first byte: readers see all of it or nothing."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    new.replace(path)
