"""Queries that store the outcomes of a batch: each photo's faces, or the reason why it has none.

The caller first checks the event's epoch (a fencing token) with `check_epoch`. Outcomes are
stored only if it is still the epoch that the run began with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
from sqlalchemy import func, text, update
from sqlmodel import Session, col, select

from models.copying import copy_into, encode_rows, encode_values, encode_vector
from models.errors import EVENT_DELETED, EventErasedError, SyncSupersededError
from models.tables import Photo
from models.vocabulary import PhotoReason, PhotoStatus, Taking


@dataclass(frozen=True)
class PhotoRef:
    """A photo on its way to the engine: small enough to travel, enough to recognise it."""

    s3_key: str
    etag: str
    attempts: int


@dataclass(frozen=True)
class FaceRecord:
    """One face: `box` is x1, y1, x2, y2 in 0..1; `embedding` has length 1."""

    box: tuple[float, float, float, float]
    confidence: float
    embedding: list[float] | npt.NDArray[np.float32]


@dataclass(frozen=True)
class PhotoOutcome:
    """What came of one photo: its faces, or the reason why it has none."""

    s3_key: str
    faces: Sequence[FaceRecord]
    reason: PhotoReason | None
    turned: int = 0  # as DetectedFaces.turned
    taking: Taking | None = None

    @property
    def status(self) -> PhotoStatus:
        """The status to store."""
        if self.faces:
            return PhotoStatus.INDEXED
        if self.reason is PhotoReason.NO_FACE_DETECTED:
            return PhotoStatus.NO_FACE
        return PhotoStatus.FAILED


# As text, since it is done for every ten photos: SQLAlchemy would build it anew each time.
_HOLD_EPOCH = text("SELECT sync_epoch, erased_at FROM event WHERE id = :event_id FOR SHARE")


def check_epoch(session: Session, event_id: int, epoch: int) -> None:
    """Hold the event's epoch still until the transaction ends.

    Raises SyncSupersededError when a newer attempt has raised it, EventErasedError when an
    erasure has or the event is deleted.
    """
    found = session.execute(_HOLD_EPOCH, {"event_id": event_id}).one_or_none()
    if found is None:
        raise EventErasedError(EVENT_DELETED)
    current, erased_at = found
    if erased_at is not None:
        raise EventErasedError
    if current != epoch:
        raise SyncSupersededError("Another attempt to sync this event has taken over.")


def list_pending_batches(session: Session, run: UUID) -> list[int]:
    """Numbers of the run's batches that still have work, in order."""
    query = (
        select(Photo.batch)
        .where(Photo.sync_run_id == run, Photo.status == PhotoStatus.PENDING)
        .distinct()
    )
    return sorted(number for number in session.exec(query) if number is not None)


def list_pending_photos(session: Session, run: UUID, batch: int) -> list[PhotoRef]:
    """A batch's photos that have no outcome yet, in key order; empty once it is stored."""
    query = (
        select(Photo.s3_key, Photo.etag, Photo.attempts)
        .where(
            Photo.sync_run_id == run,
            Photo.batch == batch,
            Photo.status == PhotoStatus.PENDING,
        )
        .order_by(Photo.s3_key)
    )
    return [PhotoRef(key, etag, attempts) for key, etag, attempts in session.exec(query)]


def draw_other_photos(
    session: Session, s3_keys: Sequence[str], *, event_id: int, limit: int
) -> list[PhotoRef]:
    """Some of an event's other photos that can be read or are to be, drawn by chance."""
    readable = (PhotoStatus.PENDING, PhotoStatus.INDEXED, PhotoStatus.NO_FACE)
    query = select(Photo.s3_key, Photo.etag, Photo.attempts).where(
        Photo.event_id == event_id,
        col(Photo.status).in_(readable),
        col(Photo.s3_key).not_in(s3_keys),
    )
    rows = session.exec(query.order_by(func.random()).limit(limit))
    return [PhotoRef(key, etag, attempts) for key, etag, attempts in rows]


# In one statement: three would be three ways to the server, for every ten photos.
_SETTLE = text("""
WITH settled AS (
    UPDATE photo SET status = outcome.status, reason = outcome.reason,
           confidence = outcome.confidence, turned = outcome.turned, pack_id = :pack_id,
           taken_at = outcome.taken_at, utc_offset = outcome.utc_offset, camera = outcome.camera,
           camera_name = outcome.camera_name,
           attempts = attempts + 1, processed_at = now()
    FROM unnest(CAST(:keys AS text[]), CAST(:statuses AS text[]), CAST(:reasons AS text[]),
                CAST(:confidences AS float8[]), CAST(:turns AS smallint[]),
                CAST(:times AS timestamp[]), CAST(:utc_offsets AS smallint[]),
                CAST(:cameras AS text[]), CAST(:camera_names AS text[]))
        AS outcome (s3_key, status, reason, confidence, turned, taken_at, utc_offset, camera,
                    camera_name)
    WHERE photo.event_id = :event_id AND photo.s3_key = outcome.s3_key
      AND photo.sync_run_id = :run AND photo.status = 'pending'
    RETURNING photo.id, photo.s3_key
), cleared AS (
    DELETE FROM face USING settled WHERE face.photo_id = settled.id
), advanced AS (
    UPDATE sync_run SET processed = processed + (SELECT count(*) FROM settled)
    WHERE flow_run_id = :run
    RETURNING processed
)
SELECT advanced.processed, settled.id, settled.s3_key FROM advanced LEFT JOIN settled ON true
""")


def store_outcomes(
    session: Session,
    outcomes: Sequence[PhotoOutcome],
    *,
    event_id: int,
    run: UUID,
    pack_id: int,
) -> tuple[int, int]:
    """Write a slice of outcomes, faces and ledger together.

    Delete-then-insert, and only for photos that are still pending: delivering a slice twice
    changes nothing. Returns how many photos the run had processed before and has processed now.
    """
    rows = session.execute(
        _SETTLE,
        {
            "keys": [outcome.s3_key for outcome in outcomes],
            "statuses": [outcome.status.value for outcome in outcomes],
            "reasons": [outcome.reason and outcome.reason.value for outcome in outcomes],
            "confidences": [
                max((face.confidence for face in outcome.faces), default=0.0)
                for outcome in outcomes
            ],
            "turns": [outcome.turned for outcome in outcomes],
            **list_takings(outcomes),
            "event_id": event_id,
            "run": run,
            "pack_id": pack_id,
        },
    ).all()
    ids = {s3_key: photo_id for _, photo_id, s3_key in rows if photo_id is not None}
    insert_faces(session, outcomes, ids, event_id=event_id, pack_id=pack_id)
    processed = int(rows[0].processed)
    return processed - len(ids), processed


def list_takings(outcomes: Sequence[PhotoOutcome]) -> dict[str, list[Any]]:
    """The arrays of when and by which camera the outcomes' photos were taken."""
    takings = [outcome.taking for outcome in outcomes]
    return {
        "times": [taking and taking.taken_at for taking in takings],
        "utc_offsets": [taking and taking.utc_offset for taking in takings],
        "cameras": [taking and taking.camera for taking in takings],
        "camera_names": [taking and taking.camera_name for taking in takings],
    }


_COPY_FACES = """
COPY face (photo_id, event_id, pack_id, x1, y1, x2, y2, confidence, embedding)
FROM STDIN (FORMAT binary)
"""


def insert_faces(
    session: Session,
    outcomes: Sequence[PhotoOutcome],
    ids: dict[str, int],
    *,
    event_id: int,
    pack_id: int,
) -> None:
    """Write the outcomes' faces; `ids` by key: photos that are not in it get none."""
    rows = [
        [
            *encode_values("qih", ids[outcome.s3_key], event_id, pack_id),
            *encode_values("ddddd", *face.box, face.confidence),
            encode_vector(face.embedding),
        ]
        for outcome in outcomes
        if outcome.s3_key in ids
        for face in outcome.faces
    ]
    if rows:
        copy_into(session, _COPY_FACES, encode_rows(rows))


def count_attempts(session: Session, s3_keys: Sequence[str], *, event_id: int, run: UUID) -> None:
    """Count a look at photos that brought no outcome, so that the next one is not the cache's."""
    if not s3_keys:
        return
    session.execute(
        update(Photo)
        .where(
            col(Photo.event_id) == event_id,
            col(Photo.sync_run_id) == run,
            col(Photo.s3_key).in_(s3_keys),
        )
        .values(attempts=Photo.attempts + 1)
    )


def count_changes(session: Session, s3_keys: Sequence[str], *, event_id: int, run: UUID) -> int:
    """Count that photos were not what a run had listed; how often that is so of one, at most.

    The caller holds the event's row.
    """
    changed = session.execute(
        update(Photo)
        .where(
            col(Photo.event_id) == event_id,
            col(Photo.sync_run_id) == run,
            col(Photo.s3_key).in_(s3_keys),
        )
        .values(changes=Photo.changes + 1)
        .returning(col(Photo.changes))
    )
    return max(changed.scalars(), default=0)
