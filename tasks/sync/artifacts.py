"""Artifacts and run names in Prefect's UI: a progress bar, summaries and tables of failed photos.

They show only photo keys and counts; never a face, a preview or an embedding. If an artifact
cannot be written, the run continues.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from uuid import UUID

import httpx
from prefect import tags
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run, task_run

from models.errors import FacePassError
from models.findings import list_kinds, tell_findings
from models.keys import (
    build_notices_name,
    build_previews_name,
    build_run_name,
    build_views_name,
)
from models.queries.events import choose_event
from models.queries.runs import count_progress
from models.session import open_session
from models.settings import get_settings
from models.tables import Photo, SyncRun
from models.vocabulary import PhotoReason
from tasks.sync.context import SyncContext
from tasks.sync.states import is_foreign_run

logger = logging.getLogger(__name__)

FAILED_PHOTOS_SHOWN = 200
# One report a second and the last one, which never waits: at most two in any second.
REPORT_INTERVAL_S = 1.0


# What to do about a preview that cannot be read ...
WHAT_TO_DO: dict[str | None, str] = {
    PhotoReason.NOT_AN_IMAGE: "upload a real JPEG, PNG or WebP under this name",
    PhotoReason.TRUNCATED: "upload the file again: its end is missing or damaged",
    PhotoReason.EMPTY: "upload the file again: it has no bytes",
    PhotoReason.TOO_MANY_PIXELS: "make a smaller preview (640 pixels are enough)",
    PhotoReason.TOO_MANY_BYTES: "make a smaller preview (JPEG at quality 85)",
    PhotoReason.UNPROCESSABLE: "open it in a photo program and save it as an ordinary JPEG",
    PhotoReason.FORBIDDEN: "let the worker's credentials read this object",
    PhotoReason.ARCHIVED: "restore it from its archive (Glacier); the next sync reads it",
    PhotoReason.VANISHED: "nothing, if it was deleted on purpose; else upload it again",
}
# ... and about an original.
WHAT_TO_DO_WITH_ORIGINALS = WHAT_TO_DO | {
    PhotoReason.NOT_AN_IMAGE: "upload a real photo under this name (JPEG, PNG, WebP, HEIC, AVIF, "
    "TIFF or RAW)",
    PhotoReason.TOO_MANY_PIXELS: "upload a smaller original, or a preview of your own",
    PhotoReason.TOO_MANY_BYTES: "upload a smaller original or a preview of your own, or raise "
    "FACEPASS_MAX_ORIGINAL_BYTES",
    PhotoReason.ARCHIVED: "restore it from its archive (Glacier), then start this again",
    PhotoReason.VANISHED: "nothing, if it was deleted or is being replaced; else start this again",
}


class Throttle:
    """A limit on how often something is done: once an interval."""

    def __init__(
        self,
        interval_s: float = REPORT_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """clock: seconds, never going back. The first time is due an interval from now."""
        self._interval_s = interval_s
        self._clock = clock
        self._last = clock()

    def is_due(self) -> bool:
        """Whether it is time; if so, the next time is an interval later."""
        now = self._clock()
        if now - self._last < self._interval_s:
            return False
        self._last = now
        return True


# --- progress ---


def start_progress(event_name: str) -> UUID | None:
    """Show an empty bar on the run's page; None where that is not possible."""
    with _tolerate_prefect():
        created: Any = create_progress_artifact(
            progress=0.0, description=f"Photos of {event_name} accounted for"
        )
        return UUID(str(created))
    return None


def report_progress(sync: SyncContext) -> None:
    """Move the bar to where the ledger is."""
    if sync.progress_id is None:
        return
    with open_session() as session:
        done, total = count_progress(session, session.get_one(SyncRun, sync.flow_run_id))
    move_progress(sync.progress_id, done, total)


def move_progress(progress_id: UUID | None, done: int, total: int) -> None:
    """Move a bar to its share."""
    if progress_id is None:
        return
    with _tolerate_prefect():
        update_progress_artifact(progress_id, progress=100.0 * min(done / max(total, 1), 1.0))


def finish_progress(progress_id: UUID | None) -> None:
    """Move a bar to its end."""
    move_progress(progress_id, 1, 1)


# --- pages and tables ---


def publish_summary(event_name: str, result: dict[str, Any], failed: Sequence[Photo]) -> None:
    """Put the summary on the run's page, and a table of failed photos where there are any."""
    event_id = result["event_id"]
    publish_page(
        f"event-{event_id}-summary",
        build_summary(event_name, result),
        f"Last sync of {event_name}",
    )
    if failed:
        publish_table(
            f"event-{event_id}-failed-photos",
            build_failure_table(failed),
            f"Photos of {event_name} that could not be read",
        )


def build_summary(event_name: str, result: dict[str, Any]) -> str:
    """The guide's four metrics and what else the sync found, as Markdown."""
    total, read = result["total_found"], result["new_photos"] + result["updated"]
    pace = f"{result['seconds'] / read:.2f} s" if read else "–"
    share = f"{100 * (total - result['failed']) / total:.1f} %" if total else "–"
    rows = {
        "Photos in S3": total,
        "Processed now": read,
        "Time a photo": pace,
        "Share that can be found": share,
        "Skipped (known already)": result["skipped"],
        "New": result["new_photos"],
        "Updated": result["updated"],
        "Failed": result["failed"],
        "Without a face": result["no_face"],
        "Faces found": result["faces_found"],
        "Gone from S3": result["gone"],
        "Previews without an original": result["missing_originals"],
        "Files left out": list_kinds(result["ignored"]) or 0,
        "Previews that lie": result["lying_previews"],
    }
    return build_page(event_name, result["message"], rows, tell_findings(result))


def build_page(
    title: str, message: str, rows: Mapping[str, object], notes: Iterable[str] = ()
) -> str:
    """A heading, a sentence, a table of two columns and paragraphs, as Markdown."""
    lines = [f"# {title}", "", f"{message}.", "", "| | |", "|---|---|"]
    lines += (f"| {name} | {value} |" for name, value in rows.items())
    return "\n".join([*lines, *(f"\n{note}" for note in notes)])


def build_failure_table(photos: Sequence[Photo]) -> list[dict[str, str]]:
    """Failed photos with their reasons and what to do about each."""
    return [
        {
            "photo": photo.s3_key,
            "reason": str(photo.reason),
            "what to do": WHAT_TO_DO.get(photo.reason, "look at the file"),
        }
        for photo in photos
    ]


def publish_failure(event_id: int, sentence: str, work: str = "sync") -> None:
    """Say on the run's page why it failed for good."""
    advice = f"Mend that, then press Retry or start a new {work}."
    text = f"# The {work} failed\n\n{sentence}\n\n{advice}"
    publish_page(f"event-{event_id}-failure", text, sentence)


def publish_page(key: str, text: str, description: str | None = None) -> None:
    """Put a page of Markdown on the run's page."""
    with _tolerate_prefect():
        create_markdown_artifact(text, key=_name_key(key), description=description)


def publish_table(key: str, rows: list[dict[str, str]], description: str) -> None:
    """Put a table on the run's page."""
    with _tolerate_prefect():
        create_table_artifact(rows, key=_name_key(key), description=description)


def _name_key(key: str) -> str:
    """An artifact's key; event ids of installations that share a server are alike."""
    installation = get_settings().installation
    return key if installation == "default" else f"{installation}-{key}"


@contextmanager
def _tolerate_prefect() -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, PrefectException, ValueError) as error:
        logger.warning("An artifact could not be written: %s", type(error).__name__)


# --- names and tags ---


def name_sync_run() -> str:
    """The name of the flow run under way, whoever started it; also where the database is down."""
    name, prefix = _read_event_name_and_prefix()
    prefix = str(flow_run.get_parameters().get("s3_prefix") or prefix)
    return build_run_name(name, prefix) if prefix else name


def name_previews_run() -> str:
    """The same for a run that makes an event's previews."""
    return build_previews_name(_read_event_name())


def name_views_run() -> str:
    """The same for a run that makes views of an event's photos."""
    return build_views_name(_read_event_name())


def name_notices_run() -> str:
    """The same for a run that tells an event's guests of new photos."""
    return build_notices_name(_read_event_name())


def name_erasure_run() -> str:
    """The same for a run that erases an event's faces."""
    return f"{_read_event_name()} · erasure of its faces"


def name_reembed_run() -> str:
    """The same for a run that changes an event's model."""
    return f"{_read_event_name()} · change of its model"


def _read_event_name() -> str:
    return _read_event_name_and_prefix()[0]


def _read_event_name_and_prefix() -> tuple[str, str]:
    """Those of the event that the run's form names; what is written there where none is found."""
    sent = flow_run.get_parameters().get("event_id")
    asked = str(sent or "").strip()
    unknown = f"event {asked}" if asked else "no event named"
    try:
        if is_foreign_run():
            return unknown, ""  # it is not this database's
        with open_session() as session:
            event = choose_event(session, f"#{asked}" if isinstance(sent, int) else asked)
            return event.name, event.s3_prefix
    except FacePassError:
        return unknown, ""


def name_batch() -> str:
    """The name of the task run under way, of a batch of photos: a run's first one is batch 1."""
    parameters = task_run.get_parameters()
    number = parameters.get("number")
    if number is None:
        number = next(parameters[name] for name in ("batch", "photos") if name in parameters).number
    return f"batch {number + 1}"


def tag_event(event_id: int) -> AbstractContextManager[object]:
    """Tag the task runs of the block with their event."""
    return tags(f"event:{event_id}")
