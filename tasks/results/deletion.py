"""Deletion of an event: of its faces first, then of its photos in S3 where asked, then of its row.

The row goes last. A deletion that broke off leaves an erased event, and the same call goes on.
"""

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass

from models.errors import (
    ErasureIncompleteError,
    EventBusyError,
    S3AccessError,
    S3DownloadError,
)
from models.queries.erasures import delete_event_row
from models.queries.events import lock_event
from models.session import EventLock, open_event_lock, open_session
from models.vocabulary import StoredObjects
from tasks.results.erasure import ErasureReceipt, erase_event_faces, sweep_results
from tasks.s3.bucket import Bucket, get_bucket
from tasks.s3.objects import delete_object

logger = logging.getLogger(__name__)

LOCK_TRIES, LOCK_PAUSE_S = 60, 0.5
# Its runs have ended by the erasure: a process that holds the event for longer stands still.
PATIENCE = 40
DELETED_AT_A_TIME = 16


@dataclass(frozen=True)
class DeletionReceipt(ErasureReceipt):
    """Counts of a deletion, and of the erasure that it began with; each call counts its own.

    folder: the event's in S3; objects_deleted, bytes_deleted: of its photos there, without views.
    """

    objects: StoredObjects
    folder: str
    objects_deleted: int
    bytes_deleted: int
    photos_deleted: int


def delete_event(event_id: int, objects: StoredObjects) -> DeletionReceipt:
    """Delete an event: its faces and syncs, its photos in S3 if asked, and all that is known of it.

    Nothing outside its own folder is touched. Raises EventNotFoundError, ErasureIncompleteError,
    EventBusyError for a run that does not end or an event that was resumed meanwhile; the same
    call goes on where it was.
    """
    erasure = erase_event_faces(event_id)
    if erasure is None:  # only where it is erased by age
        raise EventBusyError(f"Event {event_id} cannot be erased now: send the same call again.")
    with open_event_lock(event_id) as lock, _tell_what_is_left():
        _wait_for_runs(lock, event_id)
        late = sweep_results(event_id)  # of a batch that the erasure did not wait for
        count, size, photos, folder = _delete_all(event_id, objects)
    receipt = {
        **asdict(erasure),
        "cached_results_erased": erasure.cached_results_erased + late["deleted"],
        "cached_bytes": erasure.cached_bytes + late["bytes"],
    }
    logger.info("Deleted event %d: %d photos, %d objects in S3", event_id, photos, count)
    return DeletionReceipt(
        **receipt,
        objects=objects,
        folder=folder,
        objects_deleted=count,
        bytes_deleted=size,
        photos_deleted=photos,
    )


def delete_folder(bucket: Bucket, folder: str) -> tuple[int, int]:
    """Delete every object in a folder: how many there were, and their bytes.

    Raises S3AccessError or S3DownloadError.
    """
    count = size = 0
    with (
        closing(bucket.list_pages(folder)) as pages,
        ThreadPoolExecutor(DELETED_AT_A_TIME, thread_name_prefix="deletion") as pool,
    ):
        for page in pages:
            # A store that lists more than it was asked for must not cost another event's photos.
            found = [item for item in page if item.s3_key.startswith(folder)]
            for _ in pool.map(lambda key: delete_object(bucket, key), [i.s3_key for i in found]):
                pass
            count += len(found)
            size += sum(item.size for item in found)
    return count, size


@contextmanager
def _tell_what_is_left() -> Iterator[None]:
    try:
        yield
    except (S3AccessError, S3DownloadError) as error:
        raise ErasureIncompleteError(
            "The event's faces are erased, but it could not be deleted with what it has in S3: "
            f"{error} Then send the same call again."
        ) from error


def _wait_for_runs(lock: EventLock, event_id: int) -> None:
    """Take the event's lock, which its sync lets go of once it has seen the erasure."""
    for attempt in range(LOCK_TRIES):
        if lock.try_take():
            return
        if attempt == PATIENCE:
            lock.take_from_holder()
        time.sleep(LOCK_PAUSE_S)
    raise EventBusyError(
        f"A run of event {event_id} does not end: send the same call again in a minute."
    )


def _delete_all(event_id: int, objects: StoredObjects) -> tuple[int, int, int, str]:
    """Objects deleted, their bytes, photos, and the folder."""
    count = size = 0
    with open_session() as session:
        folder = lock_event(session, event_id).folder
    if objects is StoredObjects.DELETE:
        count, size = delete_folder(get_bucket(), folder)
    with open_session() as session:
        lock_event(session, event_id)
        if objects is StoredObjects.DELETE:
            # Again, while nobody can find the event there or not: whoever puts a preview or a view
            # meanwhile looks for it afterwards, and takes the object back where it is gone.
            late = delete_folder(get_bucket(), folder)
            count, size = count + late[0], size + late[1]
        return count, size, delete_event_row(session, event_id), folder
