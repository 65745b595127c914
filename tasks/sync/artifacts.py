"""What an operator sees of a sync in Prefect's UI: a bar that moves, and a summary at the end.

Keys of photos and counts only; never a face, a preview or an embedding. Artifacts are for people:
a sync goes on when one cannot be written.

How often a run tells Prefect how far it is, however fast its batches end.

What Prefect's UI calls a run: the event's name, not a number.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
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
from prefect.runtime import flow_run

from models.errors import FacePassError
from models.keys import build_previews_name, build_run_name
from models.queries.events import read_event
from models.queries.runs import count_progress
from models.session import open_session
from models.tables import Photo, SyncRun
from tasks.sync.context import Ticket

# One report a second and the last one, which never waits: at most two in any second.
REPORT_INTERVAL_S = 1.0


class Pace:
    """Says whether a next report is due; threads may ask at the same time, one is told yes."""

    def __init__(
        self,
        interval_s: float = REPORT_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """clock: seconds, never going back. The first report is due an interval from now."""
        self._interval_s = interval_s
        self._clock = clock
        self._lock = threading.Lock()
        self._last = clock()

    def is_due(self) -> bool:
        """Whether to report now; if so, the next report is due an interval later."""
        with self._lock:
            now = self._clock()
            if now - self._last < self._interval_s:
                return False
            self._last = now
            return True


@lru_cache(maxsize=64)  # bars of this process's latest attempts
def get_pace(progress_id: UUID) -> Pace:
    """The pace of one progress bar; its first call is the bar's own creation."""
    del progress_id  # what tells one pace from another
    return Pace()


logger = logging.getLogger(__name__)

FAILED_PHOTOS_SHOWN = 200
WHAT_TO_DO = {
    "not_an_image": "upload a real JPEG, PNG or WebP under this name",
    "truncated": "upload the file again: its end is missing or damaged",
    "empty": "upload the file again: it has no bytes",
    "too_many_pixels": "make a smaller preview (640 pixels are enough)",
    "too_many_bytes": "make a smaller preview (JPEG at quality 85)",
    "unprocessable": "open it in a photo program and save it as an ordinary JPEG",
    "forbidden": "let the sync's credentials read this object",
    "vanished": "nothing, if it was deleted on purpose; else upload it again",
}


def start_progress(event_name: str) -> UUID | None:
    """Show an empty bar on the run's page; None where that is not possible."""
    with _tolerate_prefect():
        created: Any = create_progress_artifact(
            progress=0.0, description=f"Photos of {event_name} accounted for"
        )
        progress_id = UUID(str(created))
        get_pace(progress_id)
        return progress_id
    return None


def report_progress(ticket: Ticket, *, is_last: bool = False) -> None:
    """Move the bar to where the ledger is: once a second at most, and at the end.

    Between two reports neither the ledger is counted nor Prefect asked.
    """
    if ticket.progress_id is None or not (is_last or get_pace(ticket.progress_id).is_due()):
        return
    with open_session() as session:
        done, total = count_progress(session, session.get_one(SyncRun, ticket.flow_run_id))
    with _tolerate_prefect():
        update_progress_artifact(ticket.progress_id, progress=100.0 * done / max(total, 1))


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
    }
    lines = [f"# {event_name}", "", f"{result['message']}.", "", "| | |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items())])


def publish_summary(event_name: str, result: dict[str, Any], failed: Sequence[Photo]) -> None:
    """Put the summary on the run's page, and a table of failed photos where there are any."""
    event_id = result["event_id"]
    with _tolerate_prefect():
        create_markdown_artifact(
            build_summary(event_name, result),
            key=f"event-{event_id}-summary",
            description=f"Last sync of {event_name}",
        )
        if failed:
            create_table_artifact(
                build_failure_table(failed),
                key=f"event-{event_id}-failed-photos",
                description=f"Photos of {event_name} that could not be read",
            )


def build_failure_table(photos: Sequence[Photo]) -> list[dict[str, str]]:
    """Failed photos with their reasons and what to do about each."""
    return [
        {
            "photo": photo.s3_key,
            "reason": str(photo.reason),
            "what to do": WHAT_TO_DO.get(str(photo.reason), "look at the file"),
        }
        for photo in photos
    ]


def publish_change(event_name: str, result: dict[str, Any]) -> None:
    """Put on the run's page what a change of the event's model amounts to."""
    event_id, left = result["event_id"], result["left"]
    rows = {
        "Photos": result["photos"],
        "Without a face": result["no_face"],
        "Faces": result["faces_found"],
        **{f"Left to the next sync ({reason})": count for reason, count in left.items()},
    }
    lines = [f"# {event_name}", "", f"{result['message']}.", "", "| | |", "|---|---|"]
    with _tolerate_prefect():
        create_markdown_artifact(
            "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items())]),
            key=f"event-{event_id}-model",
            description=f"Last change of the model of {event_name}",
        )


def publish_failure(event_id: int, sentence: str, what: str = "sync") -> None:
    """Say on the run's page why it failed for good."""
    advice = f"Mend that, then press Retry or start a new {what}."
    with _tolerate_prefect():
        create_markdown_artifact(
            f"# The {what} failed\n\n{sentence}\n\n{advice}",
            key=f"event-{event_id}-failure",
        )


def move_progress(progress_id: UUID | None, done: int, total: int) -> None:
    """Move a bar, once a second at most, and to its end."""
    if progress_id is None or not (done >= total or get_pace(progress_id).is_due()):
        return
    with _tolerate_prefect():
        update_progress_artifact(progress_id, progress=100.0 * min(done / max(total, 1), 1.0))


def publish_page(key: str, text: str, description: str | None = None) -> None:
    """Put a page of Markdown on the run's page."""
    with _tolerate_prefect():
        create_markdown_artifact(text, key=key, description=description)


def publish_table(key: str, rows: list[dict[str, str]], description: str) -> None:
    """Put a table on the run's page."""
    with _tolerate_prefect():
        create_table_artifact(rows, key=key, description=description)


@contextmanager
def _tolerate_prefect() -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, PrefectException, ValueError) as error:
        logger.warning("An artifact could not be written: %s", type(error).__name__)


def name_sync_run() -> str:
    """The name of the flow run under way, whoever started it; also where the database is down."""
    parameters = flow_run.get_parameters()
    event_id, s3_prefix = parameters["event_id"], parameters["s3_prefix"]
    try:
        with open_session() as session:
            return build_run_name(read_event(session, event_id).name, s3_prefix)
    except FacePassError:
        return build_run_name(f"event {event_id}", s3_prefix)


def name_previews_run() -> str:
    """The same for a run that makes an event's previews."""
    event_id = flow_run.get_parameters()["event_id"]
    try:
        with open_session() as session:
            return build_previews_name(read_event(session, event_id).name)
    except FacePassError:
        return build_previews_name(f"event {event_id}")


def tag_event(event_id: int) -> AbstractContextManager[object]:
    """Tag the task runs of the block with their event."""
    return tags(f"event:{event_id}")
