"""The guide's statistics of a sync: counted in the database, stored, and shown in Prefect's UI."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from prefect import get_run_logger
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed
from sqlmodel import Session

from models.errors import SyncIncompleteError
from models.findings import FalseRate, choose_told, describe_findings, join_message, tell_synced
from models.keys import describe_resource
from models.queries.events import read_event
from models.queries.packs import read_false_rate
from models.queries.photos import PageCursor, count_lying_previews, list_photos
from models.queries.runs import complete_run, count_run
from models.session import open_session
from models.settings import get_settings
from models.tables import SyncRun, utc_now
from models.vocabulary import PhotoStatus, PrefectEvent
from tasks.sync.artifacts import FAILED_PHOTOS_SHOWN, finish_progress, publish_summary
from tasks.sync.context import SyncContext

# Shares of an event's photos from which on somebody should look, and how many they must be.
MANY_FAILED = 0.1
MANY_FACELESS = 0.5
LEAST_TOLD = 5


def build_result(
    run: SyncRun,
    counts: dict[str, int],
    seconds: float,
    rate: FalseRate | None = None,
    lying_previews: int = 0,
) -> dict[str, Any]:
    """The sync's result, from the ledger's counts and the listings' tallies.

    total_found = new_photos + updated + skipped + failed, by construction.
    """
    tallies = run.tallies.values()
    # Erased while they were this run's: there, and not read again.
    skipped = counts["erased"] + sum(tally["skipped"] for tally in tallies)
    failed = counts["failed"] + sum(tally["resting"] for tally in tallies)
    total = counts["new_photos"] + counts["updated"] + skipped + failed
    synced = tell_synced(counts["new_photos"], counts["updated"])
    missing_originals = sum(tally["missing_originals"] for tally in tallies)
    ignored = Counter[str]()
    for tally in tallies:
        ignored.update(tally.get("ignored", {}))  # none in one of an earlier release
    told = choose_told(ignored)
    return {
        "event_id": run.event_id,
        "s3_prefix": run.s3_prefix,
        "total_found": total,
        "new_photos": counts["new_photos"],
        "skipped": skipped,
        "status": "completed",
        "message": join_message(
            synced if total else "No photos found in S3", told, missing_originals
        ),
        "updated": counts["updated"],
        "failed": failed,
        "no_face": counts["no_face"],
        "faces_found": counts["faces_found"],
        "gone": run.gone,
        "missing_originals": missing_originals,
        "seconds": round(seconds, 1),
        "ignored": told,
        **describe_findings(rate, lying_previews),
    }


def close_run(session: Session, run: SyncRun, pack_ids: Sequence[int]) -> None:
    """End a run's record with its result; the caller holds the event's row.

    Raises SyncIncompleteError when photos are left, for the flow's retries.
    """
    counts = count_run(session, run.flow_run_id)
    if counts["pending"]:
        raise SyncIncompleteError(
            f"{counts['pending']} photos are still to be read; the next attempt takes them up."
        )
    seconds = (utc_now() - (run.started_at or run.created_at)).total_seconds()
    rate = read_false_rate(session, run.event_id, pack_ids)
    # As missing originals are: told by every sync of their folder for as long as they are there.
    lying = count_lying_previews(session, run.event_id, list(run.tallies))
    complete_run(session, run.flow_run_id, build_result(run, counts, seconds, rate, lying))


def report_statistics(sync: SyncContext) -> State[Any]:
    """Tell what the sync amounts to: in the log, on the run's page, and as the run's last state."""
    with open_session() as session:
        result: dict[str, Any] = session.get_one(SyncRun, sync.flow_run_id).result or {}
        event_uuid = read_event(session, sync.event_id).uuid
        failed = list_photos(
            session,
            sync.event_id,
            status=PhotoStatus.FAILED,
            after=PageCursor(),
            limit=FAILED_PHOTOS_SHOWN,
        )
    get_run_logger().info(
        "S3 sync completed: %d new photos, %d skipped", result["new_photos"], result["skipped"]
    )
    if result["updated"]:
        get_run_logger().info("%d photos were read anew", result["updated"])
    finish_progress(sync.progress_id)
    publish_summary(sync.event_name, result, [photo for photo, *_ in failed])
    installation = get_settings().installation
    announce_end(describe_resource(event_uuid, sync.event_name, installation), result)
    return Completed(name=name_completion(result), message=result["message"], data=result)


def announce_end(resource: dict[str, str], result: dict[str, Any]) -> None:
    """Tell Prefect's automations of the sync's end, in the background.

    The shares are labels in words, since a trigger compares no numbers.
    """
    if not PREFECT_API_URL.value():
        return  # else Prefect would start a server of its own
    labels = {
        "facepass.failed": judge_share(result["failed"], result["total_found"], MANY_FAILED),
        "facepass.no-face": judge_share(
            result["no_face"], result["new_photos"] + result["updated"], MANY_FACELESS
        ),
    }
    payload = {"event_name": resource["prefect.resource.name"], **result}
    emit_event(PrefectEvent.SYNCED, resource | labels, payload=payload)
    if result["failed"]:
        emit_event(PrefectEvent.FAILED, resource | labels, payload=payload)


def judge_share(number: int, total: int, many: float) -> str:
    """A share in a word; few photos say nothing of an event."""
    if not number:
        return "none"
    return "many" if number >= LEAST_TOLD and number >= many * total else "few"


def name_completion(result: dict[str, Any]) -> str:
    """The name of a completed run's state: what is usual always, the rest where there is any."""
    rest = [f"{result[name]} {name}" for name in ("updated", "failed", "gone") if result[name]]
    rare = {
        "without an original": result["missing_originals"],
        "ignored": sum(result["ignored"].values()),
        "lying": result["lying_previews"],
    }
    rest += [f"{number} {word}" for word, number in rare.items() if number]
    usual = [f"{result['new_photos']} new", f"{result['skipped']} skipped"]
    counts = usual if result["total_found"] else ["no photos in S3"]
    return f"Completed: {', '.join([*counts, *rest])}"
