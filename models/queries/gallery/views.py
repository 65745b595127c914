"""Queries for photos' views: which have to be made or deleted, and what has been made.

A photo's views are up to date while `views_etag` is its preview's ETag and `views_source` names
the recipe and the original as it was last listed. An empty `views_etag`: it can have none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Row, text
from sqlmodel import Session

from models.copying import copy_text
from models.keys import ListedPreview, derive_preview_key, find_viewed
from models.queries.events import lock_event
from models.session import IDLE_LIMIT_MS

_VISIBLE = "photo.status IN ('indexed', 'no_face')"
_FORGET = (
    "views_etag = NULL, views_source = NULL, width = NULL, height = NULL, colour = NULL, "
    "view_bytes = NULL"
)


@dataclass(frozen=True, slots=True)
class ViewWork:
    """A photo whose views are to be looked at; the original is None where S3 lists none."""

    id: int
    s3_key: str
    etag: str
    size: int
    original_key: str | None
    original_etag: str | None
    original_bytes: int | None


@dataclass(frozen=True, slots=True)
class ViewRecord:
    """What a photo's row says of its views; `views_etag` is empty where there are none."""

    id: int
    etag: str  # of the preview that it is said of
    views_etag: str
    views_source: str
    width: int | None = None
    height: int | None = None
    colour: str | None = None
    view_bytes: int | None = None


@dataclass(frozen=True)
class Orphans:
    """Keys of views to delete: of erased photos, and others with the preview that S3 lacks."""

    erased: Sequence[str]
    lost: Sequence[tuple[str, str]]


# Between two pages S3 is waited for, as long as its own limits allow; nothing is locked yet.
_TABLE = """
SET LOCAL idle_in_transaction_session_timeout = 0;
CREATE TEMPORARY TABLE stored (
    s3_key text COLLATE "C", etag text, size bigint, kind text, preview_key text COLLATE "C"
) ON COMMIT DROP
"""
_SETTLE_COPIED = f"""
SET LOCAL idle_in_transaction_session_timeout = {IDLE_LIMIT_MS};
ANALYZE stored
"""
_KEEP_ORIGINALS = text(f"""
UPDATE photo SET original_etag = found.etag, original_bytes = found.size
FROM (
    SELECT photo.id, coalesce(named.etag, own.etag) AS etag, coalesce(named.size, own.size) AS size
    FROM photo
    LEFT JOIN stored AS named ON named.s3_key = photo.original_key AND named.kind = 'original'
    LEFT JOIN stored AS own ON own.preview_key = photo.s3_key AND own.kind = 'original'
                               AND photo.original_key IS NULL
    WHERE photo.event_id = :event_id AND {_VISIBLE}
) AS found
WHERE photo.id = found.id
  AND (photo.original_etag, photo.original_bytes) IS DISTINCT FROM (found.etag, found.size)
""")  # noqa: S608 (parts of this module)
# Of photos that are not shown any more, and where somebody deleted a view.
_FORGET_LOST = text(f"""
UPDATE photo SET {_FORGET}
FROM (
    SELECT photo.id FROM photo LEFT JOIN (
        SELECT preview_key, count(DISTINCT s3_key) AS views FROM stored
        WHERE kind = 'view' GROUP BY preview_key
    ) AS found ON found.preview_key = photo.s3_key
    WHERE photo.event_id = :event_id AND views_source IS NOT NULL
      AND (status IN ('gone', 'erased') OR views_etag <> '' AND coalesce(views, 0) < :views)
) AS lost
WHERE photo.id = lost.id
""")  # noqa: S608 (parts of this module)
_ORPHANS = text("""
SELECT view.s3_key, view.preview_key, photo.status = 'erased' AS is_erased
FROM stored AS view
LEFT JOIN photo ON photo.event_id = :event_id AND photo.s3_key = view.preview_key
WHERE view.kind = 'view' AND (
    photo.status = 'erased'
    OR NOT EXISTS (SELECT FROM stored AS other WHERE other.s3_key = view.preview_key)
)
""")
# A `+`: made from the preview, since the original cannot be read.
_LACKING = f"""
{_VISIBLE} AND (views_etag IS DISTINCT FROM etag OR views_source IS NULL OR views_source NOT IN (
    :recipe || ' ' || coalesce(original_etag, etag),
    :recipe || ' ' || coalesce(original_etag || '+' || etag, etag)
))
"""
_WORK = text(f"""
SELECT id, s3_key, etag, size, original_key, original_etag, original_bytes FROM photo
WHERE event_id = :event_id AND s3_key > :after AND {_LACKING}
ORDER BY s3_key LIMIT :most
""")  # noqa: S608 (parts of this module)
_COUNT = text(f"""
SELECT count(*), count(*) FILTER (WHERE {_LACKING}) FROM photo
WHERE event_id = :event_id AND {_VISIBLE}
""")  # noqa: S608 (parts of this module)
_RECORD = text("""
UPDATE photo SET views_etag = :views_etag, views_source = :views_source, width = :width,
       height = :height, colour = :colour, view_bytes = :view_bytes
WHERE id = :id AND etag = :etag AND status IN ('indexed', 'no_face')
""")
# Where one photo cannot have views it is left at that. One whose views were made of its preview,
# since its original could not be read then, is looked at after the next sync.
_EVENTS = text(f"""
SELECT id, name FROM event
WHERE erased_at IS NULL AND active_until > now() AND EXISTS (
    SELECT FROM photo WHERE photo.event_id = event.id AND {_VISIBLE}
      AND views_etag IS DISTINCT FROM ''
      AND views_source IS DISTINCT FROM :recipe || ' ' || etag AND {_LACKING}
)
ORDER BY id
""")  # noqa: S608 (parts of this module)


def settle_listing(
    session: Session,
    event_id: int,
    folder: str,
    pages: Iterable[Sequence[ListedPreview]],
    views: int,
) -> Orphans:
    """Write what a listing of an event's folder says of originals and views into its photos.

    views: how many a photo has. Returns what is left to delete. Raises EventNotFoundError, and
    what the listing raises.
    """
    session.execute(text(_TABLE))
    for page in pages:
        copy_text(session, "stored", (_describe(item, folder) for item in page))
    session.execute(text(_SETTLE_COPIED))
    lock_event(session, event_id)  # the event first, as whoever stores faces or erases them
    session.execute(_KEEP_ORIGINALS, {"event_id": event_id})
    session.execute(_FORGET_LOST, {"event_id": event_id, "views": views})
    rows = session.execute(_ORPHANS, {"event_id": event_id}).all()
    return Orphans(
        [key for key, _, is_erased in rows if is_erased],
        [(key, preview) for key, preview, is_erased in rows if not is_erased],
    )


def count_views(session: Session, event_id: int, recipe: str) -> tuple[int, int]:
    """How many photos guests see, and of how many of these the views are to be looked at."""
    row = session.execute(_COUNT, {"event_id": event_id, "recipe": recipe}).one()
    return row[0], row[1]


def list_view_work(
    session: Session, event_id: int, recipe: str, *, after: str, most: int
) -> list[ViewWork]:
    """Photos whose views are to be looked at, by key, behind this key."""
    values = {"event_id": event_id, "recipe": recipe, "after": after, "most": most}
    return [ViewWork(*row) for row in session.execute(_WORK, values)]


def record_views(session: Session, event_id: int, records: Sequence[ViewRecord]) -> None:
    """Write down what was made.

    Nothing is written of a photo whose preview was replaced since. Raises EventNotFoundError.
    """
    lock_event(session, event_id)
    if records:
        session.execute(_RECORD, [asdict(record) for record in records])


def list_hidden_photos(session: Session, ids: Sequence[int]) -> list[int]:
    """Of these photos, those that were erased or are gone, with their event or alone."""
    shown = text("SELECT id FROM photo WHERE id = ANY(:ids) AND status NOT IN ('gone', 'erased')")
    return list(set(ids) - set(session.scalars(shown, {"ids": list(ids)})))


def list_unviewed_events(session: Session, recipe: str) -> Sequence[Row[tuple[int, str]]]:
    """Active events of which photos lack views that can be made: ids and names."""
    return session.execute(_EVENTS, {"recipe": recipe}).all()


def _describe(item: ListedPreview, folder: str) -> tuple[str, str, int, str, str]:
    viewed = find_viewed(item.s3_key, folder)
    if viewed is not None:
        return item.s3_key, item.etag, item.size, "view", viewed
    preview = derive_preview_key(item.s3_key, folder)
    kind = "other" if preview is None else "original"
    return item.s3_key, item.etag, item.size, kind, preview or ""
