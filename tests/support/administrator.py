"""The administrator of the stack's PostgreSQL, whom the product is not: what only they can do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from uuid import uuid4

from sqlalchemy import URL, NullPool, create_engine, make_url, text

from deployments.stack.postgres import SUPERUSER
from models.migrate import upgrade_database
from models.settings import get_settings

# Temporary tables are out of every other session's reach, and are emptied by each commit.
_TABLES = """
SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace
ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'm') AND nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
AND relpersistence <> 't'
"""


def read_admin_url(database: str | None = None) -> URL:
    """The product's database, or another one, as the superuser."""
    address = make_url(get_settings().require_database_url()).set(username=SUPERUSER)
    return address.set(database=database or address.database)


def render(address: URL) -> str:
    """The address as a setting, its password in it."""
    return address.render_as_string(hide_password=False)


def administrate(statement: str, database: str | None = None) -> None:
    """Run a statement as the superuser."""
    address = read_admin_url(database)
    engine = create_engine(address, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(statement))


def dump_databases() -> Iterator[tuple[str, bytes]]:
    """Every table of the product's database and of Prefect's, as text and as binary."""
    for database in ("facepass", "prefect"):
        engine = create_engine(read_admin_url(database))
        with engine.connect() as connection:
            tables = connection.execute(text(_TABLES)).scalars().all()
            cursor: Any = connection.connection.cursor()
            for table in tables:
                for form in ("text", "binary"):
                    buffer = BytesIO()
                    cursor.copy_expert(f"COPY {table} TO STDOUT (FORMAT {form})", buffer)
                    yield f"{database} {table} {form}", buffer.getvalue()
        engine.dispose()


@contextmanager
def take_no_changes(configure: Callable[..., None]) -> Iterator[None]:
    """The product's role, from its next connection on, as on a server after a failover."""
    administrate("ALTER ROLE facepass SET default_transaction_read_only = on")
    try:
        configure(retry_delay_s=1)
        yield
    finally:
        administrate("ALTER ROLE facepass RESET default_transaction_read_only")
        configure(retry_delay_s=1)


@contextmanager
def make_database() -> Iterator[URL]:
    """A database of a test's own that is the product's role's, with its tables."""
    address = make_url(get_settings().require_database_url())
    name = f"own_{uuid4().hex[:8]}"
    administrate(f"CREATE DATABASE {name} OWNER facepass")
    administrate("CREATE EXTENSION vector", name)
    own = address.set(database=name)
    upgrade_database(render(own))
    try:
        yield own
    finally:
        administrate(f"DROP DATABASE {name} WITH (FORCE)", "postgres")
