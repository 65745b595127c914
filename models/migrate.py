"""The command `python -m models.migrate`, which creates or upgrades the database tables."""

import logging
import sys
from argparse import ArgumentParser
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from models.errors import ConfigurationError, FacePassError
from models.settings import get_settings

logger = logging.getLogger(__name__)

MIGRATION_LOCK = 0x46_50_4D  # "FPM": two migrating processes wait for each other


def build_alembic_config() -> Config:
    """Alembic's configuration, without an .ini file that could disagree with the settings."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def read_heads() -> list[str]:
    """The newest revisions among the migration files; one, or two branches were not merged."""
    return list(ScriptDirectory.from_config(build_alembic_config()).get_heads())


def upgrade_database(url: str) -> None:
    """Create or upgrade the tables behind `url` (any postgresql:// form).

    Raises ConfigurationError where the database cannot be reached or lacks pgvector.
    """
    engine = create_engine(f"postgresql+psycopg2://{url.partition('://')[2]}", poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.execute(
                text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK}
            )
            _require_vector(connection)
            config = build_alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except OperationalError as error:
        raise ConfigurationError(
            "The database cannot be reached: check FACEPASS_DATABASE_URL and that it is running."
        ) from error


def _require_vector(connection: Connection) -> None:
    try:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    except DBAPIError as error:
        raise ConfigurationError(
            "This PostgreSQL has no pgvector 0.7 or newer (or this role may not create it): "
            "install it, run CREATE EXTENSION vector as an administrator, and migrate again."
        ) from error


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
