"""The steps of making an event's previews: find the originals, count what came of them, finish."""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import count

from prefect import get_run_logger

from models.errors import S3DownloadError
from models.keys import build_run_name
from models.vocabulary import PhotoReason
from tasks.artifacts import move_progress
from tasks.preview_hold import COMPLETED
from tasks.preview_job import (
    WINDOW,
    PreviewBatch,
    PreviewJob,
    PreviewTally,
    choose_batch_size,
)
from tasks.preview_making import Verdict
from tasks.preview_report import build_result, publish_result
from tasks.preview_store import mark_recipe
from tasks.preview_work import Census, OriginalRef, cut, list_candidates
from tasks.storage import get_bucket


def find_originals(job: PreviewJob) -> Iterator[Sequence[PreviewBatch]]:
    """The originals whose preview is to be looked at, in batches, a window of them at a time.

    S3 is listed twice: first to count, so that progress can be told, then to work. Nothing is
    held in between. Raises S3DownloadError or S3AccessError.
    """
    if job.over:
        return
    count_candidates(job)
    numbers = count()
    with closing(_list(job, job.census)) as candidates:
        for window in cut(cut(candidates, choose_batch_size(job.total)), WINDOW):
            yield [PreviewBatch(next(numbers), originals) for originals in window]


def count_candidates(job: PreviewJob) -> None:
    """List once, for the counts alone."""
    census, logger = Census(), get_run_logger()
    for _ in _list(job, census):
        pass
    job.total = census.candidates
    logger.info("Found %d originals in S3, %d of them to look at", census.originals, job.total)
    if census.ignored:
        logger.info("Ignored %d files that are no photos", census.ignored)


def _list(job: PreviewJob, census: Census) -> Generator[OriginalRef, None, None]:
    return list_candidates(get_bucket(), job.event_id, look_at_all=job.look_at_all, census=census)


def count_outcomes(job: PreviewJob, tallies: Sequence[PreviewTally]) -> None:
    """Add a window's outcomes to the job's, and move its progress."""
    for tally in tallies:
        job.tally.add(tally)
    move_progress(job.progress_id, job.tally.done, job.total)
    get_run_logger().info("Made %d previews...", job.tally.counts[Verdict.MADE])


def name_syncs(job: PreviewJob) -> dict[str, str]:
    """The prefixes to sync and what each run is called; none where the job did not get that far.

    Raises S3DownloadError while originals are left, for the flow's retries.
    """
    if job.over:
        return {}
    if job.tally.unreachable:
        raise S3DownloadError(
            f"S3 unreachable: {job.tally.unreachable} originals could not be read; "
            "the next attempt takes them up."
        )
    return {prefix: build_run_name(job.event_name, prefix) for prefix in job.census.prefixes}


def finish_previews(job: PreviewJob) -> None:
    """End the job with its result."""
    if job.over:
        return
    forbidden = any(reason is PhotoReason.FORBIDDEN for _, reason in job.tally.failures)
    if job.look_at_all and job.census.originals and not forbidden:
        mark_recipe(get_bucket(), job.event_id, job.recipe)
    job.result = build_result(job, time.monotonic() - job.started_at)
    job.end(COMPLETED, job.result["message"])
    move_progress(job.progress_id, 1, 1)
    publish_result(job, job.result)
