"""The Prefect task for one batch of a sync: it embeds the pending photos and stores their faces.

Embedding is cached. Storing is not cached and always runs.
"""

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
from prefect import get_run_logger, task
from prefect.transactions import CommitMode, transaction

from models.errors import (
    PhotoChangedError,
    PhotosForbiddenError,
    PhotosUnreachableError,
    PhotoUnavailableError,
    ResultUnreadableError,
    SyncIncompleteError,
)
from models.queries.events import read_event
from models.queries.outcomes import (
    FaceRecord,
    PhotoOutcome,
    PhotoRef,
    check_epoch,
    count_attempts,
    count_changes,
    draw_other_photos,
    list_pending_photos,
    store_outcomes,
)
from models.queries.runs import remember_prefix
from models.session import open_session
from models.settings import get_settings
from models.vocabulary import PhotoReason
from tasks.faces.detected import CHANGED, UNREACHABLE, DetectedFaces, PhotoFaces
from tasks.results.erasure import forget_erased
from tasks.s3.bucket import get_bucket
from tasks.sync.artifacts import name_batch
from tasks.sync.context import SyncContext
from tasks.sync.embed import ReadPhoto, recall_or_embed, unpack_product
from tasks.sync.runner import check_worker

# Photos a transaction, and photos a line of the log.
STORE_SLICE = 10
# Looks at a batch before its unreachable photos are left to the flow's retries. The second is
# also what makes a cached "unreachable" of an earlier run worth nothing.
ROUNDS = 2
# Photos that are tried where S3 denied a whole batch: is it the bucket, or are it these photos?
OTHER_PHOTOS = 8
# Looks at a photo that is replaced again and again, before an attempt gives up on it.
MOST_CHANGES = 5


@task(name="embed_and_store", task_run_name=name_batch, persist_result=False)
def embed_and_store(number: int, sync: SyncContext) -> None:
    """Bring one batch of the plan into the database.

    May run any number of times: what is stored is no longer pending. Raises PhotosUnreachableError
    when some photos could not be fetched (the others are stored by then), S3DownloadError when
    none could, ConfigurationError where this process is set up otherwise than the sync's.
    """
    check_worker(sync)
    for _ in range(ROUNDS):
        left = embed_pending(number, sync)
        if not left[UNREACHABLE]:
            break
    if left[CHANGED]:
        request_another_look(sync, left[CHANGED])
    if left[UNREACHABLE]:
        raise PhotosUnreachableError(
            f"S3 unreachable: {len(left[UNREACHABLE])} photos of a batch could not be read."
        )


def embed_pending(number: int, sync: SyncContext) -> dict[str, list[PhotoRef]]:
    """Embed and store what a batch still has to do; returns what is left, by verdict."""
    left: dict[str, list[PhotoRef]] = {UNREACHABLE: [], CHANGED: []}
    with open_session() as session:
        key = read_event(session, sync.event_id).result_key  # before the photos, not after
        photos = list_pending_photos(session, sync.flow_run_id, number)
    if not photos:
        return left
    found = list(zip(photos, find_faces(photos, sync, key), strict=True))
    for i in range(0, len(found), STORE_SLICE):
        store_slice(sync, found[i : i + STORE_SLICE], get_run_logger())
    for photo, faces in found:
        if not faces.is_final:
            left[faces.verdict].append(photo)
    return left


def find_faces(
    photos: list[PhotoRef], sync: SyncContext, key: UUID, refresh: bool = False
) -> list[ReadPhoto]:
    """The photos' faces, kept in result storage; `key` is the event's, read before them.

    What another release kept and this one cannot read is dropped and computed once more. Raises
    S3AccessError where S3 denies all photos of the event, not these alone.
    """
    # EAGER: the embeddings are in result storage before anything is stored, so that a process
    # that dies in between computes nothing again.
    try:
        with transaction(commit_mode=CommitMode.EAGER):
            product = recall_or_embed(
                key, photos, sync.pack, sync.event_id, sync.epoch, sync.choice, refresh
            )
    except PhotosForbiddenError:
        if not is_any_readable(sync, photos):
            raise
        return [ReadPhoto(None, PhotoReason.FORBIDDEN)] * len(photos)
    forget_erased(sync.event_id, key)
    try:
        found = unpack_product(product, len(photos))
        require_storable(found)
        return found
    except ResultUnreadableError:
        if refresh:
            raise
        get_run_logger().warning("A cached result cannot be read: it is computed again")
        return find_faces(photos, sync, key, refresh=True)


def require_storable(found: Sequence[PhotoFaces]) -> None:
    """Make sure that the faces of a cached batch can be stored.

    Raises ResultUnreadableError for arrays of other shapes or of no numbers: a result's signature
    only says that some release of this installation wrote it.
    """
    faces = [photo.faces for photo in found if photo.faces is not None]
    lengths = {photo.embeddings.shape[1:] for photo in faces}
    if len(lengths) > 1 or not all(map(_is_storable, faces)):
        raise ResultUnreadableError("A cached result is of another release.")


def _is_storable(faces: DetectedFaces) -> bool:
    arrays, count = (faces.boxes, faces.scores, faces.embeddings), len(faces.scores)
    shapes = [(count, 4), (count,), (count, faces.embeddings.shape[-1])]
    return (
        count > 0
        and [array.shape for array in arrays] == shapes
        and all(array.dtype.kind == "f" and np.isfinite(array).all() for array in arrays)
    )


def is_any_readable(sync: SyncContext, denied: Sequence[PhotoRef]) -> bool:
    """Whether S3 gives any of a few other photos of the event, drawn by chance."""
    with open_session() as session:
        keys = [photo.s3_key for photo in denied]
        others = draw_other_photos(session, keys, event_id=sync.event_id, limit=OTHER_PHOTOS)
    for photo in others:
        try:
            get_bucket().read_photo(photo.s3_key, photo.etag, get_settings().max_photo_bytes)
        except PhotoUnavailableError as error:
            if error.reason in {PhotoReason.FORBIDDEN, PhotoReason.VANISHED}:
                continue
        except PhotoChangedError:
            pass
        return True
    return False


def store_slice(
    sync: SyncContext,
    found: Sequence[tuple[PhotoRef, ReadPhoto]],
    logger: "logging.Logger | logging.LoggerAdapter[Any]",
) -> None:
    """Store a few photos' outcomes in one transaction, and log every tenth photo of the run.

    Raises SyncSupersededError when a newer attempt has taken the event over.
    """
    outcomes = [build_outcome(photo, faces) for photo, faces in found if faces.is_final]
    waiting = [photo.s3_key for photo, faces in found if not faces.is_final]
    with open_session() as session:
        check_epoch(session, sync.event_id, sync.epoch)
        before, after = store_outcomes(
            session,
            outcomes,
            event_id=sync.event_id,
            run=sync.flow_run_id,
            pack_id=sync.pack_id,
        )
        count_attempts(session, waiting, event_id=sync.event_id, run=sync.flow_run_id)
    for count in range(before + 1, after + 1):
        if count % STORE_SLICE == 0:
            logger.info("Processed %d new photos...", count)


def request_another_look(sync: SyncContext, photos: Sequence[PhotoRef]) -> None:
    """Have this run list the folders of photos that were replaced after their listing.

    Raises SyncIncompleteError for a photo that is never what was listed: its store's ETags
    cannot be trusted, and looking again would go on for ever. The next attempt looks again.
    """
    keys = [photo.s3_key for photo in photos]
    folders = {key.rpartition("/")[0] + "/" for key in keys}
    with open_session() as session:
        for folder in sorted(folders):
            remember_prefix(session, sync.flow_run_id, sync.event_id, folder)
        changes = count_changes(session, keys, event_id=sync.event_id, run=sync.flow_run_id)
    if changes >= MOST_CHANGES:
        raise SyncIncompleteError(
            f"{len(photos)} photos change with every look: wait until the upload has ended."
        )


def build_outcome(photo: PhotoRef, faces: ReadPhoto) -> PhotoOutcome:
    """What to store of a photo that has an outcome."""
    if faces.faces is None:
        return PhotoOutcome(photo.s3_key, (), faces.reason, taking=faces.taking)
    detected = faces.faces
    records = [
        FaceRecord((x1, y1, x2, y2), score, vector)
        for (x1, y1, x2, y2), score, vector in zip(
            detected.boxes.tolist(),
            detected.scores.tolist(),
            detected.embeddings,
            strict=True,
        )
    ]
    return PhotoOutcome(photo.s3_key, records, None, detected.turned, faces.taking)
