"""The steps of a run that makes the views of an event's photos, and its final report.

Two such runs of one event need no lock: each looks for a photo's views before it makes them, and
S3 keeps only the first of two that are put under the same key.
"""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

from prefect import get_run_logger, task
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run
from prefect.states import Completed

from models.errors import (
    EventErasedError,
    FacePassError,
    S3AccessError,
    S3DownloadError,
    SyncSkippedError,
)
from models.keys import derive_view_keys
from models.queries.erasures import require_syncable
from models.queries.events import read_event
from models.queries.gallery.views import ViewRecord, ViewWork, list_hidden_photos, record_views
from models.session import open_session
from models.settings import get_settings
from tasks.images.views import VIEWS_RECIPE
from tasks.previews.find import cut
from tasks.previews.job import WINDOW, Tally
from tasks.s3.bucket import Bucket, get_bucket
from tasks.s3.errors import quote_s3
from tasks.s3.views import delete_views
from tasks.sync.artifacts import (
    Throttle,
    build_page,
    finish_progress,
    move_progress,
    name_batch,
    publish_failure,
    publish_page,
    publish_table,
    start_progress,
)
from tasks.sync.hold import outlive_worker
from tasks.sync.states import SYNC_RETRIES, find_end
from tasks.views.find import count_work, delete_orphans, list_work, survey_views
from tasks.views.make import Verdict, bring_views

BATCH_SIZE = 20  # photos a task run: a quarter of a minute's work
LOWER_PRIORITY = 10  # of the threads that encode: syncs and searches go first


@dataclass(frozen=True)
class ViewBatch:
    """Some photos of an event; `number` is what Prefect's UI calls them by."""

    number: int
    event_id: int
    folder: str
    photos: Sequence[ViewWork]


@dataclass
class ViewJob:
    """One attempt at the views of an event's photos, and what came of it so far."""

    event_id: int
    event_name: str
    folder: str  # the event's in S3
    progress_id: UUID | None = None
    tally: Tally = field(default_factory=Tally)
    total: int = 0  # photos to look at
    deleted: int = 0  # objects of views
    throttle: Throttle = field(default_factory=Throttle)  # of the progress bar
    started_at: float = field(default_factory=time.monotonic)  # seconds


@contextmanager
def hold_views(event_id: int) -> Iterator[ViewJob]:
    """The making of views of an event, for the block; what the block raises is told and raised.

    Raises SyncSkippedError for an event whose faces were erased, and where views are switched off.
    """
    outlive_worker()
    try:
        if not get_settings().make_views:
            raise SyncSkippedError("No views are made: FACEPASS_MAKE_VIEWS is 0.")
        with open_session() as session:
            event = read_event(session, event_id)
            require_syncable(event)
        yield ViewJob(event_id, event.name, event.folder, start_progress(event.name))
    except EventErasedError as error:
        raise SyncSkippedError(str(error)) from error
    except SyncSkippedError:
        raise
    except FacePassError as error:
        if find_end(error) is not None or flow_run.get_run_count() > SYNC_RETRIES:
            publish_failure(event_id, str(error), "making of views")
        raise


def find_photos(job: ViewJob) -> Iterator[Sequence[ViewBatch]]:
    """The photos whose views are to be looked at, in batches, a window of them at a time.

    Views of photos that are erased or gone are deleted first. Raises S3DownloadError or
    S3AccessError.
    """
    bucket = get_bucket()
    orphans = survey_views(bucket, job.event_id, job.folder)
    try:
        job.deleted = delete_orphans(bucket, orphans)
    except S3AccessError as error:  # whoever may not delete can make views all the same
        get_run_logger().warning("Views of photos that are gone stay in S3: %s", error)
    shown, job.total = count_work(job.event_id)
    get_run_logger().info(
        "%d photos are shown; the views of %d are to be looked at", shown, job.total
    )
    numbers = count()
    for photos in list_work(job.event_id, BATCH_SIZE * WINDOW):
        yield [
            ViewBatch(next(numbers), job.event_id, job.folder, batch)
            for batch in cut(photos, BATCH_SIZE)
        ]


@task(name="make_view_batch", task_run_name=name_batch, persist_result=False)
def make_view_batch(batch: ViewBatch) -> Tally:
    """Bring the views of a batch and record them; may run any number of times.

    One broken photo is counted, and the others are made. When S3 is away the rest of the batch is
    left, and counted as unreachable. Raises S3AccessError, or the database's errors.
    """
    _give_way()
    tally = bring_batch(get_bucket(), batch)
    if tally.unreachable:
        get_run_logger().warning("%s", tally.trouble)
    return tally


def bring_batch(bucket: Bucket, batch: ViewBatch) -> Tally:
    """What `make_view_batch` does."""
    try:
        tally, records = _bring_each(bucket, batch)
        with open_session() as session:
            record_views(session, batch.event_id, records)
    finally:
        _delete_hidden(bucket, batch)
    return tally


def _bring_each(bucket: Bucket, batch: ViewBatch) -> tuple[Tally, list[ViewRecord]]:
    tally, records = Tally(), []
    try:
        for photo in batch.photos:
            outcome = bring_views(bucket, photo, batch.folder)
            tally.note(photo.s3_key, outcome.verdict, outcome.why)
            if outcome.record is not None:
                records.append(outcome.record)
    except S3DownloadError as error:
        tally.unreachable = len(batch.photos) - tally.done
        tally.trouble = f"{error} S3's own words: {quote_s3(error)}"
    return tally, records


def _delete_hidden(bucket: Bucket, batch: ViewBatch) -> None:
    """Delete the views of photos that were erased or went while the batch was made.

    Whoever erased them may have looked for their views before they were put, and a photo may have
    views and no record of them: where S3 refused one of the three, or the batch broke off.
    """
    with open_session() as session:
        hidden = set(list_hidden_photos(session, [photo.id for photo in batch.photos]))
    for photo in batch.photos:
        if photo.id in hidden:
            delete_views(bucket, (derive_view_keys(photo.s3_key, batch.folder) or {}).values())


def _give_way() -> None:
    """Let the threads of syncs and searches on this machine go first."""
    with suppress(AttributeError, OSError):  # only Linux has priorities of threads
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWER_PRIORITY)


def wait_for_views(job: ViewJob, futures: Sequence[PrefectFuture[Any]]) -> None:
    """Wait until every batch of a window has ended, and count; then raise the first error.

    Raises S3DownloadError where S3 gave none of the window: the next ones would not fare better.
    """
    wait(list(futures))
    tallies: list[Tally] = [future.result() for future in futures]
    for tally in tallies:
        job.tally.add(tally)
    if not any(tally.done for tally in tallies):
        raise S3DownloadError(f"S3 gave none of these photos. {job.tally.trouble}".strip())
    if job.throttle.is_due():
        move_progress(job.progress_id, job.tally.done, job.total)


def report_views(job: ViewJob) -> State[Any]:
    """Tell what came of the views, on the run's page and as the run's last state.

    Raises S3DownloadError while photos are left, for the flow's retries.
    """
    if job.tally.unreachable:
        raise S3DownloadError(
            f"{job.tally.unreachable} photos have no views yet; the next attempt takes them up. "
            f"{job.tally.trouble}".strip()
        )
    shown, lacking = count_work(job.event_id)
    result = {
        "event_id": job.event_id,
        "recipe": VIEWS_RECIPE,
        "photos": shown,
        "with_views": shown - lacking,
        **{str(verdict): job.tally.counts[verdict] for verdict in Verdict},
        "deleted": job.deleted,
        "seconds": round(time.monotonic() - job.started_at, 1),
    }
    finish_progress(job.progress_id)
    message = f"{result['with_views']} of {shown} photos have views"
    publish_views_result(job, result, message)
    made, kept, left_out = (result[verdict] for verdict in Verdict)
    rest = f", {left_out} left out" if left_out else ""
    return Completed(
        name=f"Completed: {made} made, {kept} kept{rest}", message=message, data=result
    )


def publish_views_result(job: ViewJob, result: dict[str, Any], message: str) -> None:
    """Put the summary on the run's page, and a table of photos without views."""
    rows = {
        "Photos that guests see": result["photos"],
        "With views": result["with_views"],
        "Views made now": result[Verdict.MADE],
        "Found in S3 and recorded": result[Verdict.KEPT],
        "Left out: guests see their previews": result[Verdict.LEFT_OUT],
        "Objects deleted, of photos that are gone": result["deleted"],
        "Recipe": result["recipe"],
    }
    publish_page(
        f"event-{job.event_id}-views",
        build_page(job.event_name, message, rows),
        f"Views of {job.event_name}",
    )
    if job.tally.failures:
        publish_table(
            f"event-{job.event_id}-photos-without-views",
            [{"photo": key, "reason": why} for key, why in job.tally.failures],
            f"Photos of {job.event_name} whose previews are shown instead of views",
        )
