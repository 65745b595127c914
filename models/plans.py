"""The plan of a sync: which listed previews are work, decided in SQL by `s3_key`.

The listing lies in temporary tables (models/listings.py). A photo is *known* when its key and ETag
stand in the ledger as read under the same model pack; known rows are not touched. A failed photo
*rests* until its ETag changes, unless its content was never seen (what vanished is back, what was
forbidden may be allowed now) or it was requeued, which empties its ETag. All else is work: it
becomes `pending`, with the run's id and a batch number, in key order.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from models.first_batch import choose_first_size
from models.listings import Listing
from models.tallies import Tally

# A photo this very run has already stored is neither skipped nor resting: the run counts it.
# So is one that was erased while it was this run's.
_CLASSIFY = """
CREATE TEMPORARY TABLE classified ON COMMIT DROP AS
SELECT listed.*, photo.id AS photo_id,
       photo.sync_run_id IS NOT DISTINCT FROM :run AS own,
       CASE
           WHEN photo.erased_alone THEN 'erased'
           WHEN photo.id IS NULL OR photo.etag <> listed.etag THEN 'work'
           WHEN photo.status = 'failed' AND photo.reason NOT IN ('vanished', 'forbidden')
               THEN 'resting'
           WHEN photo.pack_id IS DISTINCT FROM :pack_id THEN 'work'
           WHEN photo.status IN ('indexed', 'no_face') THEN 'known'
           WHEN photo.status = 'gone' AND photo.confidence > 0 THEN 'known'
           WHEN photo.status = 'gone' AND photo.reason = 'no_face_detected' THEN 'known'
           ELSE 'work'
       END AS verdict,
       NOT EXISTS (
           SELECT FROM originals WHERE originals.s3_key = listed.original_key
       ) AS original_missing
FROM listed
LEFT JOIN photo ON photo.event_id = :event_id AND photo.s3_key = listed.s3_key
"""

_COUNT = """
SELECT count(*) AS listed,
       count(photo_id) FILTER (WHERE verdict <> 'work') AS existing,
       count(*) FILTER (WHERE verdict IN ('known', 'erased') AND NOT own) AS skipped,
       count(*) FILTER (WHERE verdict = 'resting' AND NOT own) AS resting,
       count(*) FILTER (WHERE original_missing) AS missing_originals
FROM classified
"""

_WRITE_WORK = """
INSERT INTO photo (event_id, s3_key, etag, size, image_url, original_missing, status, confidence,
                   attempts, change, sync_run_id, batch, created_at)
SELECT :event_id, s3_key, etag, size, image_url, original_missing, 'pending',
       0, 0, 'new', :run,
       :first_batch
           + (row_number() OVER (ORDER BY s3_key) - 1 + :batch_size - :first_size) / :batch_size,
       now()
FROM classified WHERE verdict = 'work'
ON CONFLICT (event_id, s3_key) DO UPDATE SET
    etag = excluded.etag, size = excluded.size, image_url = excluded.image_url,
    original_missing = excluded.original_missing, status = 'pending', reason = NULL,
    -- What is known of the old content says nothing of the new.
    confidence = 0, pack_id = NULL,
    -- A key keeps the word it was first counted by within one run.
    change = CASE WHEN photo.processed_at IS NULL THEN 'new'
                  WHEN photo.sync_run_id = excluded.sync_run_id THEN photo.change
                  ELSE 'updated' END,
    sync_run_id = excluded.sync_run_id, batch = excluded.batch
"""

# A photo that was taken away is back, unchanged.
_IS_BACK = "photo.id = classified.photo_id AND verdict = 'known' AND photo.status = 'gone'"

_RESTORE_RETURNED = f"""
UPDATE photo SET status = CASE WHEN confidence > 0 THEN 'indexed' ELSE 'no_face' END
FROM classified WHERE {_IS_BACK}
"""  # noqa: S608 (parts of this module)

_ORIGINAL_DIFFERS = """
photo.id = classified.photo_id AND photo.original_missing <> classified.original_missing
"""

_MARK_ORIGINALS = f"""
UPDATE photo SET original_missing = classified.original_missing
FROM classified WHERE {_ORIGINAL_DIFFERS}
"""  # noqa: S608 (parts of this module)

# Only below the listed prefix, and only after a listing that was not empty. What was erased by
# itself keeps that word: taken away and uploaded again it must not be read either.
_IS_GONE = """
event_id = :event_id AND starts_with(s3_key, :s3_prefix) AND status <> 'gone'
    AND NOT erased_alone
    AND EXISTS (SELECT FROM listed)
    AND NOT EXISTS (SELECT FROM listed WHERE listed.s3_key = photo.s3_key)
"""

_MARK_GONE = f"UPDATE photo SET status = 'gone' WHERE {_IS_GONE}"  # noqa: S608 (parts of this module)

_NEEDS_PLAN = f"""
SELECT EXISTS (SELECT FROM classified WHERE verdict = 'work')
    OR EXISTS (SELECT FROM photo, classified WHERE {_IS_BACK})
    OR EXISTS (SELECT FROM photo, classified WHERE {_ORIGINAL_DIFFERS})
    OR EXISTS (SELECT FROM photo WHERE {_IS_GONE})
"""  # noqa: S608 (parts of this module)


def needs_plan(session: Session, listing: Listing, *, pack_id: int) -> bool:
    """Whether a plan of the copied listing would change anything in the ledger; changes nothing."""
    values = {"event_id": listing.event_id, "s3_prefix": listing.s3_prefix}
    session.execute(text(_CLASSIFY), {**values, "pack_id": pack_id, "run": None})
    return bool(session.execute(text(_NEEDS_PLAN), values).scalar_one())


def write_plan(
    session: Session,
    listing: Listing,
    *,
    run: UUID,
    pack_id: int,
    first_batch: int,
    batch_size: int,
) -> Tally:
    """Classify the copied listing and write its work into the ledger.

    Batches are numbered from `first_batch`: one more than full ones at most, the first is small.
    """
    values: dict[str, Any] = {
        "event_id": listing.event_id,
        "s3_prefix": listing.s3_prefix,
        "run": run,
        "pack_id": pack_id,
        "first_batch": first_batch,
        "batch_size": batch_size,
    }
    session.execute(text(_CLASSIFY), values)
    counts = session.execute(text(_COUNT)).mappings().one()
    values["first_size"] = choose_first_size(
        session, first_batch=first_batch, batch_size=batch_size
    )
    session.execute(text(_RESTORE_RETURNED))
    session.execute(text(_MARK_ORIGINALS))
    gone = session.execute(text(_MARK_GONE), values).rowcount  # type: ignore[attr-defined]
    planned = session.execute(text(_WRITE_WORK), values).rowcount  # type: ignore[attr-defined]
    return Tally(**counts, gone=gone, planned=planned)
