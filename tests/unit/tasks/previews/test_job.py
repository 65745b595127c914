"""Batches of originals: one that fails is counted, an outage is left to the flow's retries."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.futures import PrefectConcurrentFuture
from prefect.logging import disable_run_logger
from prefect.states import Completed

from models.errors import S3AccessError, S3DownloadError
from models.vocabulary import PhotoReason
from tasks.images.preview import PreviewRecipe
from tasks.previews import job as preview_job
from tasks.previews.find import Census, OriginalRef
from tasks.previews.job import (
    FAILURES_KEPT,
    FEWEST_BATCHES,
    LARGEST_BATCH,
    PreviewBatch,
    PreviewJob,
    PreviewTally,
    build_previews_result,
    choose_batch_size,
    make_preview_batch,
    name_previews_completion,
    name_syncs,
    wait_for_previews,
)
from tasks.previews.make import KEPT, Outcome, Verdict

FOLDER = "events/1/"
RECIPE = PreviewRecipe(640)
MADE = Outcome(Verdict.MADE)
BROKEN = Outcome(Verdict.STOOD_IN, PhotoReason.TRUNCATED)
FORBIDDEN = Outcome(Verdict.LEFT_OUT, PhotoReason.FORBIDDEN)
AWAY = S3DownloadError("S3 unreachable (ConnectTimeoutError).")


@pytest.fixture
def run_batch(monkeypatch: pytest.MonkeyPatch) -> Callable[..., PreviewTally]:
    """Runs a batch whose originals have these outcomes."""

    def run(*outcomes: Outcome | Exception) -> PreviewTally:
        rest = iter(outcomes)

        def bring(*_: object) -> Outcome:
            outcome = next(rest)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(preview_job, "bring_preview", bring)
        monkeypatch.setattr(preview_job, "get_bucket", lambda: None)
        monkeypatch.setattr(preview_job, "_require_kept", lambda *_: None)
        originals = [OriginalRef(f"o{i}", "e", 1, f"p{i}") for i in range(len(outcomes))]
        with disable_run_logger():
            return make_preview_batch.fn(PreviewBatch(0, 1, originals), RECIPE)

    return run


def test_one_broken_original_is_named_and_the_others_are_made(
    run_batch: Callable[..., PreviewTally],
) -> None:
    tally = run_batch(MADE, BROKEN, KEPT, FORBIDDEN, MADE)
    assert tally.counts == {"made": 2, "stood_in": 1, "kept": 1, "left_out": 1}
    assert tally.failures == [("o1", PhotoReason.TRUNCATED), ("o3", PhotoReason.FORBIDDEN)]
    assert tally.unreachable == 0


def test_an_outage_leaves_the_rest_of_a_batch_to_the_next_attempt(
    run_batch: Callable[..., PreviewTally],
) -> None:
    tally = run_batch(MADE, AWAY, MADE, MADE)
    assert (tally.counts, tally.unreachable) == ({"made": 1}, 3)
    job = PreviewJob(1, "Свадьба", RECIPE, FOLDER, tally=tally)
    with pytest.raises(S3DownloadError, match="3 originals"):
        name_syncs(job)


def finish(tally: PreviewTally) -> PrefectConcurrentFuture[PreviewTally]:
    """A task run that has ended with this."""
    done: Future[PreviewTally] = Future()
    done.set_result(tally)
    future: PrefectConcurrentFuture[PreviewTally] = PrefectConcurrentFuture(uuid4(), done)
    future._final_state = Completed(data=tally)
    return future


def test_reading_denied_for_all_is_the_credentials_fault(
    run_batch: Callable[..., PreviewTally],
) -> None:
    denied, made = finish(run_batch(FORBIDDEN)), finish(run_batch(MADE))
    with pytest.raises(S3AccessError, match="s3:GetObject"):
        wait_for_previews([denied, denied])
    assert len(wait_for_previews([denied])) == 1
    assert len(wait_for_previews([denied, made, denied])) == 3


def test_a_window_of_which_s3_gave_nothing_ends_the_attempt(
    run_batch: Callable[..., PreviewTally],
) -> None:
    away, made = finish(run_batch(AWAY)), finish(run_batch(MADE))
    with pytest.raises(S3DownloadError, match="ConnectTimeoutError"):
        wait_for_previews([away, away])
    assert len(wait_for_previews([away, made])) == 2


def test_a_refused_write_is_told_as_one(run_batch: Callable[..., PreviewTally]) -> None:
    refused = finish(run_batch(S3DownloadError("S3 takes no object (it answered SlowDown).")))
    with pytest.raises(S3DownloadError, match="takes no object") as raised:
        wait_for_previews([refused])
    assert "read" not in str(raised.value)


@given(st.integers(1, 10**6))
def test_small_events_keep_all_threads_at_work_and_large_ones_few_tasks(originals: int) -> None:
    size = choose_batch_size(originals)
    assert 1 <= size <= LARGEST_BATCH
    assert size == LARGEST_BATCH or size * FEWEST_BATCHES < originals + FEWEST_BATCHES


def test_of_very_many_failures_the_first_are_named_and_all_are_counted() -> None:
    total, part = PreviewTally(), PreviewTally()
    part.note("o", BROKEN.verdict, BROKEN.reason)
    for _ in range(FAILURES_KEPT + 5):
        total.add(part)
    assert (len(total.failures), total.done) == (FAILURES_KEPT, FAILURES_KEPT + 5)


def test_the_counts_are_those_of_all_originals() -> None:
    job = PreviewJob(1, "Свадьба", RECIPE, FOLDER, census=Census(originals=10, candidates=4))
    for outcome in (MADE, BROKEN, KEPT, FORBIDDEN):
        job.tally.note("o", outcome.verdict, outcome.reason)
    result = build_previews_result(job, [], 1.0)
    counts = {name: result[name] for name in ("made", "kept", "stood_in", "left_out")}
    assert counts == {"made": 1, "kept": 7, "stood_in": 1, "left_out": 1}
    assert sum(counts.values()) == result["originals"]
    assert name_previews_completion(result) == "Completed: 1 made, 7 kept, 1 unreadable, 1 left out"


def test_what_an_earlier_attempt_wrote_is_counted_once() -> None:
    first, second = PreviewTally(), PreviewTally()
    for outcome in (MADE, BROKEN, FORBIDDEN):
        first.note("o", outcome.verdict, outcome.reason)
    for outcome in (KEPT, KEPT, FORBIDDEN, MADE):
        second.note("o", outcome.verdict, outcome.reason)
    earlier = first.keep_written()
    assert earlier.failures == [("o", PhotoReason.TRUNCATED)]
    job = PreviewJob(
        1, "Свадьба", RECIPE, FOLDER, census=Census(originals=5), tally=second, earlier=earlier
    )
    result = build_previews_result(job, [], 1.0)
    counts = {name: result[name] for name in ("made", "kept", "stood_in", "left_out")}
    assert counts == {"made": 2, "kept": 1, "stood_in": 1, "left_out": 1}


def test_what_gets_no_preview_is_told_by_kind() -> None:
    ignored = Counter(raw=1, heic=2, hidden=3)
    job = PreviewJob(1, "Свадьба", RECIPE, FOLDER, census=Census(originals=2, ignored=ignored))
    result = build_previews_result(job, [], 1.0)
    assert result["ignored"] == {"raw": 1, "heic": 2}
    assert result["message"] == "Made 0 previews; 2 HEIC files and 1 RAW file were left out"
    assert name_previews_completion(result) == "Completed: 0 made, 2 kept, 3 ignored"


def test_an_event_without_originals_says_so() -> None:
    assert build_previews_result(PreviewJob(1, "Свадьба", RECIPE, FOLDER), [], 0.0)["message"] == (
        "No originals found in S3"
    )
