"""The product's own queries, each asked for one event of the bench."""

from collections.abc import Callable, Iterator

import numpy as np
from sqlalchemy import text
from sqlmodel import Session

from benchmarks.capacity.fill import DIMENSION, Filled, make_etag, name_key
from models.keys import ListedPreview, default_folder
from models.queries.outcomes import (
    FaceRecord,
    PhotoOutcome,
    list_pending_batches,
    list_pending_photos,
    store_outcomes,
)
from models.queries.photos import (
    PageCursor,
    count_faces,
    count_gallery_photos,
    count_photos,
    list_gallery_photos,
    list_photos,
)
from models.queries.plans import Listing, copy_listing, write_plan
from models.queries.runs import count_progress, count_run, find_last_run, list_silent_runs
from models.queries.search import FaceQuery, find_photos, has_foreign_faces
from models.queries.statistics import read_statistics
from models.tables import SyncRun

PAGE = 1000  # keys of a page of S3's listing
MIN_SIMILARITY = 0.3  # random faces are hardly ever that near: what the search reads, not shows
BATCH = 3  # one of those that a filled event has


Probe = Callable[[Session, Filled, int], object]


def prepare(session: Session, probe: Probe, event: Filled) -> None:
    """Give a probe the unread photos it asks for; the caller undoes it."""
    if probe in (_batches, _batch, _store):
        session.execute(_UNREAD, {"run": event.run, "batch": BATCH})


def _plan(session: Session, event: Filled, pack_id: int) -> None:
    """A resync of photos that are all known, the listing in memory."""
    listing = Listing(
        event_id=event.event_id,
        folder=default_folder(event.event_id),
        s3_prefix=f"events/{event.event_id}/previews/",
        previews=_list_previews(event),
        originals=_list_originals(event),
        image_base_url="https://s3.example.com/weddings",
    )
    copy_listing(session, listing)
    write_plan(session, listing, run=event.run, pack_ids=[pack_id], first_batch=0, batch_size=100)


def _list_previews(event: Filled) -> Iterator[list[ListedPreview]]:
    for first in range(0, event.photos, PAGE):
        numbers = range(first, min(first + PAGE, event.photos))
        yield [
            ListedPreview(name_key(event.event_id, number), make_etag(number), 90_000)
            for number in numbers
        ]


def _list_originals(event: Filled) -> Iterator[list[str]]:
    for page in _list_previews(event):
        yield [preview.s3_key.replace("/previews/", "/originals/") for preview in page]


def _batches(session: Session, event: Filled, _: int) -> None:
    list_pending_batches(session, event.run)


def _batch(session: Session, event: Filled, _: int) -> None:
    list_pending_photos(session, event.run, BATCH)


def _store(session: Session, event: Filled, pack_id: int) -> None:
    """A slice of ten photos with three faces each."""
    vector = make_face(event.event_id)
    faces = [FaceRecord((0.1, 0.1, 0.2, 0.2), 0.9, vector)] * 3
    keys = [name_key(event.event_id, BATCH * 100 + number) for number in range(10)]
    outcomes = [PhotoOutcome(key, faces, None) for key in keys]
    store_outcomes(session, outcomes, event_id=event.event_id, run=event.run, pack_id=pack_id)


def _search(session: Session, event: Filled, pack_id: int) -> None:
    face = np.asarray(make_face(event.event_id + 1), np.float32)
    find_photos(
        session, FaceQuery(event.event_id, [pack_id], face, MIN_SIMILARITY), after=None, limit=50
    )


def make_face(seed: int) -> list[float]:
    """A random unit vector of the pack's length."""
    vector = np.random.default_rng(seed).standard_normal(DIMENSION)
    return [float(value) for value in vector / np.linalg.norm(vector)]


def _gallery(session: Session, event: Filled, _: int) -> None:
    after = PageCursor(photo_id=event.first_id + event.photos // 2)
    list_gallery_photos(session, event.event_id, after=after, limit=60)


def _photos(session: Session, event: Filled, _: int) -> None:
    after = PageCursor(photo_id=event.first_id + event.photos // 2)
    list_photos(session, event.event_id, status=None, after=after, limit=100)


def _status(session: Session, event: Filled, _: int) -> None:
    count_progress(session, session.get_one(SyncRun, event.run))


PROBES: dict[str, Probe] = {
    "plan of a resync (classify, mark, write)": _plan,
    "pending batches": _batches,
    "a batch's pending photos": _batch,
    "store a slice of 10 photos": _store,
    "search": _search,
    "faces of another pack?": lambda s, event, pack: has_foreign_faces(s, event.event_id, [pack]),
    "a page of the gallery": _gallery,
    "photos in the gallery": lambda s, event, _: count_gallery_photos(s, event.event_id),
    "a page of photos": _photos,
    "photos by status": lambda s, event, _: count_photos(s, event.event_id),
    "faces of the event": lambda s, event, _: count_faces(s, event.event_id),
    "status of a sync": _status,
    "result of a sync": lambda s, event, _: count_run(s, event.run),
    "last sync of the event": lambda s, event, _: find_last_run(s, event.event_id),
    "the watch: silent runs": lambda s, _e, _p: list_silent_runs(s, 20),
    "metrics": lambda s, _e, _p: read_statistics(s),
}
_UNREAD = text("UPDATE photo SET status = 'pending' WHERE sync_run_id = :run AND batch = :batch")
