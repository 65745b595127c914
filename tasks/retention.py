"""Erasing as Prefect runs it: an event on demand, what is old enough every night; old notices."""

from datetime import datetime, timedelta

from prefect import get_run_logger, task

from models.queries.erasures import list_erasures, list_expired_events
from models.queries.webhooks import delete_old_notices
from models.session import open_session
from models.settings import get_settings
from models.tables import utc_now
from tasks.embed import CACHE_LIFETIME
from tasks.erasure import ErasureReceipt, erase_event_faces
from tasks.prune import delete_event_results

# A batch has kept its result this long after the erasure that it did not see, or never will.
STRAGGLER_TIME = timedelta(hours=1)
# Long enough to look up what a receiver says it never got; a notice is given up long before.
NOTICE_LIFETIME = timedelta(days=7)


@task(
    name="erase_faces",
    task_run_name="erase event {event_id}",
    retries=2,
    retry_delay_seconds=[5, 30],
    persist_result=False,
)
def erase_faces(event_id: int, inactive_since: datetime | None = None) -> ErasureReceipt | None:
    """Erase an event's faces, cached ones too, here and in the storage that all workers share.

    With `inactive_since` only if it has not been active since then. Raises EventNotFoundError
    and ErasureIncompleteError.
    """
    receipt = erase_event_faces(event_id, inactive_since=inactive_since)
    if receipt is not None:
        get_run_logger().info(
            "Erased event %d: %d faces of %d photos, %d cached results, %d syncs stopped",
            *(event_id, receipt.faces_erased, receipt.photos_affected),
            *(receipt.cached_results_erased, receipt.syncs_stopped),
        )
    return receipt


@task(name="list_expired", persist_result=False)
def list_expired() -> tuple[list[int], datetime | None]:
    """Events that are not kept any longer, and the moment since which they were not active.

    None are where FACEPASS_RETENTION_DAYS is not set.
    """
    days = get_settings().retention_days
    if days is None:
        return [], None
    retention = timedelta(days=days)
    with open_session() as session:
        return list_expired_events(session, retention), utc_now() - retention


@task(name="prune_erased", persist_result=False)
def prune_erased() -> int:
    """Delete what a batch killed in the moment of an erasure may have kept; how many there were.

    Older ones have expired by now. A result that is young and innocent is computed again.
    """
    with open_session() as session:
        erasures = list_erasures(session, utc_now() - CACHE_LIFETIME - STRAGGLER_TIME)
    deleted = 0
    for event_id, erased_at in erasures:
        deleted += delete_event_results(event_id, erased_at + STRAGGLER_TIME)["deleted"]
    get_run_logger().info("Pruned %d results of erased faces", deleted)
    return deleted


@task(name="prune_notices", persist_result=False)
def prune_notices() -> int:
    """Delete old notices of ended syncs, whatever became of them; how many there were."""
    with open_session() as session:
        deleted = delete_old_notices(session, NOTICE_LIFETIME)
    get_run_logger().info("Pruned %d old notices", deleted)
    return deleted
