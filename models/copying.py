"""COPY into PostgreSQL, for rows that must not be part of a statement's text.

PostgreSQL logs the text of a statement that is slow, fails or is cut off, and psycopg2 writes all
values into that text. What a binary COPY carries is in no text, error or log: vectors travel by it.
"""

import csv
import struct
from collections.abc import Iterable, Sequence
from contextlib import closing
from io import BytesIO, StringIO
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from pgvector import HalfVector
from sqlmodel import Session

# https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = struct.pack(">h", -1)


def copy_into(session: Session, statement: str, content: IO[Any]) -> None:
    """Run a `COPY … FROM STDIN` in the session's transaction. Raises psycopg2's own errors."""
    cursor: Any = session.connection().connection.cursor()
    with closing(cursor):
        cursor.copy_expert(statement, content)


def copy_text(session: Session, table: str, rows: Iterable[tuple[object, ...]]) -> None:
    """Copy rows without nulls, as text, into a table with its columns."""
    buffer = StringIO()
    # Every field quoted: an unquoted empty one would arrive as NULL.
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    buffer.seek(0)
    copy_into(session, f"COPY {table} FROM STDIN WITH (FORMAT csv)", buffer)


def encode_rows(rows: Iterable[Sequence[bytes]]) -> BytesIO:
    """Rows of values, each in its type's binary form, as COPY reads them."""
    buffer = BytesIO()
    buffer.write(_HEADER)
    for row in rows:
        buffer.write(struct.pack(">h", len(row)))
        for value in row:
            buffer.write(struct.pack(">i", len(value)))
            buffer.write(value)
    buffer.write(_END)
    buffer.seek(0)
    return buffer


def encode_values(types: str, *values: float) -> list[bytes]:
    """Numbers in binary form; types: a letter of `struct` each, such as q for bigint."""
    return [struct.pack(f">{kind}", value) for kind, value in zip(types, values, strict=True)]


def encode_vector(vector: list[float] | npt.NDArray[np.float32]) -> bytes:
    """A vector as a halfvec."""
    return HalfVector(vector).to_binary()
