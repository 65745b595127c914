"""Migrations on the real PostgreSQL: a database of an earlier release keeps what it has."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from alembic import command
from alembic.util import CommandError
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
        assert photo.sort_name is None
        assert (event.utc_offset, event.camera_shifts) == (None, {})
        assert photo.original_key is None
        assert connection.execute(text("SELECT embedding::text FROM face")).scalar() == "[1,0]"
    # And back, as far as an operator may have to go.
    with database.begin() as connection:
        connection.execute(text("UPDATE photo SET status = 'erased', erased_alone = true"))
    migrate(database, "0001", down=True)
    with database.connect() as connection:
        assert connection.execute(text("SELECT status FROM photo")).scalar() == "pending"


def add_photos(engine: Engine, photos: dict[str, bool]) -> None:
    """Photos of event 7 by their names, and whether their originals are missing."""
    with engine.begin() as connection:
        connection.execute(
            text("""
            INSERT INTO event (id, uuid, name, gallery_token, sync_epoch, pending_prefixes,
                               active_until, created_at)
            VALUES (7, gen_random_uuid(), 'e', 't', 0, '{}', now(), now())
            """)
        )
        connection.execute(
            text("""
            INSERT INTO photo (id, event_id, s3_key, etag, size, image_url, original_missing,
                               status, confidence, attempts, change, created_at)
            VALUES (:id, 7, 'events/7/previews/' || :name, 'e', 1, 'u', :missing, 'indexed', 0.9,
                    1, 'new', now())
            """),
            [{"id": n, "name": name, "missing": photos[name]} for n, name in enumerate(photos)],
        )


def test_an_original_that_was_found_before_is_found_still(database: Engine) -> None:
    migrate(database, "0007")
    names = ["1.HEIC.jpg", "2.cr2.jpg.jpg", "previews/previews/3.TIF.jpg"]
    others = {"4.jpg": False, "5.HEIC.JPG": False, "6.HEIC.jpg": True, "7.gif.jpg": False}
    add_photos(database, dict.fromkeys(names, False) | others)
    migrate(database, "0008")
    with database.connect() as connection:
        keys = connection.execute(
            text("SELECT s3_key, original_key FROM photo WHERE original_key IS NOT NULL")
        ).all()
    assert {(f"events/7/previews/{n}", f"events/7/originals/{n}") for n in names} == set(keys)


def test_the_release_before_is_told_what_it_cannot_find(database: Engine) -> None:
    migrate(database, "0008")
    photos = ["1.jpg", "2.jpg", "3.HEIC.jpg", "4.HEIC.jpg"]
    add_photos(database, dict.fromkeys(photos, False))
    with database.begin() as connection:
        for name, original in (("2.jpg", "2.CR2"), ("4.HEIC.jpg", "4.HEIC.jpg")):
            connection.execute(
                text("UPDATE photo SET original_key = :key WHERE s3_key LIKE :name"),
                {"key": f"events/7/originals/{original}", "name": f"%/{name}"},
            )
    migrate(database, "0007", down=True)
    with database.connect() as connection:
        query = text("SELECT s3_key FROM photo WHERE original_missing ORDER BY s3_key")
        missing = [key.rpartition("/")[2] for (key,) in connection.execute(query)]
    assert missing == ["2.jpg", "3.HEIC.jpg"]


def test_a_release_that_knows_no_own_folders_gets_no_event_with_one(database: Engine) -> None:
    migrate(database, "0008")
    add_photos(database, {"1.jpg": False})
    with database.begin() as connection:
        connection.execute(text("UPDATE event SET s3_folder = 'a/'"))
    with pytest.raises(CommandError, match="folder of its own"):
        migrate(database, "0007", down=True)
