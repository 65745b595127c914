"""The Prefect tasks that change an event's model: read every photo with another pack, switch once.

Guests search the old faces until the switch. Embeddings are cached as in a sync, so a run that is
started again after a crash computes nothing twice.
"""

from collections import defaultdict
from typing import Any

from prefect import get_run_logger, task
from prefect.client.schemas.objects import State
from prefect.states import Completed

from models.errors import PhotosUnreachableError, SyncIncompleteError
from models.findings import tell_findings
from models.queries.events import read_event
from models.queries.outcomes import PhotoOutcome, PhotoRef, check_epoch
from models.queries.reembeds import (
    PhotoRange,
    list_range,
    plan_reembedding,
    store_beside,
    switch_pack,
)
from models.session import open_session
from models.settings import get_settings
from models.vocabulary import PhotoStatus
from tasks.faces.detected import UNREACHABLE
from tasks.sync.artifacts import build_page, finish_progress, name_batch, publish_page
from tasks.sync.batch import build_outcome, find_faces
from tasks.sync.context import SyncContext
from tasks.sync.embed import ReadPhoto
from tasks.sync.runner import check_worker


@task(name="plan_reembedding", task_run_name="plan change of model", persist_result=False)
def plan_photos_to_reembed(sync: SyncContext) -> list[PhotoRange]:
    """Cut the event's photos into batches; those that the pack knows are left out."""
    with open_session() as session:
        ranges = plan_reembedding(
            session,
            event_id=sync.event_id,
            epoch=sync.epoch,
            run=sync.flow_run_id,
            pack_id=sync.pack_id,
            batch_size=get_settings().batch_size,
        )
    get_run_logger().info("%d batches are read by %s", len(ranges), sync.pack)
    return ranges


@task(name="reembed_batch", task_run_name=name_batch, persist_result=False)
def reembed_batch(photos: PhotoRange, sync: SyncContext) -> None:
    """Read one batch by the new pack and keep its faces beside the old ones.

    May run any number of times. Raises PhotosUnreachableError when some photos could not be
    fetched, S3DownloadError when none could, SyncSupersededError when the event is another's by
    now.
    """
    check_worker(sync)
    with open_session() as session:
        key = read_event(session, sync.event_id).result_key  # before the photos, not after
        wanted = list_range(session, photos, event_id=sync.event_id, pack_id=sync.pack_id)
    found = dict(zip(wanted, find_faces(wanted, sync, key), strict=True)) if wanted else {}
    again = [photo for photo, faces in found.items() if faces.verdict == UNREACHABLE]
    if again:
        # Under a key of this attempt's own: the first look's answer may be an earlier attempt's.
        looks = [PhotoRef(photo.s3_key, photo.etag, -sync.epoch) for photo in again]
        found |= dict(zip(again, find_faces(looks, sync, key), strict=True))
    _store(photos, found, sync)


def _store(photos: PhotoRange, found: dict[PhotoRef, ReadPhoto], sync: SyncContext) -> None:
    outcomes, left = sort_outcomes(found)
    if unreachable := left.pop(UNREACHABLE, []):
        raise PhotosUnreachableError(
            f"S3 unreachable: {len(unreachable)} photos of a batch could not be read."
        )
    with open_session() as session:
        check_epoch(session, sync.event_id, sync.epoch)
        store_beside(
            session,
            outcomes,
            left,
            photos=photos,
            event_id=sync.event_id,
            run=sync.flow_run_id,
            pack_id=sync.pack_id,
        )


def sort_outcomes(
    found: dict[PhotoRef, ReadPhoto],
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


@task(name="switch_model", task_run_name="switch to the new model", persist_result=False)
def switch_model(sync: SyncContext) -> dict[str, Any]:
    """Put the new faces in service in one transaction, and end the run's record; its result.

    Raises SyncIncompleteError while batches are missing, SyncSupersededError.
    """
    with open_session() as session:
        result = switch_pack(
            session,
            event_id=sync.event_id,
            epoch=sync.epoch,
            run=sync.flow_run_id,
            pack_id=sync.pack_id,
            pack_ids=sync.pack_ids,
            choice=sync.choice,
        )
    if result is None:
        raise SyncIncompleteError("Some batches are still to be read by the new model.")
    return result


def report_reembedding(sync: SyncContext, result: dict[str, Any]) -> State[Any]:
    """Tell what became of it: in the log, on the run's page, and as the run's last state."""
    get_run_logger().info("Model changed: %d photos by %s", result["photos"], sync.pack)
    finish_progress(sync.progress_id)
    rows = {
        "Photos": result["photos"],
        "Without a face": result["no_face"],
        "Faces": result["faces_found"],
        **{f"Left to the next sync ({why})": count for why, count in result["left"].items()},
    }
    publish_page(
        f"event-{sync.event_id}-model",
        build_page(sync.event_name, result["message"], rows, tell_findings(result)),
        f"Last change of the model of {sync.event_name}",
    )
    return Completed(name=name_completion(result), message=result["message"], data=result)


def name_completion(result: dict[str, Any]) -> str:
    """The name of a completed re-embedding's state."""
    left = sum(result["left"].values())
    return f"Completed: {result['photos']} photos" + (f", {left} left to the sync" if left else "")
