"""The product's tables with a million photos in them: sizes, plans, times, a dump."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text

from benchmarks.capacity.database import Database
from benchmarks.capacity.dump import measure_dump
from benchmarks.capacity.fill import Filled, fill_event
from benchmarks.capacity.queries import Timed, choose_events, measure_queries
from benchmarks.capacity.sizes import TableSize, read_sizes
from benchmarks.search.table import add_pack, analyse

SHARE_FIRST = 10  # of the small events, one of so many is there at the first look
LARGE_DIMENSION = 512


@dataclass(frozen=True)
class Sizes:
    """How much is written."""

    small: int = 3_000  # photos of an event
    events: int = 300
    large: int = 100_000  # photos of the one large event


WHOLE = Sizes()
QUICK = Sizes(small=300, events=30, large=3_000)


def measure_tables(opened: Database, sizes: Sizes, console: Console) -> dict[str, float]:
    """Fill, look, fill to ten times that, look again; the figures of the last line."""
    database = opened.engine
    pack_id = add_pack(database)
    large, events = choose_events(sizes.small, sizes.events, sizes.large)
    first = events[: max(3, len(events) // SHARE_FIRST)]
    _fill(database, first, pack_id, console)
    before = measure_queries(database, first, pack_id)
    dump = measure_dump(opened)
    dumped = sizes.small * len(first)
    console.print(
        f"{dumped:,} photos: pg_dump {dump.bytes / 1e6:,.0f} MB in {dump.dump_s:.0f} s "
        f"({dump.dump_cpu_s:.0f} s of its own processor time); "
        f"pg_restore with two jobs {dump.restore_s:.0f} s."
    )
    _fill(database, events[len(first) :], pack_id, console)
    after = measure_queries(database, events[-5:], pack_id)
    _fill(database, [large], pack_id, console)
    beside = measure_queries(database, [large], pack_id)
    console.print(_tabulate_queries(sizes, before, after, beside))
    for statement in sorted({s for timed in (*after, *beside) for s in timed.scanning}):
        console.print(f"  end to end: {statement}", markup=False)
    found = read_sizes(database)
    console.print(_tabulate_sizes(found))
    wide = _measure_wide(database, pack_id, sizes.small)
    console.print(f"A face of {LARGE_DIMENSION} numbers takes {wide:.0f} bytes, indexes included.")
    rows = {size.table: size.bytes_a_row for size in found}
    return {
        "photo_bytes": round(rows["photo"]),
        "face_128_bytes": round(rows["face"]),
        "face_512_bytes": round(wide),
        "sync_run_bytes": round(rows["sync_run"]),
        "dump_bytes_a_photo": round(dump.bytes / dumped),
        "dump_s_a_million": round(1e6 * dump.dump_s / dumped),
        "restore_s_a_million": round(1e6 * dump.restore_s / dumped),
        **{f"{_shorten(timed.name)}_ms": round(timed.ms, 2) for timed in after},
    }


def _fill(database: Engine, events: Sequence[Filled], pack_id: int, console: Console) -> None:
    photos = sum(event.photos for event in events)
    with console.status(f"  writing {photos:,} photos"):
        for event in events:
            fill_event(database, event, pack_id)
        analyse(database)


def _measure_wide(database: Engine, pack_id: int, photos: int) -> float:
    """Bytes a face, of an event whose vectors are buffalo_l's length."""
    (before,) = read_sizes(database, ["face"])
    for number in range(3):
        fill_event(database, Filled(500 + number, photos), pack_id, LARGE_DIMENSION)
    (after,) = read_sizes(database, ["face"])
    with database.begin() as connection:
        connection.execute(text("DELETE FROM event WHERE id BETWEEN 500 AND 502"))
    return (after.total - before.total) / (after.rows - before.rows)


def _shorten(name: str) -> str:
    return "_".join("".join(c if c.isalnum() else " " for c in name).split()[:4])


def _tabulate_queries(
    sizes: Sizes, before: Sequence[Timed], after: Sequence[Timed], beside: Sequence[Timed]
) -> Table:
    table = Table(title="The product's queries: EXPLAIN ANALYZE, warm, ms")
    few, many = sizes.events // SHARE_FIRST, sizes.events
    event = f"event of {sizes.small:,},"
    for heading in (
        *("query", f"{event} {few} of them", f"{event} {many} of them"),
        *(f"event of {sizes.large:,}", "pages of 8 KiB", "read by", "end to end"),
    ):
        table.add_column(heading, justify="left" if heading == "query" else "right")
    for first, then, largest in zip(before, after, beside, strict=True):
        figures = (f"{first.ms:.2f}", f"{then.ms:.2f}", f"{largest.ms:.1f}", f"{then.pages:,}")
        table.add_row(then.name, *figures, " ".join(then.indexes), " ".join(then.scanned) or "–")
    return table


def _tabulate_sizes(sizes: Sequence[TableSize]) -> Table:
    table = Table(title="On disk")
    for heading in ("table", "rows", "MB", "of them indexes", "bytes a row", "indexes, MB"):
        table.add_column(heading, justify="left" if heading == "table" else "right")
    for size in sizes:
        indexes = ", ".join(f"{name} {number / 1e6:.1f}" for name, number in size.indexes.items())
        table.add_row(
            *(size.table, f"{size.rows:,}", f"{size.total / 1e6:.1f}"),
            *(f"{sum(size.indexes.values()) / 1e6:.1f}", f"{size.bytes_a_row:.0f}", indexes),
        )
    return table
