"""A listing of S3 as the database sees it: in temporary tables, for one transaction.

It is streamed with COPY, so memory stays flat however many keys there are.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import StringIO
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from models.prefixes import build_image_url, derive_original_key
from models.session import IDLE_LIMIT_MS


@dataclass(frozen=True)
class ListedPreview:
    """One preview as S3 lists it."""

    s3_key: str
    etag: str
    size: int
    modified: datetime | None = None


@dataclass(frozen=True)
class Listing:
    """What a plan is made for: `previews` and `originals` arrive page by page."""

    event_id: int
    s3_prefix: str
    previews: Iterable[Sequence[ListedPreview]]
    originals: Iterable[Sequence[str]]
    image_base_url: str  # {endpoint}/{bucket}


# Between two pages S3 is waited for, as long as its own limits allow; nothing is locked yet.
_TABLES = """
SET LOCAL idle_in_transaction_session_timeout = 0;
CREATE TEMPORARY TABLE listed (
    s3_key text COLLATE "C", etag text, size bigint, original_key text COLLATE "C", image_url text
) ON COMMIT DROP;
CREATE TEMPORARY TABLE originals (s3_key text COLLATE "C") ON COMMIT DROP;
"""

# Bytes that are no text arrive as U+FFFD each: two such keys may have become one.
_SETTLE_COPIED = f"""
SET LOCAL idle_in_transaction_session_timeout = {IDLE_LIMIT_MS};
DELETE FROM listed WHERE ctid IN (SELECT ctid FROM (
    SELECT ctid, row_number() OVER (PARTITION BY s3_key) AS copy FROM listed
    WHERE strpos(s3_key, chr(65533)) > 0) AS mangled WHERE copy > 1);
ANALYZE listed; ANALYZE originals
"""  # noqa: S608 (a number)


def copy_listing(session: Session, listing: Listing) -> None:
    """Stream a listing into this transaction's temporary tables."""
    session.execute(text(_TABLES))
    for page in listing.previews:
        rows = (
            (p.s3_key, p.etag, p.size, original, build_image_url(listing.image_base_url, original))
            for p in page
            for original in [derive_original_key(p.s3_key, listing.event_id)]
        )
        _copy_rows(session, "listed", rows)
    for keys in listing.originals:
        _copy_rows(session, "originals", ((key,) for key in keys))
    session.execute(text(_SETTLE_COPIED))


def _copy_rows(session: Session, table: str, rows: Iterable[tuple[object, ...]]) -> None:
    buffer = StringIO()
    # Every field quoted: an unquoted empty one would arrive as NULL.
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    buffer.seek(0)
    cursor: Any = session.connection().connection.cursor()
    cursor.copy_expert(f"COPY {table} FROM STDIN WITH (FORMAT csv)", buffer)
    cursor.close()
