"""The steps of a run that makes an event's previews, and its final report.

Two such runs of one event need no lock. Each checks for a preview before it makes one, and S3
keeps only the first of two that are put under the same key.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
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
    EventNotFoundError,
    FacePassError,
    S3AccessError,
    S3DownloadError,
    SyncSkippedError,
)
from models.findings import advise_left_out, choose_told, join_message, list_kinds
from models.keys import build_run_name
from models.packs import PROFILES
from models.queries.erasures import require_syncable
from models.queries.events import lock_event, read_event
from models.session import open_session
from models.vocabulary import PhotoReason
from tasks.images.preview import PreviewRecipe
from tasks.previews.find import Census, OriginalRef, cut, list_candidates
from tasks.previews.make import Verdict, bring_preview, is_marked, mark_recipe
from tasks.s3.bucket import Bucket, get_bucket
from tasks.s3.errors import quote_s3
from tasks.s3.objects import delete_object
from tasks.sync.artifacts import (
    WHAT_TO_DO_WITH_ORIGINALS,
    Throttle,
    build_page,
    finish_progress,
    move_progress,
    name_batch,
    publish_page,
    publish_table,
    start_progress,
)
from tasks.sync.hold import outlive_worker
from tasks.sync.states import SYNC_RETRIES, find_end

LARGEST_BATCH = 50  # originals a task run: a minute's work at most
FEWEST_BATCHES = 24  # of an event whose batches can be smaller, so that all threads have work
WINDOW = 20  # batches handed out at a time: bounds what a run keeps in memory
FAILURES_KEPT = 200
# Reasons for which an original is left out; of others its bytes stand in.
NOTHING_PUT = {
    PhotoReason.FORBIDDEN,
    PhotoReason.ARCHIVED,
    PhotoReason.VANISHED,
    PhotoReason.TOO_MANY_BYTES,
}


@dataclass(frozen=True)
class PreviewBatch:
    """Some originals; `number` is what Prefect's UI calls them by."""

    number: int
    event_id: int
    originals: Sequence[OriginalRef]


@dataclass
class Tally:
    """What came of photos: counts by verdict, and the first of those that got nothing, with why."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str]] = field(default_factory=list)
    unreachable: int = 0
    trouble: str = ""  # the sentence about S3 for the last of these

    def note(self, s3_key: str, verdict: str, why: str | None) -> None:
        """Count one."""
        self.counts[verdict] += 1
        if why is not None and len(self.failures) < FAILURES_KEPT:
            self.failures.append((s3_key, why))

    def add(self, other: "Tally") -> None:
        """Count another's too."""
        self.counts.update(other.counts)
        self.failures = (self.failures + other.failures)[:FAILURES_KEPT]
        self.unreachable += other.unreachable
        self.trouble = other.trouble or self.trouble

    @property
    def done(self) -> int:
        """Photos that have an outcome."""
        return self.counts.total()


class PreviewTally(Tally):
    """What came of originals; why one has no preview is a PhotoReason."""

    def keep_written(self) -> "PreviewTally":
        """What stays true in the next attempt: what was put is there."""
        written = {str(name): self.counts[name] for name in (Verdict.MADE, Verdict.STOOD_IN)}
        unreadable = [item for item in self.failures if item[1] not in NOTHING_PUT]
        return PreviewTally(Counter(written), unreadable)


@dataclass
class PreviewJob:
    """One attempt at an event's previews: how they are made, and what came of them so far."""

    event_id: int
    event_name: str
    recipe: PreviewRecipe
    folder: str  # the event's in S3
    look_at_all: bool = False
    progress_id: UUID | None = None
    earlier: PreviewTally = field(default_factory=PreviewTally)  # written by attempts before it
    tally: PreviewTally = field(default_factory=PreviewTally)  # of this attempt
    total: int = 0  # candidates of the first listing
    census: Census = field(default_factory=Census)  # of the second, which is worked on
    throttle: Throttle = field(default_factory=Throttle)  # of the progress bar
    started_at: float = field(default_factory=time.monotonic)  # seconds


# Flow run -> what its attempts so far have written, while it waits for its next one.
_written: dict[UUID, PreviewTally] = {}


@contextmanager
def hold_previews(event_id: int) -> Iterator[PreviewJob]:
    """The making of an event's previews, for the block; what the block raises is told and raised.

    Raises SyncSkippedError for an event whose faces were erased.
    """
    outlive_worker()
    flow_run_id = UUID(str(flow_run.get_id()))
    earlier = _written.pop(flow_run_id, PreviewTally())
    job: PreviewJob | None = None
    try:
        job = _begin(event_id, earlier)
        yield job
    except EventErasedError as error:
        raise SyncSkippedError(str(error)) from error
    except FacePassError as error:
        if find_end(error) is None and flow_run.get_run_count() <= SYNC_RETRIES:
            if job is not None:
                earlier.add(job.tally.keep_written())
            _written[flow_run_id] = earlier
        else:
            publish_page(
                f"event-{event_id}-previews-failure",
                f"# No previews\n\n{error}\n\nMend that, then press Retry or start it again.",
            )
        raise


def find_originals(job: PreviewJob) -> Iterator[Sequence[PreviewBatch]]:
    """The originals whose preview is to be looked at, in batches, a window of them at a time.

    S3 is listed twice: first to count, so that progress can be told, then to work. Nothing is
    held in between. Raises S3DownloadError or S3AccessError.
    """
    census, logger = Census(), get_run_logger()
    list_originals = partial(list_candidates, get_bucket(), job.folder, look_at_all=job.look_at_all)
    for _ in list_originals(census=census):
        pass
    job.total = census.candidates
    logger.info("Found %d originals in S3, %d of them to look at", census.originals, job.total)
    if census.ignored:
        logger.info("Ignored files that are no photos: %s", list_kinds(census.ignored))
    numbers = count()
    with closing(list_originals(census=job.census)) as candidates:
        for window in cut(cut(candidates, choose_batch_size(job.total)), WINDOW):
            yield [PreviewBatch(next(numbers), job.event_id, batch) for batch in window]


@task(name="make_preview_batch", task_run_name=name_batch, persist_result=False)
def make_preview_batch(batch: PreviewBatch, recipe: PreviewRecipe) -> PreviewTally:
    """Bring the previews of a batch; may run any number of times.

    One broken original is counted, and the others are made. When S3 is away the rest of the
    batch is left, and counted as unreachable. Raises S3AccessError.
    """
    tally, bucket, put = PreviewTally(), get_bucket(), []
    for original in batch.originals:
        try:
            outcome = bring_preview(bucket, original, recipe)
            tally.note(original.s3_key, outcome.verdict, outcome.reason)
            if outcome.verdict in {Verdict.MADE, Verdict.STOOD_IN}:
                put.append(original.preview_key)
        except S3DownloadError as error:
            tally.unreachable = len(batch.originals) - tally.done
            tally.trouble = str(error)
            get_run_logger().warning("%s S3's own words: %s", error, quote_s3(error))
            break
    _require_kept(bucket, batch.event_id, put)
    return tally


def _require_kept(bucket: Bucket, event_id: int, put: Sequence[str]) -> None:
    """Take these previews back where their event was deleted meanwhile: EventNotFoundError.

    A deletion looks for what is in the folder while it holds the event's row.
    """
    try:
        with open_session() as session:
            lock_event(session, event_id)
    except EventNotFoundError:
        for key in put:
            delete_object(bucket, key)
        raise


def wait_for_previews(futures: Sequence[PrefectFuture[Any]]) -> list[PreviewTally]:
    """Wait until every batch of a window has ended; then raise the first error, if there is any.

    Raises S3DownloadError where S3 gave none of the window: the next ones would not fare better;
    S3AccessError where it denies all of them.
    """
    wait(list(futures))
    tallies: list[PreviewTally] = [future.result() for future in futures]
    if tallies and not any(tally.done for tally in tallies):
        trouble = next((tally.trouble for tally in tallies if tally.trouble), "")
        raise S3DownloadError(f"None of a window's originals got its preview. {trouble}".strip())
    reasons = [reason for tally in tallies for _, reason in tally.failures]
    if reasons.count(PhotoReason.FORBIDDEN) == sum(tally.done for tally in tallies) > 1:
        raise S3AccessError(
            "S3 lists the originals and denies reading them: allow s3:GetObject on the bucket."
        )
    return tallies


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
            f"{job.tally.unreachable} originals have no preview yet; the next attempt takes them "
            f"up. {job.tally.trouble}".strip()
        )
    return {prefix: build_run_name(job.event_name, prefix) for prefix in job.census.prefixes}


def report_previews(job: PreviewJob, syncs: Sequence[UUID]) -> State[Any]:
    """Tell what came of the previews, on the run's page and as the run's last state."""
    unseen = {PhotoReason.FORBIDDEN, PhotoReason.ARCHIVED}
    is_seen = not any(reason in unseen for _, reason in job.tally.failures)
    if job.look_at_all and job.census.originals and is_seen:
        mark_recipe(get_bucket(), job.folder, job.recipe)
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
    originals, ignored = job.census.originals, choose_told(job.census.ignored)
    made = f"Made {counts[Verdict.MADE]} previews" if originals else "No originals found in S3"
    return {
        "event_id": job.event_id,
        "recipe": str(job.recipe),
        "originals": originals,
        **counts,
        "status": "completed",
        "message": join_message(made, ignored),
        "syncs": [str(run) for run in syncs],
        "seconds": round(seconds, 1),
        "ignored": ignored,
    }


def publish_previews_result(job: PreviewJob, result: dict[str, Any]) -> None:
    """Put the summary on the run's page, and a table of originals without a preview."""
    rows = {
        "Originals in S3": result["originals"],
        "Previews made": result[Verdict.MADE],
        "Kept: up to date, or the photographer's own": result[Verdict.KEPT],
        "Unreadable: their bytes stand in, and the sync says why": result[Verdict.STOOD_IN],
        "Left without a preview": result[Verdict.LEFT_OUT],
        "Files that get no preview": list_kinds(result["ignored"]) or 0,
        "Recipe (longest side, quality, version)": result["recipe"],
        "Syncs started": ", ".join(result["syncs"]) or "none",
    }
    publish_page(
        f"event-{job.event_id}-previews",
        build_page(job.event_name, result["message"], rows, advise_left_out(result["ignored"])),
        f"Previews of {job.event_name}",
    )
    failures = (job.earlier.failures + job.tally.failures)[:FAILURES_KEPT]
    if failures:
        publish_table(
            f"event-{job.event_id}-failed-originals",
            [
                {
                    "original": key,
                    "reason": str(reason),
                    "what to do": WHAT_TO_DO_WITH_ORIGINALS[PhotoReason(reason)],
                }
                for key, reason in failures
            ],
            f"Originals of {job.event_name} of which no preview could be made",
        )


def name_previews_completion(result: dict[str, Any]) -> str:
    """The name of a completed run's state: what is usual always, the rest where there is any."""
    rare = {
        "unreadable": result[Verdict.STOOD_IN],
        "left out": result[Verdict.LEFT_OUT],
        "ignored": sum(result["ignored"].values()),
    }
    rest = [f"{number} {word}" for word, number in rare.items() if number]
    counts = [f"{result[Verdict.MADE]} made", f"{result[Verdict.KEPT]} kept", *rest]
    return f"Completed: {', '.join(counts)}"


def choose_batch_size(originals: int) -> int:
    """Originals a batch."""
    return max(1, min(LARGEST_BATCH, -(-originals // FEWEST_BATCHES)))


def _begin(event_id: int, earlier: PreviewTally) -> PreviewJob:
    with open_session() as session:
        event = read_event(session, event_id)
        require_syncable(event)
    recipe = PreviewRecipe(PROFILES[event.profile].preview_side)
    get_run_logger().info("Previews are made by the recipe %s", recipe)
    return PreviewJob(
        event_id,
        event.name,
        recipe,
        event.folder,
        # After a change of the profile, or of how previews are made, each one's note is looked at.
        look_at_all=not is_marked(get_bucket(), event.folder, recipe),
        progress_id=start_progress(event.name),
        earlier=earlier,
    )
