"""Queries that count over all events, for /metrics. They return no names and no S3 keys."""

from dataclasses import dataclass, field

from sqlalchemy import text
from sqlmodel import Session

from models.queries.runs import REEMBED
from models.queries.webhooks import count_waiting_deliveries
from models.vocabulary import ErrorKind, PhotoStatus, SyncState

PATIENCE_MS = 5_000  # a scrape must not hold up a sync

_SYNCS = text("""
SELECT state, count(*) AS runs,
       count(*) FILTER (WHERE state IN ('retrying', 'failed') AND error_kind = :s3) AS s3,
       coalesce(sum(processed), 0) AS processed,
       coalesce(sum(processed) FILTER (WHERE result IS NOT NULL), 0) AS timed,
       coalesce(sum(CAST(result->>'seconds' AS float8)) FILTER (WHERE processed > 0), 0) AS seconds,
       coalesce(sum(CAST(result->>'skipped' AS bigint)), 0) AS skipped
FROM sync_run GROUP BY state
""")
_PHOTOS = text("SELECT status, reason, count(*) AS photos FROM photo GROUP BY status, reason")
# Without those that a change of an event's model, under way or abandoned, keeps beside the faces in
# service; the next one that is completed has deleted them. To join all faces with their photos
# would take three times as long.
_FACES = text("""
SELECT (SELECT count(*) FROM face) - (
    SELECT count(*) FROM face JOIN photo ON photo.id = face.photo_id
    WHERE face.pack_id <> photo.pack_id AND face.event_id IN (
        SELECT event_id FROM sync_run AS change
        WHERE tallies ? :reembed AND state <> 'completed' AND NOT EXISTS (
            SELECT FROM sync_run AS later
            WHERE later.event_id = change.event_id AND later.tallies ? :reembed
              AND later.state = 'completed' AND later.finished_at > change.finished_at
        )
    )
)
""")
_REQUESTS = text("""
SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)
FROM guest_request WHERE settled_at IS NULL
""")


@dataclass
class Statistics:
    """Counts over all events, as the tables hold them now."""

    syncs: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SyncState, 0))
    stopped_by_s3: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys((SyncState.RETRYING, SyncState.FAILED), 0)
    )
    photos: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PhotoStatus, 0))
    failed: dict[str, int] = field(default_factory=dict)  # by reason
    faces: int = 0
    processed: int = 0  # photos, by all syncs so far
    timed: int = 0  # those of completed syncs, whose seconds are known
    seconds: float = 0.0
    skipped: int = 0  # photos that a completed sync knew already
    deliveries_waiting: int = 0  # webhooks of ended syncs, not delivered yet
    requests_waiting: int = 0  # of guests, for a photographer to settle
    oldest_request_s: float = 0.0  # how long the oldest of them has waited

    @property
    def success_ratio(self) -> float:
        """Share of the photos with an outcome that could be read; 1.0 where there are none."""
        read = self.photos[PhotoStatus.INDEXED] + self.photos[PhotoStatus.NO_FACE]
        all_ = read + self.photos[PhotoStatus.FAILED]
        return read / all_ if all_ else 1.0


def read_statistics(session: Session) -> Statistics:
    """The statistics as they are now: five aggregates, each over one table or little more."""
    session.execute(text(f"SET LOCAL statement_timeout = {PATIENCE_MS}"))
    counts = Statistics()
    for row in session.execute(_SYNCS, {"s3": ErrorKind.S3}):
        counts.syncs[row.state] = row.runs
        if row.state in counts.stopped_by_s3:
            counts.stopped_by_s3[row.state] = row.s3
        counts.processed += int(row.processed)
        counts.timed += int(row.timed)
        counts.seconds += row.seconds
        counts.skipped += int(row.skipped)
    for status, reason, photos in session.execute(_PHOTOS):
        counts.photos[status] += photos
        if status == PhotoStatus.FAILED:
            counts.failed[reason] = photos
    counts.faces = session.execute(_FACES, {"reembed": REEMBED}).scalar_one()
    counts.deliveries_waiting = count_waiting_deliveries(session)
    requests, age_s = session.execute(_REQUESTS).one()
    counts.requests_waiting, counts.oldest_request_s = int(requests), float(age_s)
    return counts
