"""The growth of Prefect's own tables, and the list of who is connected to PostgreSQL."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine, create_engine, text

PREFECT_TABLES = (
    *("flow_run", "flow_run_state", "task_run", "task_run_state", "log"),
    *("events", "event_resources", "artifact", "artifact_collection"),
)
LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Growth:
    """Rows and bytes that were added to a table, a run."""

    rows: float
    bytes: float


def open_prefect(database: Engine) -> Engine:
    """Prefect's database, beside the product's."""
    return create_engine(database.url.set(database="prefect"))


def read_growth(prefect: Engine) -> dict[str, tuple[int, int]]:
    """Rows and bytes of each of Prefect's large tables, indexes included."""
    with prefect.connect() as connection:
        return {
            table: (
                int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()),  # noqa: S608 - of the list above
                int(connection.execute(_BYTES, {"table": table}).scalar_one()),
            )
            for table in PREFECT_TABLES
        }


def compute_growth(
    before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]], runs: int
) -> dict[str, Growth]:
    """What one run of `runs` added."""
    return {
        table: Growth(
            *((now - then) / runs for now, then in zip(after[table], before[table], strict=True))
        )
        for table in after
    }


class ConnectionWatch:
    """The most connections a database had while it was watched, the watch's own left out."""

    def __init__(self) -> None:
        self.most: dict[str, int] = {}

    def look(self, database: Engine) -> None:
        """Count once."""
        with database.connect() as connection:
            for name, count in connection.execute(_CONNECTED):
                self.most[name] = max(self.most.get(name, 0), count)


@contextmanager
def watch_connections(database: Engine) -> Iterator[ConnectionWatch]:
    """Look twenty times a second until the block ends."""
    watch, over = ConnectionWatch(), threading.Event()
    own = create_engine(database.url, pool_size=1)

    def look_on() -> None:
        while not over.wait(LOOK_EVERY_S):
            watch.look(own)

    thread = threading.Thread(target=look_on)
    watch.look(own)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()
        own.dispose()


_BYTES = text("SELECT pg_total_relation_size(CAST(:table AS regclass))")
_CONNECTED = text("""
SELECT datname, count(*) FROM pg_stat_activity
WHERE datname IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'
GROUP BY datname
""")
