"""What a run amounts to: counted in the ledger, so exact after any number of retries."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, text
from sqlmodel import Session, col, select

from models.reembeds import CHANGE
from models.tables import Face, Photo, PhotoStatus, SyncRun

_COUNT_RUN = text("""
SELECT count(*) FILTER (WHERE change = 'new' AND status IN ('indexed', 'no_face')) AS new_photos,
       count(*) FILTER (WHERE change = 'updated' AND status IN ('indexed', 'no_face')) AS updated,
       count(*) FILTER (WHERE status = 'failed') AS failed,
       count(*) FILTER (WHERE status = 'no_face') AS no_face,
       count(*) FILTER (WHERE status = 'erased') AS erased,
       count(*) FILTER (WHERE status = 'pending') AS pending
FROM photo WHERE sync_run_id = :run
""")


def count_run(session: Session, run: UUID) -> dict[str, int]:
    """What the ledger says of a run's photos; exact after any number of retries."""
    counts: dict[str, Any] = dict(session.execute(_COUNT_RUN, {"run": run}).mappings().one())
    faces = (
        select(func.count())
        .select_from(Face)
        .join(Photo, col(Face.photo_id) == Photo.id)
        .where(Photo.sync_run_id == run, Face.pack_id == Photo.pack_id)
    )
    return {**counts, "faces_found": session.exec(faces).one()}


def count_progress(session: Session, run: SyncRun) -> tuple[int, int]:
    """Photos accounted for and photos found so far; exact, since the ledger itself is counted.

    A change of the event's model keeps count in its record: the ledger shows nothing of it yet.
    """
    if (change := run.tallies.get(CHANGE)) is not None:
        return run.processed, change["photos"]
    query = select(
        func.count(), func.count().filter(col(Photo.status) == PhotoStatus.PENDING)
    ).where(Photo.sync_run_id == run.flow_run_id)
    work, pending = session.exec(query).one()
    resting = sum(tally["skipped"] + tally["resting"] for tally in run.tallies.values())
    total = resting + work
    return total - pending, total
