"""Debian's own PostgreSQL with pgvector, and PgBouncer in transaction mode before it."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg2
import pytest

from api.app import create_app
from models.errors import ConfigurationError
from models.migrate import check_rights, read_heads, read_versions, upgrade_database
from models.session import Pooling, find_pooling
from tests.support.debian_postgres import DebianPostgres, find_programs, open_debian_postgres
from tests.support.event_box import EventBox
from tests.support.local_client import open_local_client
from tests.support.photos import encode_jpeg, read_sample, vary


@pytest.fixture(scope="module")
def debian() -> Iterator[DebianPostgres]:
    """Without Debian's packages these tests are skipped, except in CI: there they fail."""
    programs = find_programs()
    if isinstance(programs, str):
        if os.environ.get("CI") == "true":
            pytest.fail(programs)
        pytest.skip(programs)
    with open_debian_postgres(programs) as addresses:
        upgrade_database(addresses.direct)
        # Events of the other database have their folders in the same bucket: numbers above those.
        with closing(psycopg2.connect(addresses.direct)) as connection, connection.cursor() as rows:
            first = random.randrange(10**6, 10**9)
            rows.execute("SELECT setval(pg_get_serial_sequence('event', 'id'), %s)", (first,))
            connection.commit()
        yield addresses


def test_syncs_and_searches_work_behind_transactions(
    debian: DebianPostgres, configure: Callable[..., None]
) -> None:
    configure(database_url=debian.transactions)
    picture = read_sample("astronaut.png")
    event = EventBox()
    for index in range(3):  # the lock of each stays behind, and the next one gets past it
        event.put(f"{index}.jpg", vary(picture, index))
        assert event.sync().result["new_photos"] == 1
    assert event.face_counts() == {"0.jpg": 1, "1.jpg": 1, "2.jpg": 1}
    with open_local_client(create_app()) as client:
        for _ in range(5):  # each by whatever connection is free
            answer = client.post(
                "/api/v1/faces/search",
                data={"event_uuid": str(event.uuid)},
                files={"file": ("me.jpg", encode_jpeg(picture))},
            )
            assert answer.status_code == 200, answer.text
            assert len(answer.json()["matches"]) == 3
        assert client.get("/ready").status_code == 200


def test_the_doctors_questions_are_answered_rightly(
    debian: DebianPostgres, configure: Callable[..., None]
) -> None:
    for url, expected in (
        (debian.direct, Pooling.NONE),
        (debian.transactions, Pooling.TRANSACTIONS),
    ):
        configure(database_url=url)
        assert find_pooling() is expected
        server, vector, revision = read_versions()
        assert "Debian" in server
        assert vector is not None
        assert [revision] == read_heads()
        check_rights()


def test_an_option_that_the_pooler_does_not_take_is_a_sentence(
    debian: DebianPostgres, configure: Callable[..., None]
) -> None:
    configure(database_url=f"{debian.transactions}&options=-csearch_path%3Dpublic")
    with pytest.raises(ConfigurationError, match="option that is not taken there"):
        read_versions()
    configure(database_url=debian.transactions.replace("/facepass?", "/nothing?"))
    with pytest.raises(ConfigurationError, match="no database of this name"):
        read_versions()
