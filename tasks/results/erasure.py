"""Erasure of faces, on demand and by retention: from the database and from every result storage.

No cached face remains. Results written before the erasure are deleted by it; a batch that writes
one later notices the erasure and deletes it (`forget_erased`).
"""

import logging
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID

from prefect import get_run_logger, task

from models.errors import ErasureIncompleteError, FacePassError
from models.keys import derive_view_keys
from models.queries.erasures import (
    ErasedRows,
    erase_event_rows,
    erase_photo_rows,
    list_erasures,
    list_expired_events,
    read_result_key,
)
from models.queries.events import read_event
from models.queries.webhooks import delete_old_deliveries
from models.session import open_session
from models.settings import get_settings
from models.tables import utc_now
from tasks.results.prune import delete_event_results
from tasks.results.storage import CACHE_LIFETIME, name_result_storages
from tasks.s3.bucket import get_bucket
from tasks.s3.views import delete_views, list_views

logger = logging.getLogger(__name__)

# A batch has kept its result this long after the erasure that it did not see, or never will.
STRAGGLER_TIME = timedelta(hours=1)
# Long enough to look up what a receiver says it never got; a notice is given up long before.
DELIVERY_LIFETIME = timedelta(days=7)


@dataclass(frozen=True)
class ErasureReceipt:
    """Counts of an erasure; `result_storages` are the places where cached results were sought.

    views_erased: objects in S3, three a photo: thumb, view and the view as JPEG.
    subscriptions_erased: guests' addresses, each with a vector.
    """

    event_id: int
    faces_erased: int
    photos_affected: int
    cached_results_erased: int
    cached_bytes: int
    views_erased: int
    subscriptions_erased: int
    syncs_stopped: int
    result_storages: list[str]
    erased_at: datetime


def erase_event_faces(
    event_id: int, *, inactive_since: datetime | None = None
) -> ErasureReceipt | None:
    """Erase every face of an event, cached ones too, and stop its syncs until it is resumed.

    With `inactive_since` only an event that has not been active since then; None for another.
    Raises EventNotFoundError, and ErasureIncompleteError where the database has forgotten the
    faces and a result storage could not be swept: asking again sweeps it.
    """
    with open_session() as session:
        rows = erase_event_rows(session, event_id, inactive_since=inactive_since)
    return None if rows is None else _sweep_and_report(event_id, rows)


def erase_photo_faces(event_id: int, photo_id: int) -> ErasureReceipt:
    """Erase one photo's faces for good, and with them the event's cached results.

    A cached result holds a whole batch's faces, and which photos are in it is not written on it:
    all of the event's go, which costs time and no photo. Raises PhotoNotFoundError and
    ErasureIncompleteError.
    """
    with open_session() as session:
        rows = erase_photo_rows(session, event_id, photo_id)
    return _sweep_and_report(event_id, rows)


def sweep_results(event_id: int) -> Counter[str]:
    """Delete an event's cached results; ErasureIncompleteError for those that could not be."""
    counts = delete_event_results(event_id)
    if counts["failed"]:
        raise ErasureIncompleteError(
            f"The faces are erased from the database, but {counts['failed']} cached results could "
            "not be deleted: the log says why; mend that, then send the same call again."
        )
    return counts


def sweep_views(rows: ErasedRows) -> int:
    """Delete what guests saw of an erased event or photo; how many objects there were.

    Pictures that are being made meanwhile are deleted by whoever makes them. Raises S3AccessError
    or S3DownloadError.
    """
    bucket = get_bucket()
    if rows.s3_key is None:
        return delete_views(bucket, list_views(bucket, rows.folder))
    return delete_views(bucket, (derive_view_keys(rows.s3_key, rows.folder) or {}).values())


def forget_erased(event_id: int, key_before: UUID) -> None:
    """Delete the event's cached results if something was erased since `key_before` was read.

    A batch calls it after its result was kept: only its own worker may see where that lies. So an
    erasure leaves no window, whichever of the two comes first.
    """
    with open_session() as session:
        key = read_result_key(session, event_id)
    if key != key_before:
        sweep_results(event_id)
        logger.info("Event %d was erased meanwhile: its cached results are deleted", event_id)


@task(
    name="erase_faces",
    task_run_name="erase event {event_id}",
    retries=2,
    retry_delay_seconds=[5, 30],
    persist_result=False,
)
def run_erasure(event_id: int, inactive_since: datetime | None = None) -> ErasureReceipt | None:
    """Erase an event's faces, cached ones too, here and in the storage that all workers share.

    With `inactive_since` only if it has not been active since then. Raises EventNotFoundError
    and ErasureIncompleteError.
    """
    receipt = erase_event_faces(event_id, inactive_since=inactive_since)
    if receipt is not None:
        get_run_logger().info(
            "Erased event %(event_id)d: %(faces_erased)d faces of %(photos_affected)d photos, "
            "%(cached_results_erased)d cached results, %(views_erased)d views, "
            "%(subscriptions_erased)d subscriptions, %(syncs_stopped)d syncs stopped",
            asdict(receipt),
        )
    return receipt


@task(name="list_expired", persist_result=False)
def list_expired() -> list[tuple[int, datetime]]:
    """Events that are not kept any longer, each with the moment since which it was not active.

    Those without a time of their own are kept where FACEPASS_RETENTION_DAYS is not set.
    """
    with open_session() as session:
        return list_expired_events(session, get_settings().retention_days)


@task(name="prune_erased", persist_result=False)
def prune_erased() -> int:
    """Delete what a batch killed in the moment of an erasure may have kept; how many there were.

    Older ones have expired by now. A result that is young and innocent is computed again.
    """
    with open_session() as session:
        erasures = list_erasures(session, utc_now() - CACHE_LIFETIME - STRAGGLER_TIME)
    deleted = sum(
        delete_event_results(event_id, erased_at + STRAGGLER_TIME)["deleted"]
        for event_id, erased_at in erasures
    )
    views = sum(_sweep_erased_event(event_id) for event_id, _ in erasures)
    get_run_logger().info("Pruned %d results of erased faces, %d views", deleted, views)
    return deleted


def _sweep_erased_event(event_id: int) -> int:
    """Delete what a making of views that was killed then has left of an event that is erased."""
    with open_session() as session:
        event = read_event(session, event_id)
        is_erased, folder = event.erased_at is not None, event.folder
    bucket = get_bucket()
    return delete_views(bucket, list_views(bucket, folder)) if is_erased else 0


@task(name="prune_deliveries", persist_result=False)
def prune_deliveries() -> int:
    """Delete old webhook deliveries, whatever became of them; returns how many there were."""
    with open_session() as session:
        deleted = delete_old_deliveries(session, DELIVERY_LIFETIME)
    get_run_logger().info("Pruned %d old notices", deleted)
    return deleted


def _sweep(event_id: int, rows: ErasedRows) -> tuple[Counter[str], int]:
    """Delete cached results, then views, however the first went: counts of both."""
    counts: Counter[str] = Counter()
    views, troubles = 0, []
    try:
        counts = sweep_results(event_id)
    except FacePassError as error:
        troubles.append(error)
    try:
        views = sweep_views(rows)
    except FacePassError as error:
        troubles.append(error)
    if len(troubles) == 1 and isinstance(troubles[0], ErasureIncompleteError):
        raise troubles[0]
    if troubles:
        raise ErasureIncompleteError(
            "The faces are erased from the database, but cached results or views of its photos "
            f"could not be swept: {' '.join(map(str, troubles))} Then send the same call again."
        ) from troubles[0]
    return counts, views


def _sweep_and_report(event_id: int, rows: ErasedRows) -> ErasureReceipt:
    counts, views = _sweep(event_id, rows)
    logger.info(
        "Erased %d faces of event %d, %d cached results, %d views",
        *(rows.faces, event_id, counts["deleted"], views),
    )
    return ErasureReceipt(
        event_id=event_id,
        faces_erased=rows.faces,
        photos_affected=rows.photos,
        cached_results_erased=counts["deleted"],
        cached_bytes=counts["bytes"],
        views_erased=views,
        subscriptions_erased=rows.subscriptions,
        syncs_stopped=rows.syncs,
        result_storages=name_result_storages(),
        erased_at=rows.erased_at,
    )
