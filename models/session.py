"""Connections to PostgreSQL: transactions, snapshots and the advisory lock of an event.

If the database cannot be reached, or its tables are too old, an error of the product is raised.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache

import psycopg2
import psycopg2.extensions
from psycopg2.errors import QueryCanceled, UndefinedColumn, UndefinedTable
from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlmodel import Session

from models.errors import DatabaseOutdatedError, DatabaseUnavailableError
from models.patience import (
    PatientConnection,
    PatientCursor,
    limit_connecting,
    limit_statements,
    read_statement_limit,
)
from models.settings import get_settings

logger = logging.getLogger(__name__)

# First half of the two-part advisory lock key; the second is the event's id.
SYNC_LOCK_CLASS = 0x46_50  # "FP"
# A machine that is cut off or loses its power says no goodbye, and with the usual limits its
# locks would be held for two hours. So both ends give a dead connection up within half a minute:
# sooner than a run without a heartbeat counts as dead. Sockets of one machine ignore all of this.
CLIENT_LIMITS = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
# A process that stands still (stopped, or in a deadlock of its own) still answers keepalives. What
# it holds in a transaction is free again after this: longer than the API, in a transaction that
# holds its turn at an event, waits for a Prefect server that hangs.
IDLE_LIMIT_MS = 180_000
SERVER_LIMITS = f"""
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 4;
    SET tcp_user_timeout = 30000; SET idle_in_transaction_session_timeout = {IDLE_LIMIT_MS}
"""


# SQLAlchemy's, and psycopg2's own: a COPY is cut off without SQLAlchemy (models/copying.py).
OUTAGES = (
    OperationalError,
    InterfaceError,
    PoolTimeoutError,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
)


@lru_cache(maxsize=1)
def get_database_engine() -> Engine:
    """The process's pool. `pool_pre_ping` lets it outlive a restart of the database."""
    # An error's text must not hold tokens, names and embeddings.
    return _build_engine(pool_size=10, max_overflow=20, pool_pre_ping=True, hide_parameters=True)


def _build_engine(**options: object) -> Engine:
    url = get_settings().require_database_url()
    arguments = {
        **CLIENT_LIMITS,
        "connection_factory": PatientConnection,
        "cursor_factory": PatientCursor,
    }
    engine = create_engine(url, connect_args=arguments, **options)
    event.listen(engine, "connect", _limit_silence)
    event.listen(engine, "do_connect", limit_connecting)
    return engine


def _limit_silence(connection: psycopg2.extensions.connection, _record: object) -> None:
    """Have PostgreSQL notice soon when this client is gone."""
    with connection.cursor() as cursor:
        cursor.execute(SERVER_LIMITS)
    connection.commit()


@contextmanager
def open_session(isolation_level: str | None = None) -> Iterator[Session]:
    """One transaction: committed at the end, rolled back by an exception.

    Raises DatabaseUnavailableError where PostgreSQL cannot be reached or goes away, or keeps a
    caller waiting who has a limit.
    """
    try:
        with Session(get_database_engine(), expire_on_commit=False) as session, session.begin():
            if isolation_level is not None:
                session.connection(execution_options={"isolation_level": isolation_level})
            if (limit_s := read_statement_limit()) is not None:
                # For this transaction alone: the connection may serve a sync next.
                session.execute(text(f"SET LOCAL statement_timeout = {int(limit_s * 1000)}"))
            yield session
    except OUTAGES as error:
        raise _explain_outage(error) from error
    except ProgrammingError as error:
        if isinstance(error.orig, UndefinedTable | UndefinedColumn):
            raise DatabaseOutdatedError(
                "The database's tables are missing or old: run `python -m models.migrate`."
            ) from error
        raise


@contextmanager
def open_snapshot() -> Iterator[Session]:
    """As open_session, and all that is read is of the same moment; for reading only."""
    with open_session("REPEATABLE READ") as session:
        yield session


def check_tables(patience_s: float) -> None:
    """Raise DatabaseUnavailableError or DatabaseOutdatedError unless the tables can be read."""
    with limit_statements(patience_s), open_session() as session:
        session.execute(text("SELECT 1 FROM event LIMIT 1"))


_END_HOLDER = text("""
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND classid = :lock_class AND objid = :event_id AND objsubid = 2
  AND granted AND pid <> pg_backend_pid()
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")


class EventLock:
    """An event's advisory lock, on a connection of its own."""

    def __init__(self, connection: Connection, event_id: int) -> None:
        self._connection = connection
        self._key = {"lock_class": SYNC_LOCK_CLASS, "event_id": event_id}

    def try_take(self) -> bool:
        """Take the lock; False when another holds it."""
        statement = text("SELECT pg_try_advisory_lock(:lock_class, :event_id)")
        return bool(self._connection.execute(statement, self._key).scalar_one())

    def take_from_holder(self) -> None:
        """End the connection of whoever holds the lock; that process stands still, if it lives.

        Without the right to do that nothing happens: it is there among sessions of one role.
        """
        with suppress(ProgrammingError):
            self._connection.execute(_END_HOLDER, self._key)


@contextmanager
def open_event_lock(event_id: int) -> Iterator[EventLock]:
    """The event's lock, not taken yet; freed at the end of the block if it was.

    The connection is its own: a pooled one would keep the lock after the block, and outside
    AUTOCOMMIT it would sit idle in a transaction for as long as the sync takes. PostgreSQL frees
    the lock the moment the process dies, or within half a minute if its machine is lost. It is a
    courtesy; what protects the data is the epoch.
    """
    engine = _build_engine(poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        connection = engine.connect()
    except (OperationalError, InterfaceError) as error:
        raise _explain_outage(error) from error
    with connection:
        yield EventLock(connection, event_id)


def _explain_outage(error: Exception) -> DatabaseUnavailableError:
    cause = getattr(error, "orig", None) or error
    logger.warning("The database failed: %s", cause)
    if isinstance(cause, QueryCanceled):
        return DatabaseUnavailableError("The database takes too long: try again in a moment.")
    return DatabaseUnavailableError("The database cannot be reached: is PostgreSQL running?")
