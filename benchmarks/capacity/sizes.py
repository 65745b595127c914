"""Bytes of a table's row, with its indexes, before and after an event is rewritten."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, text

TABLES = ("event", "sync_run", "photo", "face")


@dataclass(frozen=True)
class TableSize:
    """Bytes of a table and of its indexes, live and dead rows as PostgreSQL counts them."""

    table: str
    rows: int
    bytes: int
    indexes: dict[str, int]

    @property
    def total(self) -> int:
        """Bytes of all of it."""
        return self.bytes + sum(self.indexes.values())

    @property
    def bytes_a_row(self) -> float:
        """Of the table and its indexes together."""
        return self.total / self.rows if self.rows else 0.0


def read_sizes(database: Engine, tables: Sequence[str] = TABLES) -> list[TableSize]:
    """Sizes as they are on disk now. A row's count is exact, so this reads each table once."""
    sizes = []
    with database.connect() as connection:
        for table in tables:
            rows = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608 - a name of TABLES
            own = connection.execute(_OWN, {"table": table}).scalar_one()
            indexes = {
                row.name: int(row.bytes) for row in connection.execute(_INDEXES, {"table": table})
            }
            sizes.append(TableSize(table, int(rows), int(own), indexes))
    return sizes


_OWN = text("SELECT pg_table_size(CAST(:table AS regclass))")
_INDEXES = text("""
SELECT indexrelid::regclass::text AS name, pg_relation_size(indexrelid) AS bytes
FROM pg_index WHERE indrelid = CAST(:table AS regclass) ORDER BY 1
""")
