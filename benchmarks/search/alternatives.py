"""Alternatives to the exact search: parallel scans, partitions, HNSW; on the same faces."""

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from pgvector import HalfVector
from sqlalchemy import Connection, Engine, text

from benchmarks.search.queries import LOWEST, TOP, Search, Timing, measure
from benchmarks.search.table import DIMENSION, Floats

PARTITIONS = 16
_COLUMNS = "id, photo_id, event_id, pack_id, embedding"
# A plain scan of one event in any table, best face a photo; without the join, so that the tables
# are compared and nothing else.
_SCAN = """
WITH near AS MATERIALIZED (
    SELECT photo_id, embedding <#> CAST(:face AS halfvec) AS distance FROM {table}
    WHERE event_id = :event AND pack_id = :pack
      AND embedding <#> CAST(:face AS halfvec) <= :limit
)
SELECT photo_id FROM near GROUP BY photo_id ORDER BY min(distance), photo_id LIMIT :top
"""
# The index gives faces; three times as many as photos are asked for, three being a photo's faces.
_BY_INDEX = """
WITH near AS MATERIALIZED (
    SELECT photo_id, embedding <#> CAST(:face AS halfvec({dimension})) AS distance FROM {table}
    WHERE event_id = :event
    ORDER BY embedding <#> CAST(:face AS halfvec({dimension})) LIMIT :faces
)
SELECT photo_id FROM near GROUP BY photo_id ORDER BY min(distance), photo_id LIMIT :top
"""


def measure_alternatives(
    database: Engine,
    pack_id: int,
    events: Sequence[int],
    faces: int,
    rounds: int,
    report: Callable[[str], None],
) -> Iterator[tuple[str, Timing]]:
    """Each alternative's name and timing."""

    def run(name: str, prepare: Sequence[str], query: str) -> tuple[str, Timing]:
        return name, measure(_search(database, prepare, query, pack_id), events, faces, rounds)

    alone = ["SET LOCAL jit = off", "SET LOCAL max_parallel_workers_per_gather = 0"]
    yield run("btree on the event, scan alone", alone, _SCAN.format(table="face"))
    parallel = [
        *("SET LOCAL jit = off", "SET LOCAL max_parallel_workers_per_gather = 2"),
        *("SET LOCAL parallel_setup_cost = 0", "SET LOCAL parallel_tuple_cost = 0"),
        *("SET LOCAL min_parallel_table_scan_size = 0", "SET LOCAL enable_indexscan = off"),
    ]
    yield run("the same, two parallel workers", parallel, _SCAN.format(table="face"))
    _time(report, "partitions by hash of the event", lambda: _partition(database, pack_id))
    yield run(f"{PARTITIONS} partitions by event", alone, _SCAN.format(table="bench_parted"))
    some = events[: max(1, 100_000 // faces)]
    _time(report, f"HNSW over {len(some) * faces:,} faces", lambda: _build_hnsw(database, some))
    query = _BY_INDEX.format(table="bench_hnsw", dimension=DIMENSION)
    for width in (100, 400):
        prepare = [
            "SET LOCAL hnsw.iterative_scan = strict_order",
            f"SET LOCAL hnsw.ef_search = {width}",
            *("SET LOCAL enable_seqscan = off", "SET LOCAL enable_sort = off"),
        ]
        search = _search(database, prepare, query, pack_id)
        name = f"HNSW, {len(some)} events, iterative, ef_search {width}"
        yield name, measure(search, some, faces, min(rounds, 40))


def _search(database: Engine, prepare: Sequence[str], query: str, pack_id: int) -> Search:
    def search(event_id: int, face: Floats) -> Sequence[int]:
        values = {
            "event": event_id, "pack": pack_id, "face": HalfVector(face).to_text(),
            "limit": -LOWEST, "top": TOP, "faces": 3 * TOP,
        }  # fmt: skip
        with database.begin() as connection:
            connection.execute(text("; ".join(prepare)))
            return [row.photo_id for row in connection.execute(text(query), values)]

    return search


def _time(report: Callable[[str], None], name: str, build: Callable[[], None]) -> None:
    began = time.perf_counter()
    build()
    report(f"Built {name} in {time.perf_counter() - began:.0f} s")


def _partition(database: Engine, pack_id: int) -> None:
    with database.begin() as connection:
        _execute(
            connection,
            "CREATE TABLE bench_parted (id bigint, photo_id bigint, event_id int,"
            f" pack_id smallint, embedding halfvec({DIMENSION})) PARTITION BY HASH (event_id)",
            *(
                f"CREATE UNLOGGED TABLE bench_part_{number} PARTITION OF bench_parted"
                f" FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number})"
                for number in range(PARTITIONS)
            ),
            *(
                f"ALTER TABLE bench_part_{number} ALTER embedding SET STORAGE PLAIN"
                for number in range(PARTITIONS)
            ),
            f"INSERT INTO bench_parted SELECT {_COLUMNS} FROM face"  # noqa: S608 (constants)
            f" WHERE pack_id = {pack_id}",
            "CREATE INDEX ON bench_parted (event_id, pack_id)",
            "ANALYZE bench_parted",
        )


def _build_hnsw(database: Engine, events: Sequence[int]) -> None:
    chosen = ", ".join(map(str, np.asarray(events).tolist()))
    with database.begin() as connection:
        _execute(
            connection,
            "CREATE UNLOGGED TABLE bench_hnsw (id bigint, photo_id bigint, event_id int,"
            f" pack_id smallint, embedding halfvec({DIMENSION}))",
            "ALTER TABLE bench_hnsw ALTER embedding SET STORAGE PLAIN",
            f"INSERT INTO bench_hnsw SELECT {_COLUMNS} FROM face"  # noqa: S608 (constants)
            f" WHERE event_id IN ({chosen})",
            "SET LOCAL maintenance_work_mem = '512MB'",
            "SET LOCAL max_parallel_maintenance_workers = 1",
            "CREATE INDEX ON bench_hnsw USING hnsw (embedding halfvec_ip_ops)",
            "ANALYZE bench_hnsw",
        )


def _execute(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.execute(text(statement))
