"""The dead rows and the growth that embedding an event anew leaves, and the remedies tried.

Plans and stores with the product's own code; random faces stand in for the engine's. Autovacuum is
off, because one event's dead rows stay below its threshold in a table of many events. Where a
variant says so, VACUUM runs after each round, as autovacuum would with a lower threshold.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text
from sqlmodel import Session

from benchmarks.capacity.fill import name_key
from benchmarks.capacity.probes import make_face
from benchmarks.capacity.sizes import TableSize, read_sizes
from benchmarks.search.table import add_pack
from models.keys import ListedPreview, default_folder
from models.queries.events import create_event
from models.queries.outcomes import (
    FaceRecord,
    PhotoOutcome,
    list_pending_batches,
    list_pending_photos,
    store_outcomes,
)
from models.queries.plans import Listing, copy_listing, write_plan
from models.queries.runs import ensure_run

ROUNDS = 3  # times it is embedded anew, after the first sync
SLICE = 10  # photos a transaction, as in a sync
VARIANTS = {
    "as it is, no vacuum": (100, False),
    "vacuum after each round": (100, True),
    "photo's fillfactor 70, vacuum": (70, True),
}


@dataclass(frozen=True)
class Round:
    """After one sync of all photos: what the tables take, and how it went."""

    seconds: float
    photo: TableSize
    face: TableSize
    dead: int  # rows of both tables
    hot: float  # share of the ledger's updates that touched no index


def measure_rewrites(database: Engine, photos: int, console: Console) -> dict[str, float]:
    """Sync an event, then embed it anew, with each setting; the figures of the last line."""
    pack_id = add_pack(database)
    with Session(database) as session, session.begin():
        event_id = create_event(session, name="Свадьба").id or 0
    table = Table(title=f"One event of {photos:,} photos, {3 * photos:,} faces, embedded anew")
    for heading in ("setting", "after", "s", "photo MB", "face MB", "dead rows", "HOT updates"):
        table.add_column(heading, justify="left" if heading == "setting" else "right")
    figures = {}
    for name, (fillfactor, vacuums) in VARIANTS.items():
        with console.status(f"  {name}"):
            rounds = list(_rewrite(database, event_id, pack_id, photos, fillfactor, vacuums))
        _add_rows(table, name, rounds)
        growth = rounds[-1].face.total / rounds[0].face.total
        figures[f"face_growth {name}"] = round(growth, 2)
        figures[f"photo_growth {name}"] = round(rounds[-1].photo.total / rounds[0].photo.total, 2)
    console.print(table)
    return figures


def _rewrite(
    database: Engine, event_id: int, pack_id: int, photos: int, fillfactor: int, vacuums: bool
) -> Iterator[Round]:
    _execute(database, "TRUNCATE photo, face")
    _execute(database, f"ALTER TABLE photo SET (fillfactor = {fillfactor})")
    for table in ("photo", "face"):
        _execute(database, f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    for number in range(1 + ROUNDS):
        before = _count_updates(database)
        began = time.monotonic()
        _sync(database, event_id, pack_id, photos, f"etag-{number}")
        seconds = time.monotonic() - began
        after = _count_updates(database)
        photo, face = read_sizes(database, ["photo", "face"])
        updates, hot = (int(now - then) for now, then in zip(after[1:], before[1:], strict=True))
        yield Round(seconds, photo, face, int(after[0]), hot / max(updates, 1))
        if vacuums:
            _execute(database, "VACUUM photo, face")


def _sync(database: Engine, event_id: int, pack_id: int, photos: int, etag: str) -> None:
    run = uuid4()
    with Session(database) as session, session.begin():
        prefix = f"events/{event_id}/previews/"
        ensure_run(session, flow_run_id=run, event_id=event_id, s3_prefix=prefix)
        listed = [ListedPreview(name_key(event_id, i), etag, 90_000) for i in range(photos)]
        base = "https://s3.example.com/weddings"
        listing = Listing(event_id, default_folder(event_id), prefix, [listed], [], base)
        copy_listing(session, listing)
        write_plan(session, listing, run=run, pack_ids=[pack_id], first_batch=0, batch_size=100)
    with Session(database) as session:
        batches = list_pending_batches(session, run)
    for batch in batches:
        _store(database, event_id, pack_id, run, batch)


def _store(database: Engine, event_id: int, pack_id: int, run: UUID, batch: int) -> None:
    faces = [FaceRecord((0.1, 0.1, 0.2, 0.2), 0.9, make_face(batch))] * 3
    with Session(database) as session:
        found = list_pending_photos(session, run, batch)
    outcomes = [PhotoOutcome(photo.s3_key, faces, None) for photo in found]
    for first in range(0, len(outcomes), SLICE):
        part = outcomes[first : first + SLICE]
        with Session(database) as session, session.begin():
            store_outcomes(session, part, event_id=event_id, run=run, pack_id=pack_id)


def _execute(database: Engine, statement: str) -> None:
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))


def _count_updates(database: Engine) -> tuple[int, int, int]:
    """Dead rows of both tables; all updates of the ledger, and those within a page."""
    database.dispose()  # a session tells what it did when it ends
    time.sleep(0.2)
    with database.connect() as connection:
        dead, updates, hot = connection.execute(_COUNTERS).one()
    return int(dead), int(updates), int(hot)


_COUNTERS = text("""
SELECT sum(n_dead_tup), sum(n_tup_upd) FILTER (WHERE relname = 'photo'),
       sum(n_tup_hot_upd) FILTER (WHERE relname = 'photo')
FROM pg_stat_user_tables WHERE relname IN ('photo', 'face')
""")


def _add_rows(table: Table, name: str, rounds: Sequence[Round]) -> None:
    for number, one in enumerate(rounds):
        table.add_row(
            *(name if not number else "", f"round {number}" if number else "the first sync"),
            *(f"{one.seconds:.0f}", f"{one.photo.total / 1e6:.1f}"),
            *(f"{one.face.total / 1e6:.1f}", f"{one.dead:,}", f"{100 * one.hot:.0f} %"),
        )
