"""A recorder of the product modules that a sync enters, and of what it asks of PostgreSQL.

A module is entered when one of its functions is called. A move is a call of a function in another
module than that of the same thread's last call: what a reader's eye follows, libraries left out.
"""

import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType

from sqlalchemy import Connection, Engine, event

from benchmarks.trace.house import ROOMS

# The functions that list an event's folder in S3, and the one that finds and reads a model pack.
LISTING = ("list_s3_objects", "list_pages")
RESOLVING = ("resolve_pack",)

_FROM_EVENT = re.compile(r"\bFROM event\b")
# The whole row, and not a few of its columns: this one no step asks for alone.
_WHOLE_ROW = re.compile(r"^SELECT event\.id\b.*\bevent\.gallery_token\b", re.DOTALL)
_LOCKING = re.compile(r"\bFOR UPDATE\b")
_STORES_FACES = re.compile(r"^\s*INSERT INTO face\b")


@dataclass
class Part:
    """What was passed between two moments."""

    entered: Counter[str] = field(default_factory=Counter)  # module -> calls of its functions
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)  # (from, to) -> times
    transactions: int = 0
    event_reads: int = 0  # of the whole row, without a lock
    event_locks: int = 0  # of the whole row, FOR UPDATE
    event_statements: int = 0  # every SELECT of the table, of single columns too
    packs_resolved: int = 0


@dataclass
class Record:
    """One sync: its parts one after another, and the whole."""

    start: Part = field(default_factory=Part)  # until S3 is listed
    photo: Part = field(default_factory=Part)  # until the photo's faces are committed
    end: Part = field(default_factory=Part)
    whole: Part = field(default_factory=Part)


class Recorder:
    """Watches this thread and every one that starts after `install`."""

    def __init__(self, root: Path) -> None:
        self._root = f"{root}/"
        self._modules: dict[CodeType, str | None] = {}
        self._last: dict[int, str] = {}  # thread -> module of its last call
        self._storing: set[int] = set()  # connections on which faces were inserted
        self._lock = threading.Lock()
        self._parts: tuple[Part, ...] = ()  # what is counted into now
        self._record = Record()

    def install(self) -> None:
        """Begin to watch; nothing is counted outside `record`."""
        event.listen(Engine, "begin", self._on_begin)
        event.listen(Engine, "commit", self._on_commit)
        event.listen(Engine, "before_cursor_execute", self._on_statement)
        threading.setprofile(self._on_frame)
        sys.setprofile(self._on_frame)

    @contextmanager
    def record(self) -> Iterator[Record]:
        """Count what happens in the block."""
        self._record = Record()
        self._last.clear()
        self._enter(self._record.start)
        try:
            yield self._record
        finally:
            self._parts = ()

    def _enter(self, part: Part) -> None:
        self._parts = (part, self._record.whole)

    def _on_frame(self, frame: FrameType, what: str, _argument: object) -> None:
        if what != "call" or not self._parts:
            return
        module = self._find_module(frame.f_code)
        if module is None:
            return
        with self._lock:
            function = frame.f_code.co_name
            if function in LISTING and self._parts and self._parts[0] is self._record.start:
                self._enter(self._record.photo)
            thread = threading.get_ident()
            before = self._last.get(thread, "a new thread")
            self._last[thread] = module
            for part in self._parts:
                part.entered[module] += 1
                part.packs_resolved += function in RESOLVING
                if before != module:
                    part.moves[before, module] += 1

    def _find_module(self, code: CodeType) -> str | None:
        """A product module's path from the root; None for all others."""
        if code not in self._modules:
            path = code.co_filename.removeprefix(self._root)
            is_product = path != code.co_filename and path.split("/")[0] in ROOMS
            self._modules[code] = path if is_product else None
        return self._modules[code]

    def _on_begin(self, connection: Connection) -> None:
        if connection.get_isolation_level() != "AUTOCOMMIT":
            with self._lock:
                for part in self._parts:
                    part.transactions += 1

    def _on_statement(
        self,
        connection: Connection,
        _cursor: object,
        statement: str,
        _parameters: object,
        _context: object,
        _many: bool,
    ) -> None:
        with self._lock:
            if _STORES_FACES.search(statement):
                self._storing.add(id(connection))
            if not _FROM_EVENT.search(statement):
                return
            is_whole = _WHOLE_ROW.search(statement) is not None
            is_locking = _LOCKING.search(statement) is not None
            for part in self._parts:
                part.event_statements += 1
                part.event_reads += is_whole and not is_locking
                part.event_locks += is_whole and is_locking

    def _on_commit(self, connection: Connection) -> None:
        with self._lock:
            if id(connection) in self._storing:
                self._storing.discard(id(connection))
                if self._parts:
                    self._enter(self._record.end)
