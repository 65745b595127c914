"""The plan of a sync: SQL queries that decide by `s3_key` which listed previews need work.

A listing is streamed into temporary tables and compared with the photo table (the ledger). Photos
that need work become `pending`, with the run's id and a batch number.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlmodel import Session

from models.copying import copy_text
from models.keys import (
    MATCHED_FIRST,
    ListedPreview,
    build_image_url,
    build_sort_name,
    derive_namesake,
    derive_original_key,
    derive_originals_prefix,
    fold_key,
    rank_original,
)
from models.session import IDLE_LIMIT_MS

FIRST_BATCH_SIZE = 8  # photos: about a second's work on two cores


@dataclass(frozen=True)
class Listing:
    """What a plan is made for: `previews` and `originals` arrive page by page.

    `ignored`: files beside the previews, by kind; it grows as these arrive.
    """

    event_id: int
    folder: str  # the event's in S3
    s3_prefix: str
    previews: Iterable[Sequence[ListedPreview]]
    originals: Iterable[Sequence[str]]
    image_base_url: str  # {endpoint}/{bucket}
    ignored: Counter[str] = field(default_factory=Counter)


# Between two pages S3 is waited for, as long as its own limits allow; nothing is locked yet.
_TABLES = """
SET LOCAL idle_in_transaction_session_timeout = 0;
CREATE TEMPORARY TABLE listed (
    s3_key text COLLATE "C", etag text, size bigint, derived_key text COLLATE "C", image_url text,
    namesake text COLLATE "C", folded text COLLATE "C", sort_name text COLLATE "C",
    original_key text COLLATE "C"
) ON COMMIT DROP;
CREATE TEMPORARY TABLE originals (
    s3_key text COLLATE "C", image_url text, folded text COLLATE "C", rank smallint
) ON COMMIT DROP;
"""

_LISTED = "listed (s3_key, etag, size, derived_key, image_url, namesake, folded, sort_name)"
# S3 may list a key twice, where it is overwritten meanwhile: the last of its ETags is the newest.
# And bytes that are no text arrive as U+FFFD each: two such keys may have become one.
_SETTLE_COPIED = f"""
SET LOCAL idle_in_transaction_session_timeout = {IDLE_LIMIT_MS};
DELETE FROM listed WHERE ctid IN (SELECT ctid FROM (
    SELECT ctid, row_number() OVER (PARTITION BY s3_key ORDER BY ctid DESC) AS copy FROM listed
    WHERE s3_key IN (SELECT s3_key FROM listed GROUP BY s3_key HAVING count(*) > 1)
) AS copies WHERE copy > 1);
ANALYZE listed; ANALYZE originals
"""  # noqa: S608 (a number)

# A preview's original is the one of exactly its name, unless another preview's name leads there:
# then, or where there is none, the one that its own name leads to.
_TAKE_NAMESAKES = """
UPDATE listed SET original_key = originals.s3_key, image_url = originals.image_url
FROM originals
WHERE originals.s3_key = listed.namesake AND listed.namesake <> listed.derived_key
  AND NOT EXISTS (SELECT FROM listed AS other WHERE other.derived_key = listed.namesake)
"""
# Where neither is there (`lone`), it is the one of the originals left over (`spare`) that is called
# so in another Unicode form or case, else one of which the preview's name is the whole name and a
# suffix, else one of the same stem; each only where there is one of them, of the first kind of
# MATCHED_FIRST, and one preview.
_LONE = """
listed.original_key IS NULL
AND NOT EXISTS (SELECT FROM originals WHERE originals.s3_key = listed.derived_key)
"""
_HAS_LONE = f"SELECT EXISTS (SELECT FROM listed WHERE {_LONE})"  # noqa: S608 (parts of this module)
_STEM = r"regexp_replace(folded, '\.[^./]*$', '')"
_WAYS = (("folded", "folded"), (_STEM, "folded"), (_STEM, _STEM))
_MATCH = """
WITH spare AS (
    SELECT s3_key, {original} AS word, rank() OVER (PARTITION BY {original} ORDER BY rank) AS place
    FROM originals
    WHERE rank < {pictures}
      AND NOT EXISTS (SELECT FROM listed WHERE listed.derived_key = originals.s3_key
                                           AND listed.original_key IS NULL)
      AND NOT EXISTS (SELECT FROM listed WHERE listed.original_key = originals.s3_key)
), pair AS (
    SELECT min(lone.s3_key) AS s3_key, min(spare.s3_key) AS original_key
    FROM (SELECT s3_key, {preview} AS word FROM listed WHERE {lone}) AS lone JOIN spare USING (word)
    WHERE place = 1 GROUP BY word
    HAVING (min(lone.s3_key), min(spare.s3_key)) = (max(lone.s3_key), max(spare.s3_key))
)
UPDATE listed SET original_key = originals.s3_key, image_url = originals.image_url
FROM pair JOIN originals ON originals.s3_key = pair.original_key WHERE listed.s3_key = pair.s3_key
"""
# The originals of a part of the previews are listed in part too: what was found elsewhere stays.
_KEEP_OTHERS = f"""
UPDATE listed SET original_key = photo.original_key, image_url = photo.image_url
FROM photo WHERE photo.event_id = :event_id AND photo.s3_key = listed.s3_key
  AND NOT starts_with(photo.original_key, :originals_prefix) AND {_LONE}
"""  # noqa: S608 (parts of this module)
# A prefix that ends in a name lists a part of a folder's photos: the others compete for originals.
_RIVALS = text("""
SELECT s3_key FROM photo
WHERE event_id = :event_id AND starts_with(s3_key, :rivals_prefix) AND status <> 'gone'
  AND NOT starts_with(s3_key, :s3_prefix) AND (original_missing OR original_key IS NOT NULL)
""")
_KEEP_RIVALS = text("""
UPDATE listed SET original_key = photo.original_key
FROM photo WHERE photo.event_id = :event_id AND photo.s3_key = listed.s3_key
  AND NOT starts_with(listed.s3_key, :s3_prefix)
""")
_REMOVE_RIVALS = text("DELETE FROM listed WHERE NOT starts_with(s3_key, :s3_prefix)")


def copy_listing(session: Session, listing: Listing) -> None:
    """Stream a listing into this transaction's temporary tables, and match its originals."""
    session.execute(text(_TABLES))
    for page in listing.previews:
        _copy_previews(session, listing, page)
    for keys in listing.originals:
        originals = (
            (key, build_image_url(listing.image_base_url, key), fold_key(key), rank_original(key))
            for key in keys
        )
        copy_text(session, "originals", originals)
    session.execute(text(_SETTLE_COPIED))
    _match_originals(session, listing)


def _copy_previews(session: Session, listing: Listing, page: Iterable[ListedPreview]) -> None:
    base_url, folder = listing.image_base_url, listing.folder
    rows = (
        (
            *(p.s3_key, p.etag, p.size, derived, build_image_url(base_url, derived)),
            *(namesake, fold_key(namesake), build_sort_name(p.s3_key)),
        )
        for p in page
        for derived in [derive_original_key(p.s3_key, folder)]
        for namesake in [derive_namesake(p.s3_key, folder)]
    )
    copy_text(session, _LISTED, rows)


def _match_originals(session: Session, listing: Listing) -> None:
    """Find the originals that are called otherwise than their previews' names say."""
    session.execute(text(_TAKE_NAMESAKES))
    if not session.execute(text(_HAS_LONE)).scalar_one():
        return
    prefix = derive_originals_prefix(listing.s3_prefix, listing.folder)
    values = {"event_id": listing.event_id, "s3_prefix": listing.s3_prefix}
    if not listing.s3_prefix.endswith("/"):
        _add_rivals(session, listing)
    for preview, original in _WAYS:
        statement = _MATCH.format(
            preview=preview, original=original, lone=_LONE, pictures=len(MATCHED_FIRST)
        )
        session.execute(text(statement))
    session.execute(_REMOVE_RIVALS, values)
    session.execute(text(_KEEP_OTHERS), {**values, "originals_prefix": prefix})


def _add_rivals(session: Session, listing: Listing) -> None:
    """List the photos beside a part of a folder's that a listing of the whole would match too."""
    rivals_prefix = listing.s3_prefix.rpartition("/")[0] + "/"
    values = {"event_id": listing.event_id, "s3_prefix": listing.s3_prefix}
    keys = list(session.scalars(_RIVALS, {**values, "rivals_prefix": rivals_prefix}))
    _copy_previews(session, listing, [ListedPreview(key, "", 0) for key in keys])
    session.execute(_KEEP_RIVALS, values)


@dataclass(frozen=True)
class Tally:
    """Counts of one listing's photos that needed no work, and of the work it made."""

    listed: int
    existing: int  # known before this run
    skipped: int
    resting: int
    gone: int
    missing_originals: int
    planned: int
    ignored: dict[str, int] = field(default_factory=dict)  # files that are no photos, by kind


def merge_tallies(
    tallies: dict[str, dict[str, Any]], s3_prefix: str, tally: Tally
) -> dict[str, dict[str, Any]]:
    """The run's counts with a new listing's in the place of those it covers."""
    kept = {known: counts for known, counts in tallies.items() if not known.startswith(s3_prefix)}
    return {**kept, s3_prefix: asdict(tally)}


def widen_prefix(tallies: dict[str, dict[str, Any]], s3_prefix: str) -> str:
    """The prefix to list for a request: one already listed that contains it, or itself."""
    return next((known for known in tallies if s3_prefix.startswith(known)), s3_prefix)


# A photo is *known* when its key and ETag stand in the ledger as read under a pack with comparable
# vectors; it is not read again. A failed photo *rests* until its ETag changes, unless its content
# was never seen (what vanished may be back, what was forbidden allowed, what was archived restored)
# or it was requeued, which empties its ETag. A photo that was *erased* by itself is left alone. All
# else is *work*: it becomes `pending`, with the run's id and a batch number, in key order.
# A photo this very run has already stored is neither skipped nor resting: the run counts it.
# So is one that was erased while it was this run's.
_CLASSIFY = """
CREATE TEMPORARY TABLE classified ON COMMIT DROP AS
SELECT listed.*, photo.id AS photo_id,
       photo.sync_run_id IS NOT DISTINCT FROM :run AS own,
       CASE
           WHEN photo.erased_alone THEN 'erased'
           WHEN photo.id IS NULL OR photo.etag <> listed.etag THEN 'work'
           WHEN photo.status = 'failed'
               AND photo.reason NOT IN ('vanished', 'forbidden', 'archived') THEN 'resting'
           WHEN photo.pack_id IS NULL THEN 'work'
           WHEN photo.pack_id <> ALL(CAST(:pack_ids AS smallint[])) THEN 'work'
           WHEN photo.status IN ('indexed', 'no_face') THEN 'known'
           WHEN photo.status = 'gone' AND photo.confidence > 0 THEN 'known'
           WHEN photo.status = 'gone' AND photo.reason = 'no_face_detected' THEN 'known'
           ELSE 'work'
       END AS verdict,
       listed.original_key IS NULL AND NOT EXISTS (
           SELECT FROM originals WHERE originals.s3_key = listed.derived_key
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

# What a dead run left is cut as it was: what that run had embedded is found in the cache.
_MEASURE = """
SELECT count(*) FROM classified JOIN photo ON photo.id = classified.photo_id
WHERE verdict = 'work' AND photo.status = 'pending'
GROUP BY photo.batch ORDER BY photo.batch LIMIT 1
"""

_WRITE_WORK = """
INSERT INTO photo (event_id, s3_key, etag, size, image_url, sort_name, original_key,
                   original_missing, status, confidence, attempts, change, sync_run_id, batch,
                   created_at)
SELECT :event_id, s3_key, etag, size, image_url, sort_name, original_key, original_missing,
       'pending',
       0, 0, 'new', :run,
       :first_batch
           + (row_number() OVER (ORDER BY s3_key) - 1 + :batch_size - :first_size) / :batch_size,
       now()
FROM classified WHERE verdict = 'work'
ON CONFLICT (event_id, s3_key) DO UPDATE SET
    etag = excluded.etag, size = excluded.size, image_url = excluded.image_url,
    sort_name = excluded.sort_name,
    original_key = excluded.original_key, original_missing = excluded.original_missing,
    status = 'pending', reason = NULL,
    -- What is known of the old content says nothing of the new.
    confidence = 0, turned = 0, pack_id = NULL,
    -- A key keeps the word it was first counted by within one run.
    change = CASE WHEN photo.processed_at IS NULL THEN 'new'
                  WHEN photo.sync_run_id = excluded.sync_run_id THEN photo.change
                  ELSE 'updated' END,
    changes = CASE WHEN photo.sync_run_id = excluded.sync_run_id THEN photo.changes ELSE 0 END,
    sync_run_id = excluded.sync_run_id, batch = excluded.batch
"""

# A photo that was taken away is back, unchanged.
_IS_BACK = "photo.id = classified.photo_id AND verdict = 'known' AND photo.status = 'gone'"

_RESTORE_RETURNED = f"""
UPDATE photo SET status = CASE WHEN confidence > 0 THEN 'indexed' ELSE 'no_face' END
FROM classified WHERE {_IS_BACK}
"""  # noqa: S608 (parts of this module)

# A worker of another release may have written neither name.
_NAMES_DIFFER = """
photo.id = classified.photo_id
    AND (photo.original_missing, photo.original_key, photo.image_url, photo.sort_name)
        IS DISTINCT FROM (classified.original_missing, classified.original_key,
                          classified.image_url, classified.sort_name)
"""

_MARK_NAMES = f"""
UPDATE photo SET image_url = classified.image_url, original_key = classified.original_key,
       original_missing = classified.original_missing, sort_name = classified.sort_name
FROM classified WHERE {_NAMES_DIFFER}
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
    OR EXISTS (SELECT FROM photo, classified WHERE {_NAMES_DIFFER})
    OR EXISTS (SELECT FROM photo WHERE {_IS_GONE})
"""  # noqa: S608 (parts of this module)


def needs_plan(session: Session, listing: Listing, *, pack_ids: Sequence[int]) -> bool:
    """Whether a plan of the copied listing would change anything in the ledger; changes nothing."""
    values = {"event_id": listing.event_id, "s3_prefix": listing.s3_prefix}
    session.execute(text(_CLASSIFY), {**values, "pack_ids": list(pack_ids), "run": None})
    return bool(session.execute(text(_NEEDS_PLAN), values).scalar_one())


def write_plan(
    session: Session,
    listing: Listing,
    *,
    run: UUID,
    pack_ids: Sequence[int],
    first_batch: int,
    batch_size: int,
) -> Tally:
    """Classify the copied listing and write its work into the ledger.

    pack_ids: the packs by which a photo is known, all with comparable vectors.

    Batches are numbered from `first_batch`: one more than full ones at most. Only number 0, a
    run's very first, is a small one.
    """
    values: dict[str, Any] = {
        "event_id": listing.event_id,
        "s3_prefix": listing.s3_prefix,
        "run": run,
        "pack_ids": list(pack_ids),
        "first_batch": first_batch,
        "batch_size": batch_size,
    }
    session.execute(text(_CLASSIFY), values)
    counts = session.execute(text(_COUNT)).mappings().one()
    values["first_size"] = batch_size
    if first_batch == 0:
        left = session.execute(text(_MEASURE)).scalar_one_or_none()
        values["first_size"] = min(batch_size, FIRST_BATCH_SIZE if left is None else left)
    session.execute(text(_RESTORE_RETURNED))
    session.execute(text(_MARK_NAMES))
    gone = session.execute(text(_MARK_GONE), values).rowcount  # type: ignore[attr-defined]  # a cursor's, which SQLModel hides
    planned = session.execute(text(_WRITE_WORK), values).rowcount  # type: ignore[attr-defined]  # a cursor's, which SQLModel hides
    ignored = {str(kind): number for kind, number in listing.ignored.items()}
    return Tally(**counts, gone=gone, planned=planned, ignored=ignored)
