"""A real PostgreSQL that takes no changes, has no room, or lets nobody in: told in sentences."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import httpx
import pytest
from sqlalchemy import URL, create_engine, make_url, text

from api.app import create_app
from benchmarks.capacity.database import open_database
from models.errors import DatabaseRefusedError, DatabaseUnavailableError, FacePassError
from models.migrate import upgrade_database
from models.session import get_database_engine, open_event_lock, open_session
from tests.support.administrator import administrate, make_database, render, take_no_changes
from tests.support.event_box import EventBox
from tests.support.local_client import open_local_client
from tests.support.photos import encode_jpeg, read_sample

READ_ONLY = "read-only"
FULL = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE 'could not extend file: no space left on device' USING ERRCODE = '53100';
END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON event FOR EACH ROW EXECUTE FUNCTION refuse();
"""


@pytest.fixture
def own_database(joined_stack: dict[str, str]) -> Iterator[URL]:
    """A database of the test's own that is the product's role's, with its tables."""
    with make_database() as address:
        yield address


def add_event(client: httpx.Client) -> httpx.Response:
    return client.post("/api/v1/events", json={"name": "Свадьба"})


def test_a_read_only_database_is_told_and_each_caller_may_come_again(
    event: EventBox, configure: Callable[..., None]
) -> None:
    body = {"event_uuid": str(event.uuid), "s3_prefix": event.prefix}
    with take_no_changes(configure), open_local_client(create_app()) as client:
        for answer in (
            add_event(client),
            client.post("/api/v1/faces/sync-s3", json=body),
            client.post(f"/api/v1/events/{event.uuid}/previews"),
            client.delete(f"/api/v1/events/{event.uuid}/faces"),
        ):
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "15")
            assert READ_ONLY in answer.json()["detail"]
        assert client.get("/ready").status_code == 503
        assert client.get("/health").status_code == 200
        assert client.get(f"/api/v1/events/{event.uuid}").json()["event_id"] == event.id
    with open_local_client(create_app()) as client:
        assert client.get("/ready").status_code == 200
        assert add_event(client).status_code == 201


def test_a_process_goes_on_once_its_database_takes_changes_again(
    event: EventBox, configure: Callable[..., None]
) -> None:
    with take_no_changes(configure), open_local_client(create_app()) as client:
        assert client.get("/ready").status_code == 503
        assert add_event(client).status_code == 503
        # Its connections were opened before, and keep what was the default then.
        administrate("ALTER ROLE facepass RESET default_transaction_read_only")
        assert add_event(client).status_code == 201
        assert client.get("/ready").status_code == 200


def test_a_sync_waits_for_a_read_only_database_and_says_a_sentence(
    event: EventBox, configure: Callable[..., None], prefect: httpx.Client
) -> None:
    event.put("1.jpg", encode_jpeg(read_sample("astronaut.png")))
    with take_no_changes(configure):
        outcome = event.sync()
        with pytest.raises(DatabaseUnavailableError, match=READ_ONLY):
            outcome.state.result()
        message = str(outcome.state.message)
        assert READ_ONLY in message
        assert not any(word in message for word in ("UPDATE", "INSERT", "sqlalche.me", "psycopg2"))
        run = prefect.get(f"/flow_runs/{outcome.task_id}").raise_for_status().json()
        assert run["run_count"] == 4  # tried again each time
    assert event.sync().result["new_photos"] == 1


def test_a_full_disk_is_told_and_retried(own_database: URL, configure: Callable[..., None]) -> None:
    administrate(FULL, own_database.database)
    configure(database_url=render(own_database))
    with open_local_client(create_app()) as client:
        answer = add_event(client)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "15")
    assert "disk is full" in answer.json()["detail"]


def test_too_many_connections_are_an_outage_that_names_the_setting(
    own_database: URL, configure: Callable[..., None]
) -> None:
    administrate(f"ALTER DATABASE {own_database.database} CONNECTION LIMIT 1")
    configure(database_url=render(own_database))
    with (
        open_session(),  # a Session connects with its first statement
        get_database_engine().connect(),
        pytest.raises(DatabaseUnavailableError, match="max_connections"),
        open_event_lock(1),
    ):
        pass


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"username": "nobody"}, "refuses this user"),
        ({"database": "nothing"}, "no database of this name"),
        ({"database": "prefect"}, "denies this role"),  # its CONNECT is revoked
    ],
)
def test_a_server_that_lets_nobody_in_is_a_setting_of_ours(
    joined_stack: dict[str, str],
    configure: Callable[..., None],
    change: dict[str, str],
    words: str,
) -> None:
    address = make_url(joined_stack["FACEPASS_DATABASE_URL"])
    configure(database_url=render(address.set(**change)))
    for meet in (open_session_and_ask, open_and_leave_lock):
        with pytest.raises(DatabaseRefusedError, match=words):
            meet()
    with pytest.raises(DatabaseRefusedError, match=words):
        upgrade_database(os.environ["FACEPASS_DATABASE_URL"])
    with open_local_client(create_app()) as client:
        answer = add_event(client)
        assert (answer.status_code, client.get("/ready").status_code) == (503, 503)
    assert words in answer.json()["detail"]


def open_session_and_ask() -> None:
    with open_session() as session:
        session.execute(text("SELECT 1"))


def open_and_leave_lock() -> None:
    with open_event_lock(1):
        pass


def test_a_run_that_the_database_does_not_let_in_ends_at_once_with_the_sentence(
    event: EventBox, joined_stack: dict[str, str], configure: Callable[..., None]
) -> None:
    address = make_url(joined_stack["FACEPASS_DATABASE_URL"])
    for refused, words in (
        (render(address.set(username="nobody")), "refuses this user"),
        (f"{render(address)}&pgbouncer=true", "(pgbouncer)"),
    ):
        configure(database_url=refused)
        state = event.sync().state
        assert (state.type.value, state.name) == ("FAILED", "Failed")
        assert words in state.message


def test_a_wrong_password_is_known_by_its_state_in_any_language(
    monkeypatch: pytest.MonkeyPatch, configure: Callable[..., None]
) -> None:
    with open_database() as database:
        (database.cluster.data / "pg_hba.conf").write_text("local all all scram-sha-256\n")
        with database.engine.begin() as connection:
            connection.execute(text("ALTER ROLE facepass PASSWORD 'right'"))
        configure(database_url=database.cluster.database_url)
        open_session_and_ask()  # before the rules are read
        with create_engine(
            make_url(database.cluster.database_url).set(
                drivername="postgresql+psycopg2", username="postgres"
            )
        ).connect() as connection:
            connection.execute(text("SELECT pg_reload_conf(), pg_sleep(1)"))
        address = make_url(database.cluster.database_url)
        for password in ("wrong", None):
            configure(database_url=render(address.set(password=password)))
            with pytest.raises(DatabaseRefusedError, match="check the user and the password"):
                open_session_and_ask()
        configure(database_url=render(address.set(password="right")))
        open_session_and_ask()


@pytest.mark.parametrize(
    ("module", "options"), [("api", "pgbouncer=true"), ("models.migrate", "sslmode=nonsense")]
)
def test_a_program_refuses_a_wrong_option_at_its_start(
    joined_stack: dict[str, str], module: str, options: str
) -> None:
    address = joined_stack["FACEPASS_DATABASE_URL"]
    ended = subprocess.run(
        [sys.executable, "-m", module],
        env={**os.environ, "FACEPASS_DATABASE_URL": f"{address}&{options}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
    assert f"client does not take ({options.partition('=')[0]})" in ended.stderr


def test_tables_that_the_role_may_not_use_are_a_setting(
    own_database: URL, configure: Callable[..., None]
) -> None:
    administrate("REVOKE ALL ON event FROM facepass", own_database.database)
    configure(database_url=render(own_database))
    with open_local_client(create_app()) as client:
        answer = add_event(client)
    assert answer.status_code == 503
    assert "owner of its database" in answer.json()["detail"]


def test_migrating_says_what_is_wrong(own_database: URL) -> None:
    administrate(f"ALTER DATABASE {own_database.database} SET default_transaction_read_only = on")
    with pytest.raises(FacePassError, match=READ_ONLY):
        upgrade_database(render(own_database))
