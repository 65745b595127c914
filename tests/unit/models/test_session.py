"""PostgreSQL's errors as the product's own, by their SQLSTATE."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from psycopg2 import errorcodes
from psycopg2.errors import lookup
from sqlalchemy.exc import DBAPIError, InternalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from models import session
from models.errors import (
    ConfigurationError,
    DatabaseOutdatedError,
    DatabaseRefusedError,
    DatabaseUnavailableError,
    FacePassError,
)
from models.session import MEANINGS, check_tables, map_database_errors

AWAY = {"08", "40", "53", "57", "58", "72", "F0", "XX"}
REFUSED = {"28", "3D", "3F"}
SINGLE: dict[str, type[FacePassError]] = {
    "25006": DatabaseUnavailableError,  # read-only
    "25P03": DatabaseUnavailableError,  # idle in its transaction for too long
    "25P04": DatabaseUnavailableError,  # a transaction that lasts too long
    "42501": DatabaseRefusedError,
    "42703": DatabaseOutdatedError,
    "42P01": DatabaseOutdatedError,
    "55006": DatabaseUnavailableError,  # in use
    "55P03": DatabaseUnavailableError,  # a lock is waited for no longer
}
CODES = sorted(
    {
        value
        for name, value in vars(errorcodes).items()
        if name.isupper() and isinstance(value, str) and len(value) == 5
    }
)


def build_error(state: str | None, said: str = "said by the server") -> psycopg2.Error:
    """psycopg2's error of a state, as it raises them."""
    try:
        kind = lookup(state) if state else psycopg2.OperationalError
    except KeyError:  # of a newer PostgreSQL than psycopg2's table
        kind = psycopg2.DatabaseError
    error: psycopg2.Error = type(kind.__name__, (kind,), {"pgcode": state})(said)
    return error


def explain(error: Exception) -> Exception:
    """The error that comes out of a block in which one is raised."""
    with pytest.raises(Exception) as found, map_database_errors():
        raise error
    return found.value


def expect_kind(state: str) -> type[FacePassError] | None:
    if state in SINGLE:
        return SINGLE[state]
    if state[:2] in AWAY:
        return DatabaseUnavailableError
    return DatabaseRefusedError if state[:2] in REFUSED else None


def test_psycopg2_knows_the_states() -> None:
    assert len(CODES) > 240
    assert {*SINGLE} <= {*CODES, "25P04"}


@pytest.mark.parametrize("state", CODES)
def test_each_state_is_an_outage_a_setting_old_tables_or_a_mistake_of_ours(state: str) -> None:
    for raised in (
        build_error(state),
        DBAPIError("UPDATE secret SET …", {}, build_error(state)),
    ):
        found, kind = explain(raised), expect_kind(state)
        if kind is None:
            assert found is raised
            continue
        assert type(found) is kind
        assert str(found)[-1] in ".?"
        assert "secret" not in str(found)
        assert "sqlalche.me" not in str(found)


@pytest.mark.parametrize("meaning", MEANINGS)
def test_a_row_of_the_table_is_about_states_that_there_are(meaning: str) -> None:
    assert any(state.startswith(meaning) for state in [*CODES, "25P04"])


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("25006", "read-only"),
        ("53100", "disk is full"),
        ("53300", "max_connections"),
        ("57014", "takes too long"),
        ("28P01", "password"),
        ("3D000", "no database of this name"),
        ("42501", "owner"),
        ("XX001", "XX001"),
    ],
)
def test_what_an_operator_can_do_is_said(state: str, words: str) -> None:
    assert words in str(explain(build_error(state)))


@pytest.mark.parametrize(
    ("state", "said", "kind", "words"),
    [
        (None, "server closed the connection unexpectedly", DatabaseUnavailableError, "reached"),
        (None, "SSL connection has been closed unexpectedly", DatabaseUnavailableError, "reached"),
        (None, "fe_sendauth: no password supplied", DatabaseRefusedError, "password"),
        (None, 'invalid port number: "99999"', DatabaseRefusedError, "option"),
        (
            None,
            "server does not support SSL, but SSL was required",
            DatabaseRefusedError,
            "sslmode",
        ),
        (None, "session is read-only", DatabaseUnavailableError, "read-only"),
        (None, 'could not translate host name "db" to address', DatabaseUnavailableError, "host"),
        (None, "received invalid response to SSL negotiation: H", DatabaseRefusedError, "not Post"),
        (
            None,
            "could not send SSL negotiation packet: Connection reset by peer",
            DatabaseUnavailableError,
            "reached",
        ),
        (
            None,
            'connection to server at "certificate.example" (::1), port 5432 failed: refused\n\tIs '
            'it running?\nconnection to server at "private key" (10.0.0.1), port 5432 failed: '
            "timeout expired",
            DatabaseUnavailableError,
            "reached",
        ),
        (
            None,
            'could not translate host name "certificate.example" to address: Name not known',
            DatabaseUnavailableError,
            "host",
        ),
        (
            None,
            'connection to server at "db", port 5432 failed: root certificate file "a" is away',
            DatabaseRefusedError,
            "sslmode",
        ),
        ("08P01", "unsupported startup parameter: options", DatabaseRefusedError, "option"),
        ("08P01", "no such database: x", DatabaseRefusedError, "no database"),
        ("08P01", "query_wait_timeout", DatabaseUnavailableError, "reached"),
        ("XX000", "Tenant or user not found", DatabaseRefusedError, "user"),
        ("XX000", "Max client connections reached", DatabaseUnavailableError, "max_connections"),
        ("XX000", "cache lookup failed", DatabaseUnavailableError, "failing"),
    ],
)
def test_where_no_state_tells_libpqs_and_the_poolers_words_do(
    state: str | None, said: str, kind: type[FacePassError], words: str
) -> None:
    found = explain(build_error(state, said))
    assert type(found) is kind
    assert words in str(found)


@pytest.mark.parametrize(
    ("error", "is_away"),
    [
        (psycopg2.InterfaceError("connection already closed"), True),
        (psycopg2.DatabaseError("error with status PGRES_TUPLES_OK and no message"), True),
        (PoolTimeoutError("QueuePool limit"), True),
        (psycopg2.ProgrammingError("no results to fetch"), False),
        (psycopg2.DataError("a string with a zero byte"), False),
        (ValueError("none of the database's"), False),
    ],
)
def test_a_connection_that_breaks_is_an_outage_and_a_mistake_stays_one(
    error: Exception, is_away: bool
) -> None:
    found = explain(error)
    assert isinstance(found, DatabaseUnavailableError) if is_away else found is error


def test_what_must_be_changed_ends_a_run_and_an_outage_does_not() -> None:
    assert issubclass(DatabaseRefusedError, ConfigurationError)
    assert not issubclass(DatabaseUnavailableError, ConfigurationError)
    assert isinstance(explain(InternalError("x", {}, build_error("25006"))), FacePassError)


@pytest.mark.parametrize(
    ("state", "kind"), [("55000", DatabaseRefusedError), ("57P03", DatabaseUnavailableError)]
)
def test_a_closed_database_is_a_setting_while_connecting(
    monkeypatch: pytest.MonkeyPatch, state: str, kind: type[FacePassError]
) -> None:
    def refuse(*_words: object, **_options: object) -> None:
        raise psycopg2.OperationalError("connection to server failed: ВАЖНО:  closed")

    monkeypatch.setattr(session, "_ask_sqlstate", lambda _options: state)
    dialect: Any = SimpleNamespace(connect=refuse)
    with pytest.raises(kind):
        session._connect(dialect, None, [], {})


def test_a_disk_that_is_full_is_noticed_though_all_can_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[str] = []
    is_full = False

    def execute(statement: object) -> None:
        if not str(statement).startswith("SELECT"):
            written.append(str(statement))
            if is_full:
                raise build_error("53100")

    @contextmanager
    def open_session() -> Iterator[Any]:
        with map_database_errors():
            yield SimpleNamespace(execute=execute, scalar=lambda _statement: "off")

    now = 1_000.0
    monkeypatch.setattr(session, "open_session", open_session)
    monkeypatch.setattr(session.time, "monotonic", lambda: now)
    session._try_to_write.cache_clear()
    for _ in range(5):
        check_tables(1.0)
    assert len(written) == 1
    is_full, now = True, now + 60
    for _ in range(2):
        with pytest.raises(DatabaseUnavailableError, match="disk is full"):
            check_tables(1.0)
    is_full = False
    check_tables(1.0)
    session._try_to_write.cache_clear()
