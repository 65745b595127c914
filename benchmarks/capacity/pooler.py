"""A trial of the product's features through PgBouncer in transaction mode.

Needs the program `pgbouncer` on PATH; the project's tests do not.
"""

import os
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, create_engine, text
from sqlmodel import Session

from benchmarks.capacity.database import Database, name_driver
from benchmarks.capacity.pgbouncer import SERVERS, open_pooler
from benchmarks.capacity.probes import make_face
from models.errors import SyncSupersededError
from models.queries.events import create_event
from models.queries.outcomes import check_epoch
from models.queries.runs import raise_epoch
from models.queries.search import FaceQuery, find_photos
from models.session import SYNC_LOCK_CLASS, get_database_engine, open_event_lock
from models.settings import get_settings

MODES = ("transaction", "session")


def measure_pooler(database: Database, console: Console) -> dict[str, float]:
    """Try each promise directly and through both modes; 1 where it holds, 0 where not."""
    with Session(database.engine) as session, session.begin():
        event_id = create_event(session, name="Свадьба").id or 0
    ways = {"direct": try_promises(database.cluster.database_url, event_id)}
    for mode in MODES:
        with open_pooler(database, mode) as url:
            ways[mode] = try_promises(url, event_id)
    table = Table("what is promised", *ways)
    for name in PROMISES:
        table.add_row(name, *(_say(found[name]) for found in ways.values()))
    console.print(table)
    return {
        f"{way}: {name}": float(holds)
        for way, found in ways.items()
        for name, holds in found.items()
    }


def _say(holds: bool) -> str:
    return "holds" if holds else "does NOT hold"


def try_promises(url: str, event_id: int) -> dict[str, bool]:
    """Each promise at this address, the product's settings pointing there meanwhile."""
    before = os.environ.get("FACEPASS_DATABASE_URL")
    os.environ["FACEPASS_DATABASE_URL"] = url
    _forget()
    engine = create_engine(name_driver(url), pool_size=5)
    try:
        return {name: holds(engine, event_id) for name, holds in PROMISES.items()}
    finally:
        engine.dispose()
        os.environ.pop("FACEPASS_DATABASE_URL")
        if before is not None:
            os.environ["FACEPASS_DATABASE_URL"] = before
        _forget()


def _forget() -> None:
    get_settings.cache_clear()
    get_database_engine.cache_clear()


def _lock_excludes(_: Engine, event_id: int) -> bool:
    """While one holds the event's lock, nobody else gets it, whatever connections are shared."""
    with open_event_lock(event_id) as first:
        taken = first.try_take()
        rivals = []
        for _rival in range(SERVERS + 1):
            with open_event_lock(event_id) as rival:
                rivals.append(rival.try_take())
    return taken and not any(rivals)


def _lock_ends(engine: Engine, event_id: int) -> bool:
    """After the block nobody holds it any more."""
    with open_event_lock(event_id) as lock:
        lock.try_take()
    with engine.connect() as connection:
        held = connection.execute(_HELD, {"lock_class": SYNC_LOCK_CLASS}).scalar_one()
        with suppress(Exception):  # what this trial left must not disturb the next
            connection.execute(text("SELECT pg_advisory_unlock_all()"))
    return int(held) == 0


def _epoch_protects(engine: Engine, event_id: int) -> bool:
    """An attempt that a newer one has overtaken stores nothing."""
    with Session(engine) as session, session.begin():
        old = raise_epoch(session, event_id)
    with Session(engine) as session, session.begin():
        raise_epoch(session, event_id)
    try:
        with Session(engine) as session, session.begin():
            check_epoch(session, event_id, old)
    except SyncSupersededError:
        return True
    return False


def _face_is_forgotten(engine: Engine, event_id: int) -> bool:
    """A search's face is gone with its transaction, on every connection that had one."""
    for number in range(2 * SERVERS):
        with Session(engine) as session, session.begin():
            face = np.asarray(make_face(number), np.float32)
            find_photos(session, FaceQuery(event_id, [1], face, 0.3), after=None, limit=5)
    left = []
    for _ in range(2 * SERVERS):
        with engine.begin() as connection:  # both statements by one connection
            if connection.execute(_TABLE).scalar_one():
                left.append(connection.execute(_FACES).scalar_one())
    return bool(left) and not any(left)


def _request_lock_works(engine: Engine, event_id: int) -> bool:
    """The API's lock of a request lives in a transaction: a second one gets it after that."""
    statement = text("SELECT pg_try_advisory_xact_lock(1, :event_id)")
    with engine.begin() as first, engine.begin() as second:
        taken = first.execute(statement, {"event_id": event_id}).scalar_one()
        refused = second.execute(statement, {"event_id": event_id}).scalar_one()
    with engine.begin() as third:
        again = third.execute(statement, {"event_id": event_id}).scalar_one()
    return bool(taken and not refused and again)


PROMISES: dict[str, Callable[[Engine, int], bool]] = {
    "the event's lock keeps a second sync out": _lock_excludes,
    "the event's lock ends with its holder": _lock_ends,
    "the epoch stops an attempt that was overtaken": _epoch_protects,
    "a request's lock (of a transaction)": _request_lock_works,
    "a search's face ends with its transaction": _face_is_forgotten,
}
_HELD = text("""
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = CAST(:lock_class AS bigint)
""")
_TABLE = text("SELECT to_regclass('pg_temp.searched_faces') IS NOT NULL")
_FACES = text("SELECT count(*) FROM pg_temp.searched_faces")
