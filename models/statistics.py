"""Figures of the whole installation, for its operator: a few bulk queries, no event's name."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from models.tables import PhotoStatus, SyncState

# A look must never hold up the work: better none than a slow one.
_BOUND = text("SET LOCAL statement_timeout = '5s'")

_RUNS = text("""
SELECT state, count(*) AS syncs, sum(processed) AS processed, sum(s3_errors) AS s3_errors,
       sum((result->>'skipped')::bigint) AS skipped,
       sum((result->>'seconds')::float8) AS seconds
FROM sync_run GROUP BY state
""")

# Of the latest syncs that read anything: what an operator compares with yesterday.
_PACE = text("""
SELECT sum(seconds) / nullif(sum(read), 0) FROM (
    SELECT (result->>'seconds')::float8 AS seconds,
           (result->>'new_photos')::bigint + (result->>'updated')::bigint AS read
    FROM sync_run
    WHERE state = 'completed'
      AND (result->>'new_photos')::bigint + (result->>'updated')::bigint > 0
    ORDER BY finished_at DESC LIMIT 50) AS latest
""")

_PHOTOS = text("SELECT status, count(*) FROM photo GROUP BY status")
_FACES = text("SELECT count(*) FROM face")


@dataclass(frozen=True)
class Statistics:
    """Syncs by state and photos by status hold every value, those without any as 0."""

    syncs: dict[SyncState, int]
    photos: dict[PhotoStatus, int]
    faces: int
    processed: int  # photos that syncs have read
    skipped: int  # photos that finished syncs found known
    sync_seconds: float  # of finished syncs
    s3_errors: int  # attempts that failed because of S3
    seconds_per_photo: float | None  # of the latest syncs; None before the first


def read_statistics(session: Session) -> Statistics:
    """Read all figures in one transaction; each query takes five seconds at most."""
    session.execute(_BOUND)
    runs = list(session.execute(_RUNS).mappings())
    photos: dict[str, int] = dict(session.execute(_PHOTOS).tuples().all())
    by_state = {row["state"]: row["syncs"] for row in runs}

    def total(name: str) -> Any:  # noqa: ANN401 (a number of either kind)
        return sum(row[name] or 0 for row in runs)

    return Statistics(
        syncs={state: by_state.get(state, 0) for state in SyncState},
        photos={status: photos.get(status, 0) for status in PhotoStatus},
        faces=session.execute(_FACES).scalar_one(),
        processed=int(total("processed")),
        skipped=int(total("skipped")),
        sync_seconds=float(total("seconds")),
        s3_errors=int(total("s3_errors")),
        seconds_per_photo=session.execute(_PACE).scalar_one_or_none(),
    )
