"""What came of making an event's previews: the counts, and what Prefect's UI shows of them."""

from typing import Any

from prefect.client.schemas.objects import State, StateType
from prefect.states import Completed

from models.vocabulary import PhotoReason
from tasks.artifacts import publish_page, publish_table
from tasks.preview_hold import SKIPPED
from tasks.preview_job import FAILURES_KEPT, PreviewJob
from tasks.preview_making import Verdict

WHAT_TO_DO = {
    PhotoReason.NOT_AN_IMAGE: "upload a real JPEG, PNG or WebP under this name",
    PhotoReason.TRUNCATED: "upload the original again: its end is missing or damaged",
    PhotoReason.EMPTY: "upload the original again: it has no bytes",
    PhotoReason.TOO_MANY_PIXELS: "upload a smaller original, or a preview of your own",
    PhotoReason.TOO_MANY_BYTES: "upload a smaller original or a preview of your own, or raise "
    "FACEPASS_MAX_ORIGINAL_BYTES",
    PhotoReason.UNPROCESSABLE: "open it in a photo program and save it as an ordinary JPEG",
    PhotoReason.FORBIDDEN: "let the worker's credentials read this object",
    PhotoReason.VANISHED: "nothing, if it was deleted or is being replaced; else start this again",
}


def build_result(job: PreviewJob, seconds: float) -> dict[str, Any]:
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
        "syncs": [str(run) for run in job.syncs],
        "seconds": round(seconds, 1),
    }


def publish_result(job: PreviewJob, result: dict[str, Any]) -> None:
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
    lines = [f"# {job.event_name}", "", f"{result['message']}.", "", "| | |", "|---|---|"]
    text = "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items())])
    publish_page(f"event-{job.event_id}-previews", text, f"Previews of {job.event_name}")
    failures = (job.earlier.failures + job.tally.failures)[:FAILURES_KEPT]
    if failures:
        publish_table(
            f"event-{job.event_id}-failed-originals",
            [
                {"original": key, "reason": str(reason), "what to do": WHAT_TO_DO[reason]}
                for key, reason in failures
            ],
            f"Originals of {job.event_name} of which no preview could be made",
        )


def build_previews_state(job: PreviewJob) -> State[Any]:
    """The state in which Prefect shows a job that is over; Crashed is never retried by itself."""
    if job.result is not None:
        words = {Verdict.STOOD_IN: "unreadable", Verdict.LEFT_OUT: "left out"}
        rest = [f"{job.result[key]} {word}" for key, word in words.items() if job.result[key]]
        counts = [f"{job.result[Verdict.MADE]} made", f"{job.result[Verdict.KEPT]} kept", *rest]
        name = f"Completed: {', '.join(counts)}"
        return Completed(name=name, message=job.message, data=job.result)
    if job.ended_as == SKIPPED:
        return Completed(name=SKIPPED, message=job.message, data=None)
    return State(type=StateType.CRASHED, name=job.ended_as, message=job.message)
