"""Changing an event's model: every photo read by another pack, then one switch.

The old faces stay in service until the switch. What is embedded is kept as a sync keeps it: a
change that was killed and is started again computes nothing twice.
"""

from collections import defaultdict
from typing import Any

from prefect import get_run_logger, task

from models.errors import SyncIncompleteError
from models.queries.erasures import read_last_erasure
from models.queries.outcomes import PhotoOutcome, PhotoRef, check_epoch
from models.queries.reembeds import PhotoRange, list_range, plan_change, store_beside, switch_pack
from models.session import open_session
from models.settings import get_settings
from models.vocabulary import PhotoStatus
from tasks.faces.detected import UNREACHABLE, PhotoFaces
from tasks.sync.artifacts import publish_change, report_progress
from tasks.sync.batch import build_outcome, find_faces
from tasks.sync.context import Ticket, check_settings


@task(name="plan_change", task_run_name="plan change of model", persist_result=False)
def plan_pack_change(ticket: Ticket) -> list[list[PhotoRange]]:
    """Cut the event's photos into batches, in windows; those that the pack knows are left out."""
    with open_session() as session:
        ranges = plan_change(
            session,
            event_id=ticket.event_id,
            epoch=ticket.epoch,
            run=ticket.flow_run_id,
            pack_id=ticket.pack_id,
            batch_size=get_settings().batch_size,
        )
    get_run_logger().info("%d batches are read by %s", len(ranges), ticket.pack)
    return [ranges] if ranges else []


@task(name="reembed_batch", task_run_name="batch {photos.number}", persist_result=False)
def reembed_batch(photos: PhotoRange, ticket: Ticket) -> None:
    """Read one batch by the new pack and keep its faces beside the old ones.

    May run any number of times. Raises SyncIncompleteError when some photos could not be fetched,
    S3DownloadError when none could, SyncSupersededError when the event is another's by now.
    """
    check_settings(ticket)
    with open_session() as session:
        erasure = read_last_erasure(session, ticket.event_id)  # before the photos, not after
        wanted = list_range(session, photos, event_id=ticket.event_id, pack_id=ticket.pack_id)
    found = dict(zip(wanted, find_faces(wanted, ticket, erasure), strict=True)) if wanted else {}
    again = [photo for photo, faces in found.items() if faces.verdict == UNREACHABLE]
    if again:
        # Under a key of this attempt's own: the first look's answer may be an earlier attempt's.
        looks = [PhotoRef(photo.s3_key, photo.etag, -ticket.epoch) for photo in again]
        found |= dict(zip(again, find_faces(looks, ticket, erasure), strict=True))
    _store(photos, found, ticket)


def _store(photos: PhotoRange, found: dict[PhotoRef, PhotoFaces], ticket: Ticket) -> None:
    outcomes, left = sort_outcomes(found)
    if unreachable := left.pop(UNREACHABLE, []):
        raise SyncIncompleteError(
            f"S3 unreachable: {len(unreachable)} photos of a batch could not be read."
        )
    with open_session() as session:
        check_epoch(session, ticket.event_id, ticket.epoch)
        store_beside(
            session,
            outcomes,
            left,
            photos=photos,
            event_id=ticket.event_id,
            run=ticket.flow_run_id,
            pack_id=ticket.pack_id,
        )


def sort_outcomes(
    found: dict[PhotoRef, PhotoFaces],
) -> tuple[list[PhotoOutcome], dict[str, list[str]]]:
    """What to store, and the keys of photos that are left to the next sync, by reason.

    Left is what cannot be read as it was: it vanished, changed, or is not allowed any more.
    """
    outcomes, left = [], defaultdict(list)
    for photo, faces in found.items():
        outcome = build_outcome(photo, faces) if faces.is_final else None
        if outcome is None or outcome.status is PhotoStatus.FAILED:
            left[faces.verdict].append(photo.s3_key)
        else:
            outcomes.append(outcome)
    return outcomes, dict(left)


@task(name="finish_change", task_run_name="switch to the new model", persist_result=False)
def finish_change(ticket: Ticket) -> dict[str, Any]:
    """Put the new faces in service in one transaction, and end the run with its result.

    Raises SyncIncompleteError while batches are missing, SyncSupersededError.
    """
    with open_session() as session:
        result = switch_pack(
            session,
            event_id=ticket.event_id,
            epoch=ticket.epoch,
            run=ticket.flow_run_id,
            pack_id=ticket.pack_id,
            choice=ticket.choice,
        )
    if result is None:
        raise SyncIncompleteError("Some batches are still to be read by the new model.")
    get_run_logger().info("Model changed: %d photos by %s", result["photos"], ticket.pack)
    report_progress(ticket, is_last=True)
    publish_change(ticket.event_name, result)
    return result


def name_change(result: dict[str, Any]) -> str:
    """The name of a completed change's state."""
    left = sum(result["left"].values())
    return f"Completed: {result['photos']} photos" + (f", {left} left to the sync" if left else "")
