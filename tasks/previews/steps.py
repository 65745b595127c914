"""The steps of making an event's previews: find the originals, count what came of them, report."""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import count
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed

from models.errors import S3DownloadError
from models.keys import build_run_name
from models.vocabulary import PhotoReason
from tasks.previews.find import Census, OriginalRef, cut, list_candidates
from tasks.previews.job import (
    FAILURES_KEPT,
    WINDOW,
    PreviewBatch,
    PreviewJob,
    PreviewTally,
    choose_batch_size,
)
from tasks.previews.make import Verdict, mark_recipe
from tasks.s3.bucket import get_bucket
from tasks.sync.artifacts import (
    WHAT_TO_DO,
    build_page,
    finish_progress,
    move_progress,
    publish_page,
    publish_table,
)


def find_originals(job: PreviewJob) -> Iterator[Sequence[PreviewBatch]]:
    """The originals whose preview is to be looked at, in batches, a window of them at a time.

    S3 is listed twice: first to count, so that progress can be told, then to work. Nothing is
    held in between. Raises S3DownloadError or S3AccessError.
    """
    census, logger = Census(), get_run_logger()
    for _ in _list(job, census):
        pass
    job.total = census.candidates
    logger.info("Found %d originals in S3, %d of them to look at", census.originals, job.total)
    if census.ignored:
        logger.info("Ignored %d files that are no photos", census.ignored)
    numbers = count()
    with closing(_list(job, job.census)) as candidates:
        for window in cut(cut(candidates, choose_batch_size(job.total)), WINDOW):
            yield [PreviewBatch(next(numbers), originals) for originals in window]


def _list(job: PreviewJob, census: Census) -> Generator[OriginalRef, None, None]:
    return list_candidates(get_bucket(), job.event_id, look_at_all=job.look_at_all, census=census)


def count_outcomes(job: PreviewJob, tallies: Sequence[PreviewTally]) -> None:
    """Add a window's outcomes to the job's, and move its progress."""
    for tally in tallies:
        job.tally.add(tally)
    if job.throttle.is_due():
        move_progress(job.progress_id, job.tally.done, job.total)
    get_run_logger().info("Made %d previews...", job.tally.counts[Verdict.MADE])


def name_syncs(job: PreviewJob) -> dict[str, str]:
    """The prefixes to sync, each with the name of its run.

    Raises S3DownloadError while originals are left, for the flow's retries.
    """
    if job.tally.unreachable:
        raise S3DownloadError(
            f"S3 unreachable: {job.tally.unreachable} originals could not be read; "
            "the next attempt takes them up."
        )
    return {prefix: build_run_name(job.event_name, prefix) for prefix in job.census.prefixes}


def report_previews(job: PreviewJob, syncs: Sequence[UUID]) -> State[Any]:
    """Tell what came of the previews, on the run's page and as the run's last state."""
    forbidden = any(reason is PhotoReason.FORBIDDEN for _, reason in job.tally.failures)
    if job.look_at_all and job.census.originals and not forbidden:
        mark_recipe(get_bucket(), job.event_id, job.recipe)
    result = build_previews_result(job, syncs, time.monotonic() - job.started_at)
    finish_progress(job.progress_id)
    publish_previews_result(job, result)
    return Completed(name=name_previews_completion(result), message=result["message"], data=result)


def build_previews_result(job: PreviewJob, syncs: Sequence[UUID], seconds: float) -> dict[str, Any]:
    """Counts: originals = made + kept + stood_in + left_out, of one listing."""
    found = job.earlier.counts + job.tally.counts
    counts = {str(verdict): found[verdict] for verdict in Verdict}
    # What needed no look; what was written by an earlier attempt is now found and kept.
    counts[Verdict.KEPT] = 0
    counts[Verdict.KEPT] = max(0, job.census.originals - sum(counts.values()))
    originals = job.census.originals
    message = f"Made {counts[Verdict.MADE]} previews" if originals else "No originals found in S3"
    return {
        "event_id": job.event_id,
        "recipe": str(job.recipe),
        "originals": originals,
        **counts,
        "status": "completed",
        "message": message,
        "syncs": [str(run) for run in syncs],
        "seconds": round(seconds, 1),
    }


def publish_previews_result(job: PreviewJob, result: dict[str, Any]) -> None:
    """Put the summary on the run's page, and a table of originals without a preview."""
    rows = {
        "Originals in S3": result["originals"],
        "Previews made": result[Verdict.MADE],
        "Kept: up to date, or the photographer's own": result[Verdict.KEPT],
        "Unreadable: their bytes stand in, and the sync says why": result[Verdict.STOOD_IN],
        "Left without a preview": result[Verdict.LEFT_OUT],
        "Recipe (longest side, quality, version)": result["recipe"],
        "Syncs started": ", ".join(result["syncs"]) or "none",
    }
    publish_page(
        f"event-{job.event_id}-previews",
        build_page(job.event_name, result["message"], rows),
        f"Previews of {job.event_name}",
    )
    failures = (job.earlier.failures + job.tally.failures)[:FAILURES_KEPT]
    if failures:
        publish_table(
            f"event-{job.event_id}-failed-originals",
            [
                {"original": key, "reason": str(reason), "what to do": WHAT_TO_DO[reason].original}
                for key, reason in failures
            ],
            f"Originals of {job.event_name} of which no preview could be made",
        )


def name_previews_completion(result: dict[str, Any]) -> str:
    """The name of a completed run's state: what is usual always, the rest where there is any."""
    words = {Verdict.STOOD_IN: "unreadable", Verdict.LEFT_OUT: "left out"}
    rest = [f"{result[key]} {word}" for key, word in words.items() if result[key]]
    counts = [f"{result[Verdict.MADE]} made", f"{result[Verdict.KEPT]} kept", *rest]
    return f"Completed: {', '.join(counts)}"
