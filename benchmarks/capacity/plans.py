"""PostgreSQL's plans for the product's own statements, with the time each takes.

The product's functions run as they are; each statement is explained just before it runs.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPICursor

# What changes rows is undone after it was explained; what has no plan is left alone.
_PLANNED = ("SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "CREATE TEMPORARY TABLE CLASSIFIED")
_LARGE = ("photo", "face")
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Look:
    """One statement: its plan's and its run's milliseconds, 8 KiB pages, and what was read how."""

    statement: str
    ms: float
    pages: int
    indexes: tuple[str, ...]
    scanned: tuple[str, ...]  # large tables that were read from end to end


@contextmanager
def watch_plans(database: Engine) -> Iterator[list[Look]]:
    """Explain what runs on `database` within the block; one look a statement, in order."""
    looks: list[Look] = []

    def explain(  # as SQLAlchemy calls it
        _: object, cursor: DBAPICursor, statement: str, values: Values, *_others: object
    ) -> None:
        is_one = ";" not in statement
        if is_one and " ".join(statement.split()).upper().startswith(_PLANNED):
            looks.append(_explain(cursor, statement, values))

    event.listen(database, "before_cursor_execute", explain)
    try:
        yield looks
    finally:
        event.remove(database, "before_cursor_execute", explain)


def _explain(cursor: DBAPICursor, statement: str, values: Values) -> Look:
    cursor.execute("SAVEPOINT look")
    cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {statement}", values)
    ((explained,),) = cursor.fetchall()[0]
    cursor.execute("ROLLBACK TO SAVEPOINT look")
    return read_plan(statement, explained)


def read_plan(statement: str, explained: dict[str, Any]) -> Look:
    """The look that EXPLAIN's JSON amounts to."""
    top = explained["Plan"]
    nodes = list(_walk(top))
    return Look(
        statement=" ".join(statement.split()),
        ms=explained["Planning Time"] + explained["Execution Time"],
        pages=top["Shared Hit Blocks"] + top["Shared Read Blocks"],
        indexes=tuple(sorted({node["Index Name"] for node in nodes if "Index Name" in node})),
        scanned=tuple(
            sorted(
                node["Relation Name"]
                for node in nodes
                if node["Node Type"] == "Seq Scan" and node["Relation Name"] in _LARGE
            )
        ),
    )


def _walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _walk(child)
