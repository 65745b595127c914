"""Events as syncs leave them: ledger, runs and random faces, in the product's own tables."""

import hashlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from benchmarks.search.table import COPY_FACES, FACES_A_PHOTO, pack_faces

DIMENSION = 128  # opencv_zoo's; buffalo_l has 512
# Hourly looks at an event in its first two days; each leaves a row.
RESYNCS_AN_EVENT = 48
FIRST_EVENT = 1_000  # ids of the bench's own


@dataclass(frozen=True)
class Filled:
    """One event of the bench: how large, and the run that its photos are of."""

    event_id: int
    photos: int

    @property
    def run(self) -> UUID:
        """The sync that read its photos."""
        return UUID(int=self.event_id << 32)

    @property
    def first_id(self) -> int:
        """Of its photos and of its faces."""
        return self.event_id * 1_000_000


def fill_event(database: Engine, event: Filled, pack_id: int, dimension: int = DIMENSION) -> None:
    """An event with three faces a photo, its sync and its resyncs, committed together."""
    values = {
        "event": event.event_id,
        "first": event.first_id,
        "last": event.photos - 1,
        "pack": pack_id,
        "run": event.run,
        "resyncs": RESYNCS_AN_EVENT,
    }
    faces = pack_faces(
        event.event_id, pack_id, event.first_id, event.photos * FACES_A_PHOTO, dimension
    )
    with database.begin() as connection:
        for statement in (_ADD_EVENT, _ADD_RUNS, _ADD_PHOTOS):
            connection.execute(text(statement), values)
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor:
            cursor.copy_expert(COPY_FACES, BytesIO(faces))


def name_key(event_id: int, number: int) -> str:
    """The key of an event's preview."""
    return f"events/{event_id}/previews/IMG_{number:06}.jpg"


def make_etag(number: int) -> str:
    """The ETag of that preview, as PostgreSQL makes it below."""
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


_ADD_EVENT = """
INSERT INTO event (id, uuid, name, gallery_token, sync_epoch, pending_prefixes, active_until,
                   created_at)
VALUES (:event, gen_random_uuid(), 'Свадьба ' || :event, md5(CAST(:event AS text)), 0, '{}', now(),
        now())
"""
_ADD_RUNS = """
INSERT INTO sync_run (flow_run_id, event_id, s3_prefix, state, detail, planned, batches, processed,
                      gone, tallies, result, created_at, started_at, heartbeat_at, finished_at)
SELECT CASE WHEN number = 0 THEN CAST(:run AS uuid) ELSE gen_random_uuid() END,
       :event, 'events/' || :event || '/previews/', 'completed', 'Successfully synced new photos',
       true, CASE WHEN number = 0 THEN 31 ELSE 0 END,
       CASE WHEN number = 0 THEN :last + 1 ELSE 0 END, 0,
       jsonb_build_object('events/' || :event || '/previews/', jsonb_build_object(
           'listed', :last, 'existing', 0, 'skipped', 0, 'resting', 0, 'gone', 0,
           'missing_originals', 0, 'planned', :last)),
       json_build_object('event_id', :event, 'total_found', :last, 'new_photos', :last,
           'skipped', 0, 'status', 'completed', 'message', 'Successfully synced new photos',
           'updated', 0, 'failed', 0, 'no_face', 0, 'faces_found', :last, 'gone', 0,
           'missing_originals', 0, 'seconds', 100),
       now(), now(), now(), now()
FROM generate_series(0, :resyncs) AS number
"""
_ADD_PHOTOS = """
INSERT INTO photo (id, event_id, s3_key, etag, size, image_url, original_missing, status,
                   confidence, attempts, change, pack_id, sync_run_id, batch, created_at,
                   processed_at)
SELECT :first + number, :event,
       'events/' || :event || '/previews/IMG_' || lpad(number::text, 6, '0') || '.jpg',
       md5(number::text), 90000,
       'https://s3.example.com/weddings/events/' || :event || '/originals/IMG_'
           || lpad(number::text, 6, '0') || '.jpg',
       false, 'indexed', 0.9, 1, 'new', :pack, :run, (number + 92) / 100, now(), now()
FROM generate_series(0, :last) AS number
"""
