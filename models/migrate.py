"""The command `python -m models.migrate`, which creates or upgrades the database tables.

What a database has of what the product needs is read here too.
"""

import logging
import sys
from argparse import ArgumentParser
from pathlib import Path
from uuid import UUID

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel, select

from models.errors import ConfigurationError, DatabaseRefusedError, FacePassError
from models.session import build_engine, map_database_errors, open_session
from models.settings import get_settings
from models.tables import Installation  # its module fills the metadata, too

logger = logging.getLogger(__name__)

VECTOR_VERSION = (0, 7)  # the first with half-precision vectors
NO_VECTOR = (
    "This PostgreSQL has no pgvector 0.7 or newer (or this role may not create it): "
    "install it, run CREATE EXTENSION vector (of an older one, ALTER EXTENSION vector UPDATE) as "
    "an administrator, and migrate again."
)
_VECTOR_VERSION = text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
_TABLE = text("SELECT to_regclass('alembic_version') IS NOT NULL")
_DENIED = text("""
SELECT name FROM unnest(CAST(:names AS text[])) AS name WHERE NOT (
    has_table_privilege(name, 'SELECT') AND has_table_privilege(name, 'INSERT')
    AND has_table_privilege(name, 'UPDATE') AND has_table_privilege(name, 'DELETE'))
""")
# The extension's file is not there, in the words of PostgreSQL before and after 15; no right to it.
_NO_EXTENSION = {"58P01", "0A000", "42501"}
MIGRATION_LOCK = 0x46_50_4D  # "FPM": two migrating processes wait for each other


def build_alembic_config() -> Config:
    """Alembic's configuration, without an .ini file that could disagree with the settings."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def read_heads() -> list[str]:
    """The newest revisions among the migration files; one, or two branches were not merged."""
    return list(ScriptDirectory.from_config(build_alembic_config()).get_heads())


def upgrade_database(url: str) -> UUID:
    """Create or upgrade the tables behind `url` (any postgresql:// form); the database's own id.

    Raises ConfigurationError where it lacks pgvector, and the errors of map_database_errors.
    """
    settings = get_settings().model_copy(update={"database_url": url})
    engine = build_engine(settings.require_database_url(), poolclass=NullPool)
    with map_database_errors(), engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
        _require_vector(connection)
        config = build_alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        owner: UUID = connection.execute(select(Installation.id)).scalar_one()
        return owner


def read_versions() -> tuple[str, str | None, str | None]:
    """PostgreSQL's version, pgvector's, and the tables' revision; None for what is not there."""
    with open_session() as session:
        server = str(session.scalar(text("SHOW server_version")))
        vector = session.scalar(_VECTOR_VERSION)
        if not session.scalar(_TABLE):
            return server, vector, None
        return server, vector, session.scalar(text("SELECT version_num FROM alembic_version"))


def check_rights() -> None:
    """Raise DatabaseRefusedError unless this role may do all that the product does.

    A temporary table is made and dropped: a search has one, and a full disk shows.
    """
    names = sorted(SQLModel.metadata.tables)
    with open_session() as session:
        session.execute(text("CREATE TEMPORARY TABLE tried ON COMMIT DROP AS SELECT 1"))
        denied = list(session.scalars(_DENIED, {"names": names}))
    if denied:
        raise DatabaseRefusedError(
            f"This role may not read and write {', '.join(denied)}: make it the owner of the "
            "tables, or GRANT it SELECT, INSERT, UPDATE and DELETE on them."
        )


def _require_vector(connection: Connection) -> None:
    try:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
        version = str(connection.scalar(_VECTOR_VERSION)).split(".")
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) not in _NO_EXTENSION:
            raise
        raise ConfigurationError(NO_VECTOR) from error
    if tuple(map(int, version)) < VECTOR_VERSION:
        raise ConfigurationError(NO_VECTOR)


def main() -> int:
    """Migrate the configured database."""
    logging.basicConfig(level=logging.INFO, format="[%(levelname)s] %(message)s")
    try:
        upgrade_database(get_settings().require_database_url())
    except FacePassError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    logger.info("The database is at revision %s.", ", ".join(read_heads()))
    return 0


if __name__ == "__main__":
    description = "Bring the configured database's tables up to date."
    ArgumentParser(prog="python -m models.migrate", description=description).parse_args()
    sys.exit(main())
