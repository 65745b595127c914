"""Time limits for the statements of callers who wait for an answer, such as the API's.

PostgreSQL ends a statement that takes too long. A server that stands still ends nothing, so a
thread here breaks the connection a little later. Without `limit_statements` nothing is limited.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import psycopg2.extensions

LOOK_S = 0.25  # between two looks at what is under way
GRACE_S = 1.0  # for PostgreSQL to end the statement itself


@dataclass
class Patience:
    """A caller's limit for each statement; over once PostgreSQL has kept one of them waiting."""

    statement_s: float
    is_over: bool = False


_patience: ContextVar[Patience | None] = ContextVar("patience", default=None)


@contextmanager
def limit_statements(seconds: float) -> Iterator[None]:
    """Limit each statement of the block; after one that was not answered, all others fail."""
    token = _patience.set(Patience(seconds))
    try:
        yield
    finally:
        _patience.reset(token)


def read_statement_limit() -> float | None:
    """Seconds that a statement may take here; None: as long as it takes."""
    patience = _patience.get()
    return None if patience is None else patience.statement_s


def limit_connecting(
    _dialect: object, _record: object, _arguments: object, options: dict[str, object]
) -> None:
    """SQLAlchemy's `do_connect`: a new connection keeps the caller's limit too."""
    patience = _patience.get()
    if patience is not None:
        _require_time(patience)
        options["connect_timeout"] = max(2, round(patience.statement_s))  # libpq's least


class PatientCursor(psycopg2.extensions.cursor):  # type: ignore[misc]  # publishes no types
    """A cursor whose statements are watched."""

    def execute(self, query: object, vars: object = None) -> None:  # noqa: A002 - psycopg2's name
        """As psycopg2's. Raises OperationalError for a statement that is not answered in time."""
        with _watchdog.watch(self.connection):
            super().execute(query, vars)


class PatientConnection(psycopg2.extensions.connection):  # type: ignore[misc]  # the same
    """A connection whose transactions' ends are watched."""

    def commit(self) -> None:
        """As psycopg2's."""
        with _watchdog.watch(self):
            super().commit()

    def rollback(self) -> None:
        """As psycopg2's."""
        with _watchdog.watch(self):
            super().rollback()


class _Watchdog:
    """One thread that breaks connections whose statement's time is over.

    psycopg2 waits for ever, and cannot be told otherwise without giving up COPY.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._watched: dict[int, tuple[float, psycopg2.extensions.connection, Patience]] = {}

    @contextmanager
    def watch(self, connection: psycopg2.extensions.connection) -> Iterator[None]:
        patience = _patience.get()
        if patience is None:
            yield
            return
        _require_time(patience)
        deadline = time.monotonic() + patience.statement_s + GRACE_S
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="patience", daemon=True)
                self._thread.start()
            self._watched[threading.get_ident()] = (deadline, connection, patience)
        try:
            yield
        finally:
            with self._lock:
                self._watched.pop(threading.get_ident(), None)

    def _look(self) -> None:
        while True:
            time.sleep(LOOK_S)
            with self._lock:
                now = time.monotonic()
                for thread, (deadline, connection, patience) in list(self._watched.items()):
                    if now > deadline:
                        del self._watched[thread]
                        patience.is_over = True
                        _break_connection(connection)


_watchdog = _Watchdog()


def _require_time(patience: Patience) -> None:
    if patience.is_over:
        raise psycopg2.OperationalError("PostgreSQL has just not answered in time")


def _break_connection(connection: psycopg2.extensions.connection) -> None:
    """Have libpq read the end of the connection, in the thread that waits for it."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)
    except (OSError, psycopg2.Error):
        pass  # it has ended by itself
