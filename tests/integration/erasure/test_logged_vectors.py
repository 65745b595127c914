"""The logs of PostgreSQL and Prefect after a statement with vectors was cut off: none is there."""

import logging
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prefect.logging.configuration import setup_logging
from sqlalchemy import create_engine, text

from models.queries.search import FaceQuery, find_photos, find_seeds
from models.session import open_session
from tests.support.administrator import read_admin_url
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_group, read_sample
from tests.support.waiting import wait_until

# Three numbers of a list in a row, as any text of a vector has them.
A_VECTOR = re.compile(r"-?\d(\.\d+)?(e-\d+)?, ?-?\d\.\d+(e-\d+)?, ?-?\d\.\d+")
# What PostgreSQL says of a store that is cut off, by the code of its error.
ERRORS = {
    "57014": "canceling statement due to statement timeout",
    "40P01": "deadlock detected",
    "53100": "could not extend file: No space left on device",
    "23503": "violates foreign key constraint",
    "22003": "value out of range",
}
STUMBLE = """
CREATE SEQUENCE stumbles;
CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $body$ BEGIN
    PERFORM pg_advisory_xact_lock_shared(4711);
    IF '{code}' <> '' AND nextval('stumbles') = 1 THEN
        RAISE EXCEPTION 'stumbled: {message}' USING ERRCODE = '{code}';
    END IF;
    RETURN NEW;
END $body$;
CREATE TRIGGER stumble BEFORE INSERT ON face FOR EACH ROW EXECUTE FUNCTION stumble();
"""


class LoudDatabase:
    """The stack's PostgreSQL, which logs every statement, and stumbles over faces."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._start = log.stat().st_size
        self.engine = create_engine(read_admin_url(), isolation_level="AUTOCOMMIT")

    def run(self, statements: str) -> None:
        with self.engine.connect() as connection:
            # As they are: a trigger's text has colons.
            connection.exec_driver_sql(statements.replace("%", "%%"))

    def read_log(self) -> str:
        with self._log.open("rb") as file:
            file.seek(self._start)
            return file.read().decode(errors="replace")


@pytest.fixture
def database(
    joined_stack: dict[str, str], configure: Callable[..., None]
) -> Iterator[LoudDatabase]:
    home = Path(joined_stack["PREFECT_LOCAL_STORAGE_PATH"]).parent
    database = LoudDatabase(home / "logs" / "postgres.log")
    database.run("ALTER DATABASE facepass SET log_min_duration_statement = 0")
    configure()  # new connections, which log
    yield database
    database.run("ALTER DATABASE facepass RESET log_min_duration_statement")
    database.run("DROP TRIGGER IF EXISTS stumble ON face")
    database.run("DROP FUNCTION IF EXISTS stumble; DROP SEQUENCE IF EXISTS stumbles")
    database.engine.dispose()


@pytest.fixture
def prefects_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    setup_logging()  # else the first flow does, and takes the handler away
    loggers = [logging.getLogger(name) for name in ("prefect.flow_runs", "prefect.task_runs")]
    for logger in loggers:
        logger.addHandler(caplog.handler)
    yield caplog
    for logger in loggers:
        logger.removeHandler(caplog.handler)


def find_vectors(log: str) -> list[str]:
    return [log[max(0, found.start() - 60) : found.end()] for found in A_VECTOR.finditer(log)]


def wedding(event: EventBox) -> EventBox:
    event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))
    event.put("b.jpg", encode_jpeg(read_group()))
    return event


def reembed(event: EventBox) -> Any:
    from flows.reembed_event import reembed_event

    return reembed_event(event.id, None, "groups", return_state=True)


def cut_off(database: LoudDatabase) -> None:
    """End the backend that is in the middle of storing faces."""
    storing = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE wait_event = 'advisory' AND query ~ 'face' AND pid <> pg_backend_pid()
    """
    with database.engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(4711)"))
        wait_until(lambda: connection.execute(text(storing)).scalar_one())
        connection.execute(text("SELECT pg_advisory_unlock(4711)"))


@pytest.mark.parametrize("code", ERRORS)
def test_a_store_that_fails_writes_no_vector_into_a_log(
    event: EventBox, database: LoudDatabase, prefects_log: pytest.LogCaptureFixture, code: str
) -> None:
    wedding(event)
    database.run(STUMBLE.format(code=code, message=ERRORS[code]))

    result = event.sync().result

    assert result["faces_found"] == 7
    assert f"stumbled: {ERRORS[code]}" in database.read_log()
    assert "stumbled" in prefects_log.text or "The database" in prefects_log.text
    assert find_vectors(database.read_log()) == find_vectors(prefects_log.text) == []


@pytest.mark.parametrize("work", [EventBox.sync, reembed])
def test_a_store_whose_connection_is_ended_writes_no_vector_into_a_log(
    event: EventBox,
    database: LoudDatabase,
    prefects_log: pytest.LogCaptureFixture,
    work: Callable[[EventBox], Any],
) -> None:
    wedding(event)
    if work is reembed:
        event.sync()
    database.run(STUMBLE.format(code="", message=""))

    with ThreadPoolExecutor(1) as threads:
        cutting = threads.submit(cut_off, database)
        work(event)
        cutting.result()

    assert sum(event.face_counts().values()) >= 7
    assert "terminating connection due to administrator command" in database.read_log()
    assert find_vectors(database.read_log()) == find_vectors(prefects_log.text) == []


def test_a_guests_search_writes_no_vector_into_a_log(
    event: EventBox, database: LoudDatabase
) -> None:
    wedding(event).sync()
    (face,) = event.query(
        "SELECT face.pack_id, embedding::text AS embedding FROM face JOIN photo"
        " ON photo.id = photo_id WHERE face.event_id = :event AND s3_key LIKE '%a.jpg'"
    )
    vector = [float(number) for number in face.embedding.strip("[]").split(",")]
    import numpy as np

    query = FaceQuery(event.id, [face.pack_id], np.asarray(vector, np.float32), 0.9)
    query = replace(query, seed_similarity=0.5)
    for _ in range(2):  # the second by the same connection
        with open_session() as session:
            seeds = find_seeds(session, query)
            expanded = replace(query, seeds=seeds)
            (found,) = find_photos(session, expanded, after=None, limit=5)

    assert len(seeds) == 1
    assert found.s3_key.endswith("a.jpg")
    log = database.read_log()
    for statement in ("SELECT id FROM best", "UPDATE searched_faces", "original_missing, distance"):
        assert statement in log
    assert find_vectors(database.read_log()) == []


def test_values_bound_apart_are_left_out_of_the_embedded_servers_log(event: EventBox) -> None:
    names = ("log_parameter_max_length", "log_parameter_max_length_on_error")
    assert [event.query(f"SHOW {name}")[0][0] for name in names] == ["0", "0"]
