"""Connections to PostgreSQL: transactions, snapshots and the advisory lock of an event.

PostgreSQL's errors become the product's own here, by their SQLSTATE: the database is away, it
refuses what the settings ask for, or its tables are old.
"""

import ctypes
import logging
import re
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from enum import StrEnum
from functools import lru_cache

import psycopg2
import psycopg2.extensions
from sqlalchemy import Connection, Dialect, Engine, NullPool, create_engine, event, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlmodel import Session

from models.errors import (
    DatabaseOutdatedError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
    FacePassError,
)
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


AUTOCOMMIT = "AUTOCOMMIT"
READ_ONLY_STATE = "25006"
_AWAY = "The database cannot be reached: is PostgreSQL running?"
_SLOW = "The database takes too long: try again in a moment."
_FAILING = "PostgreSQL is failing (SQLSTATE {state}): its log says why."
_READ_ONLY = (
    "The database takes no changes now (it is read-only): FACEPASS_DATABASE_URL must lead to the "
    "primary server, and default_transaction_read_only must be off there."
)
_WRONG_USER = (
    "PostgreSQL refuses this user: check the user and the password in FACEPASS_DATABASE_URL, and "
    "whether the server's pg_hba.conf lets them in (it may want ?sslmode=require)."
)
_WRONG_DATABASE = (
    "PostgreSQL has no database of this name, or keeps it closed: check the name in "
    "FACEPASS_DATABASE_URL."
)
_OLD = "The database's tables are missing or old: run `python -m models.migrate`."
# A SQLSTATE, or the class that its first two letters are -> the product's error and its sentence;
# the longest that fits holds. What is not here is a mistake of the program, and stays what it is.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
MEANINGS: dict[str, tuple[type[FacePassError], str]] = {
    "08": (DatabaseUnavailableError, _AWAY),
    READ_ONLY_STATE: (DatabaseUnavailableError, _READ_ONLY),
    "25P03": (DatabaseUnavailableError, _SLOW),
    "25P04": (DatabaseUnavailableError, _SLOW),
    "28": (DatabaseRefusedError, _WRONG_USER),
    "3D": (DatabaseRefusedError, _WRONG_DATABASE),
    "3F": (
        DatabaseRefusedError,
        "The database has no schema for the tables: check search_path, or run CREATE SCHEMA public "
        "there.",
    ),
    "40": (
        DatabaseUnavailableError,
        "The database gave a transaction up that was in another's way: try again in a moment.",
    ),
    "42501": (
        DatabaseRefusedError,
        "PostgreSQL denies this role what the product needs: make the role of "
        "FACEPASS_DATABASE_URL the owner of its database and of the tables in it.",
    ),
    "42703": (DatabaseOutdatedError, _OLD),
    "42P01": (DatabaseOutdatedError, _OLD),
    "53": (
        DatabaseUnavailableError,
        "PostgreSQL has run out of something (SQLSTATE {state}): its log says of what.",
    ),
    "53100": (
        DatabaseUnavailableError,
        "The database's disk is full: free some space on PostgreSQL's machine.",
    ),
    "53300": (
        DatabaseUnavailableError,
        "PostgreSQL has no connection left: raise its max_connections, or run fewer syncs at a "
        "time (docs/scaling.md).",
    ),
    "55006": (DatabaseUnavailableError, _SLOW),
    "55P03": (DatabaseUnavailableError, _SLOW),
    "57": (DatabaseUnavailableError, _AWAY),
    "57014": (DatabaseUnavailableError, _SLOW),
    "58": (DatabaseUnavailableError, _FAILING),
    "72": (DatabaseUnavailableError, _SLOW),
    "F0": (DatabaseUnavailableError, _FAILING),
    "XX": (DatabaseUnavailableError, _FAILING),
}
# What a state says of a connection alone.
_CONNECTING = {"55000": (DatabaseRefusedError, _WRONG_DATABASE)}
# Where a connection fails, libpq and the poolers have texts of their own: without a SQLSTATE, or
# with one that says nothing. Not in the server's language, so they can be read.
_NO_MEANING = {None, "08P01", "XX000"}
_REFUSALS: tuple[tuple[str, type[FacePassError], str], ...] = (
    (
        "^could not translate host name",
        DatabaseUnavailableError,
        "The database's host is not known here: check the host in FACEPASS_DATABASE_URL.",
    ),
    ("no password supplied|no such user|user not found", DatabaseRefusedError, _WRONG_USER),
    ("no such database|bouncer config error", DatabaseRefusedError, _WRONG_DATABASE),
    (
        "not support SSL|certificate|private key|channel binding|authentication method",
        DatabaseRefusedError,
        "PostgreSQL offers no connection that is as safe as is asked for: check sslmode and the "
        "certificates that FACEPASS_DATABASE_URL names.",
    ),
    (
        "invalid response to SSL negotiation|expected authentication request",
        DatabaseRefusedError,
        "What answers there is not PostgreSQL: check host and port in FACEPASS_DATABASE_URL.",
    ),
    (
        "connection option|^invalid |unsupported startup parameter",
        DatabaseRefusedError,
        "FACEPASS_DATABASE_URL has an option that is not taken there: take out what is behind "
        'its "?", or correct it.',
    ),
    ("session is read-only|in hot standby", DatabaseUnavailableError, _READ_ONLY),
    ("too many clients|[Mm]ax client|no more connections", *MEANINGS["53300"]),
)
# How a server's answer begins, its severity being in its own language; libpq's texts have none.
_ANSWER = re.compile(r" failed: \S+:  ")
_SQLSTATE_ONLY = 3  # libpq's PQERRORS_SQLSTATE
_ASK_LIMIT_S = 2.0
_WRITING_HOLDS_S = 30.0  # a probe comes every few seconds, and a table leaves rows in the catalog
_POOLER_TRIES = 4


@lru_cache(maxsize=1)
def get_database_engine() -> Engine:
    """The process's pool. `pool_pre_ping` lets it outlive a restart of the database."""
    # An error's text must not hold tokens, names and embeddings.
    return _build_engine(pool_size=10, max_overflow=20, pool_pre_ping=True, hide_parameters=True)


def _build_engine(**options: object) -> Engine:
    return build_engine(get_settings().require_database_url(), **options)


def build_engine(url: str, **options: object) -> Engine:
    """An engine whose connections are watched, and whose refusals are the product's errors."""
    arguments = {
        **CLIENT_LIMITS,
        "connection_factory": PatientConnection,
        "cursor_factory": PatientCursor,
    }
    engine = create_engine(url, connect_args=arguments, **options)
    event.listen(engine, "connect", _limit_silence)
    event.listen(engine, "do_connect", limit_connecting)
    event.listen(engine, "do_connect", _connect)
    return engine


def _connect(
    dialect: Dialect, _record: object, words: list[object], options: dict[str, object]
) -> object:
    """SQLAlchemy's `do_connect`: psycopg2 tells no SQLSTATE of a connection that is refused."""
    try:
        return dialect.connect(*words, **options)
    except psycopg2.OperationalError as error:
        state = _ask_sqlstate(options) if _ANSWER.search(str(error)) else None
        raise _explain(error, state, MEANINGS | _CONNECTING) or error from error


def _ask_sqlstate(options: dict[str, object]) -> str | None:
    """The SQLSTATE with which a server refuses a connection; None where it takes this one.

    Its text may be in any language. psycopg2 offers no other way: once more, step by step, with
    libpq told beforehand to say nothing but the state.
    """
    deadline = time.monotonic() + _ASK_LIMIT_S
    libpq = ctypes.CDLL(psycopg2._psycopg.__file__)  # brings libpq along
    plain = {"connection_factory": None, "cursor_factory": None}
    try:
        with closing(psycopg2.connect(**{**options, **plain}, async_=True)) as attempt:
            libpq.PQsetErrorVerbosity(ctypes.c_void_p(attempt.pgconn_ptr), _SQLSTATE_ONLY)
            while (step := attempt.poll()) != psycopg2.extensions.POLL_OK:
                writes = step == psycopg2.extensions.POLL_WRITE
                ready = select.select(
                    [] if writes else [attempt],
                    [attempt] if writes else [],
                    [],
                    max(0.0, deadline - time.monotonic()),
                )
                if not any(ready):
                    return None
    except psycopg2.Error as error:
        found = re.search(r":  ([0-9A-Z]{5})\s*$", str(error))
        return found and found.group(1)
    return None


def _limit_silence(connection: psycopg2.extensions.connection, _record: object) -> None:
    """Have PostgreSQL notice soon when this client is gone."""
    with connection.cursor() as cursor:
        cursor.execute(SERVER_LIMITS)
    connection.commit()


@contextmanager
def map_database_errors() -> Iterator[None]:
    """Raise PostgreSQL's errors of the block as the product's own.

    DatabaseUnavailableError where another try may help, DatabaseRefusedError where a setting must
    be changed, DatabaseOutdatedError where the tables must. Mistakes of the program stay as they
    are.
    """
    try:
        yield
    except PoolTimeoutError as error:
        raise DatabaseUnavailableError(_AWAY) from error
    except (DBAPIError, psycopg2.Error) as error:  # a COPY's come without SQLAlchemy
        cause = error.orig if isinstance(error, DBAPIError) else error
        found = _explain(cause, getattr(cause, "pgcode", None))
        if found is None:
            raise
        if getattr(cause, "pgcode", None) == READ_ONLY_STATE:
            _close_idle_connections()
        raise found from error


def _close_idle_connections() -> None:
    """Have the next transactions connect anew.

    A connection stays read-only after the database is not: it may lead to a server that was the
    primary before, or have the default of the time when it was opened.
    """
    if get_database_engine.cache_info().currsize:
        get_database_engine().dispose()


@contextmanager
def open_session(isolation_level: str | None = None) -> Iterator[Session]:
    """One transaction: committed at the end, rolled back by an exception.

    Raises as map_database_errors says; DatabaseUnavailableError also where PostgreSQL keeps a
    caller waiting who has a limit.
    """
    with (
        map_database_errors(),
        Session(get_database_engine(), expire_on_commit=False) as session,
        session.begin(),
    ):
        if isolation_level is not None:
            session.connection(execution_options={"isolation_level": isolation_level})
        limit_s = read_statement_limit()
        if limit_s is not None and isolation_level != AUTOCOMMIT:
            # For this transaction alone: the connection may serve a sync next.
            session.execute(text(f"SET LOCAL statement_timeout = {int(limit_s * 1000)}"))
        yield session


@contextmanager
def open_lookup() -> Iterator[Session]:
    """As open_session, without a transaction: a third of the messages, for statements that read.

    Each is of its own moment. PostgreSQL is not told of a limit: the connection is broken then.
    """
    with open_session(AUTOCOMMIT) as session:
        yield session


@contextmanager
def open_snapshot() -> Iterator[Session]:
    """As open_session, and all that is read is of the same moment; for reading only."""
    with open_session("REPEATABLE READ") as session:
        yield session


def check_tables(patience_s: float) -> None:
    """Raise an error of map_database_errors unless the tables can be read and written to."""
    with limit_statements(patience_s), open_session() as session:
        session.execute(text("SELECT 1 FROM event LIMIT 1"))
        is_read_only = session.scalar(text("SELECT current_setting('transaction_read_only')"))
    if is_read_only == "on":
        _close_idle_connections()
        raise DatabaseUnavailableError(_READ_ONLY)
    with limit_statements(patience_s):
        _try_to_write(int(time.monotonic() / _WRITING_HOLDS_S))


@lru_cache(maxsize=1)
def _try_to_write(_period: int) -> None:
    """Make a table and drop it: reading shows no full disk. Once a period, if that succeeds."""
    with open_session() as session:
        session.execute(text("CREATE TEMPORARY TABLE tried ON COMMIT DROP AS SELECT 1"))


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
    engine = _build_engine(poolclass=NullPool, isolation_level=AUTOCOMMIT)
    with map_database_errors(), engine.connect() as connection:
        yield EventLock(connection, event_id)


class Pooling(StrEnum):
    """Whether something stands before PostgreSQL, and for how long it lends a connection."""

    NONE = "none"
    SESSIONS = "sessions"
    TRANSACTIONS = "transactions"


def find_pooling() -> Pooling:
    """Tell a pooler, such as PgBouncer, by the processes that serve two connections.

    One that lends them by transactions serves both by the same process, or one by several.
    """
    statement = text("SELECT pg_backend_pid()")
    engine = _build_engine(poolclass=NullPool)
    with map_database_errors(), engine.connect() as first, engine.connect() as second:
        pids = set()
        for _ in range(_POOLER_TRIES):
            with first.begin():
                pids.add(first.scalar(statement))
            with second.begin():  # the process that the first one has just given back
                if second.scalar(statement) in pids:
                    return Pooling.TRANSACTIONS
        if len(pids) > 1:
            return Pooling.TRANSACTIONS
        # A pooler gives its client a number of its own, with which to cancel a statement.
        told: psycopg2.extensions.connection = first.connection.dbapi_connection
        return Pooling.NONE if pids == {told.info.backend_pid} else Pooling.SESSIONS


def _explain(
    error: BaseException | None,
    state: str | None,
    meanings: Mapping[str, tuple[type[FacePassError], str]] = MEANINGS,
) -> FacePassError | None:
    """The product's error for one of psycopg2's and its SQLSTATE; None where it has none."""
    if state is None and not (
        isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
        or type(error) is psycopg2.DatabaseError  # the connection broke between two answers
    ):
        return None
    found = meanings.get(state or "08") or meanings.get((state or "08")[:2])
    if state in _NO_MEANING:
        words = str(error).rpartition(" failed: ")[2]  # before it: hosts, of all that were tried
        read = ((kind, sentence) for said, kind, sentence in _REFUSALS if re.search(said, words))
        found = next(read, found)
    if found is None:
        return None
    kind, sentence = found
    # Its first line: those below may show the statement, with its values.
    logger.warning("The database failed (SQLSTATE %s): %s", state, str(error).partition("\n")[0])
    return kind(sentence.format(state=state))
