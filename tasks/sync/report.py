"""What a sync amounts to: the guide's statistics, and the run's last state in Prefect."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from prefect import get_run_logger, task
from prefect.client.schemas.objects import State, StateType
from prefect.states import Completed
from sqlmodel import Session

from models.errors import SyncIncompleteError
from models.queries.events import lock_event
from models.queries.outcomes import check_epoch
from models.queries.photos import list_photos
from models.queries.runs import complete_run, count_run
from models.session import open_session
from models.tables import SyncRun, utc_now
from models.vocabulary import PhotoStatus, SyncState
from tasks.sync.artifacts import FAILED_PHOTOS_SHOWN, publish_summary, report_progress
from tasks.sync.context import HeldSync, Ticket


def build_result(run: SyncRun, counts: dict[str, int], seconds: float) -> dict[str, Any]:
    """The sync's result, from the ledger's counts and the listings' tallies.

    total_found = new_photos + updated + skipped + failed, by construction.
    """
    tallies = run.tallies.values()
    # Erased while they were this run's: there, and not read again.
    skipped = counts["erased"] + sum(tally["skipped"] for tally in tallies)
    failed = counts["failed"] + sum(tally["resting"] for tally in tallies)
    total = counts["new_photos"] + counts["updated"] + skipped + failed
    synced = f"Successfully synced {counts['new_photos']} new photos"
    return {
        "event_id": run.event_id,
        "s3_prefix": run.s3_prefix,
        "total_found": total,
        "new_photos": counts["new_photos"],
        "skipped": skipped,
        "status": "completed",
        "message": synced if total else "No photos found in S3",
        "updated": counts["updated"],
        "failed": failed,
        "no_face": counts["no_face"],
        "faces_found": counts["faces_found"],
        "gone": run.gone,
        "missing_originals": sum(tally["missing_originals"] for tally in tallies),
        "seconds": round(seconds, 1),
    }


@task(name="finish_sync", task_run_name="finish {ticket.s3_prefix}", persist_result=False)
def finish_sync(ticket: Ticket) -> dict[str, Any] | None:
    """End the run with its result; None when another look at S3 was asked for meanwhile.

    Raises SyncIncompleteError when photos are left, for the flow's retries.
    """
    with open_session() as session:
        # Whoever leaves a request locks this row too: it is seen here, or finds the run ended.
        event = lock_event(session, ticket.event_id)
        check_epoch(session, ticket.event_id, ticket.epoch)
        if event.pending_prefixes:
            return None
        result = _close_run(session, ticket.flow_run_id)
        failed = list_photos(
            session,
            ticket.event_id,
            status=PhotoStatus.FAILED,
            after=0,
            limit=FAILED_PHOTOS_SHOWN,
        )
    get_run_logger().info(
        "S3 sync completed: %d new photos, %d skipped", result["new_photos"], result["skipped"]
    )
    report_progress(ticket, is_last=True)
    publish_summary(ticket.event_name, result, [photo for photo, _ in failed])
    return result


def _close_run(session: Session, flow_run_id: UUID) -> dict[str, Any]:
    run = session.get_one(SyncRun, flow_run_id)
    counts = count_run(session, flow_run_id)
    if counts["pending"]:
        raise SyncIncompleteError(
            f"{counts['pending']} photos are still to be read; the next attempt takes them up."
        )
    seconds = (utc_now() - (run.started_at or run.created_at)).total_seconds()
    result = build_result(run, counts, seconds)
    complete_run(session, flow_run_id, result)
    return result


def name_completion(result: dict[str, Any]) -> str:
    """The name of a completed run's state: what is usual always, the rest where there is any."""
    rest = [f"{result[name]} {name}" for name in ("updated", "failed", "gone") if result[name]]
    counts = [f"{result['new_photos']} new", f"{result['skipped']} skipped", *rest]
    return f"Completed: {', '.join(counts)}"


def build_final_state(
    sync: HeldSync, name_result: Callable[[dict[str, Any]], str] = name_completion
) -> State[Any]:
    """The state in which Prefect shows a sync that is over; `name_result` names a completed one's.

    A sync that no retry heals must not end as Failed: Prefect retries every Failed flow run that
    has retries left. Crashed is not retried, and its name says what it is.
    """
    if sync.result is not None:
        name = name_result(sync.result)
        return Completed(name=name, message=sync.message, data=sync.result)
    if sync.state is SyncState.SKIPPED:
        return Completed(name="Skipped", message=sync.message, data=None)
    if sync.state is SyncState.CANCELLED:
        return State(type=StateType.CANCELLED, name="Cancelled", message=sync.message)
    return State(type=StateType.CRASHED, name="Failed", message=sync.message)
