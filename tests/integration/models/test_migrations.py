"""Migrations on the real PostgreSQL: a database of an earlier release keeps what it has."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from alembic import command
from sqlalchemy import Engine, NullPool, create_engine, text

from models.migrate import build_alembic_config, upgrade_database
from tests.support.administrator import read_admin_url


@pytest.fixture
def database(joined_stack: dict[str, str]) -> Iterator[Engine]:
    """An empty database of the test's own."""
    address = read_admin_url()
    name = f"migrated_{uuid4().hex[:8]}"
    admin = create_engine(address, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine = create_engine(address.set(database=name), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("CREATE EXTENSION vector"))
    yield engine
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name}"))


def migrate(engine: Engine, revision: str, *, down: bool = False) -> None:
    config = build_alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)


def test_the_first_releases_data_is_kept_and_nothing_counts_as_erased(database: Engine) -> None:
    migrate(database, "0001")
    with database.begin() as connection:
        connection.execute(
            text("""
            INSERT INTO event VALUES (7, gen_random_uuid(), 'Свадьба', 't', 3, '{}', now(), now());
            INSERT INTO photo (id, event_id, s3_key, etag, size, image_url, original_missing,
                               status, confidence, attempts, change, created_at)
            VALUES (1, 7, 'events/7/previews/ё.jpg', 'e', 1, 'u', false, 'indexed', 0.9, 1,
                    'new', now());
            INSERT INTO pack VALUES (1, 'p@1', 'MIT');
            INSERT INTO face VALUES (1, 1, 7, 1, 0, 0, 1, 1, 0.9, '[1,0]')
            """)
        )

    upgrade_database(database.url.render_as_string(hide_password=False))

    with database.connect() as connection:
        (event,) = connection.execute(text("SELECT * FROM event"))
        assert (event.name, event.sync_epoch) == ("Свадьба", 3)
        assert (event.erased_at, event.last_erasure_at, event.s3_folder) == (None, None, None)
        (photo,) = connection.execute(text("SELECT * FROM photo"))
        assert (photo.status, photo.erased_alone, photo.changes) == ("indexed", False, 0)
        assert (photo.taken_at, photo.camera) == (None, None)
        assert photo.sort_name == f"events/{7:020}/previews/ё"
        assert (event.utc_offset, event.camera_shifts) == (None, {})
        assert photo.original_key is None
        assert connection.execute(text("SELECT embedding::text FROM face")).scalar() == "[1,0]"
    # And back, as far as an operator may have to go.
    with database.begin() as connection:
        connection.execute(text("UPDATE photo SET status = 'erased', erased_alone = true"))
    migrate(database, "0001", down=True)
    with database.connect() as connection:
        assert connection.execute(text("SELECT status FROM photo")).scalar() == "pending"
