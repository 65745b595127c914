"""How the making of previews begins and ends: what no retry heals ends it quietly, in words.

Two such runs of one event need no lock: each looks for a preview before it makes one, and S3
takes the first of two that are put for the same key.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from prefect import get_run_logger
from prefect.runtime import flow_run

from models.errors import EventErasedError, FacePassError
from models.packs import PROFILES
from models.queries.erasures import require_syncable
from models.queries.events import read_event
from models.session import open_session
from tasks.artifacts import publish_page, start_progress
from tasks.console import outlive_worker
from tasks.hold import FINAL_ERRORS, SYNC_RETRIES
from tasks.preview_job import PreviewJob, PreviewTally
from tasks.preview_store import PreviewRecipe, is_marked
from tasks.storage import get_bucket

SKIPPED, FAILED, COMPLETED = "Skipped", "Failed", "Completed"


@lru_cache(maxsize=64)
def get_earlier(flow_run_id: str) -> PreviewTally:
    """What earlier attempts of a run have written, where they were this process's."""
    del flow_run_id  # what tells runs apart
    return PreviewTally()


@contextmanager
def hold_previews(event_id: int) -> Iterator[PreviewJob]:
    """The making of an event's previews, as it begins; refused for an erased event.

    Errors that no retry heals end it quietly as failed; others are raised, so that Prefect tries
    again.
    """
    outlive_worker()
    job = PreviewJob(event_id, earlier=get_earlier(str(flow_run.get_id())))
    with _tell_errors(job):
        _begin(job)
    with _tell_errors(job):
        yield job


def _begin(job: PreviewJob) -> None:
    with open_session() as session:
        event = read_event(session, job.event_id)
        require_syncable(event)
        job.event_name = event.name
        job.recipe_or_none = PreviewRecipe(PROFILES[event.profile].preview_side)
    # After a change of the profile, or of how previews are made, each one's note is looked at.
    job.look_at_all = not is_marked(get_bucket(), job.event_id, job.recipe)
    job.progress_id = start_progress(job.event_name)
    get_run_logger().info("Previews are made by the recipe %s", job.recipe)


@contextmanager
def _tell_errors(job: PreviewJob) -> Iterator[None]:
    try:
        yield
    except EventErasedError as error:
        job.end(SKIPPED, str(error))
    except FINAL_ERRORS as error:
        job.end(FAILED, str(error))
        _publish_failure(job, str(error))
    except FacePassError as error:
        job.earlier.add(job.tally.keep_written())
        if flow_run.get_run_count() > SYNC_RETRIES:
            _publish_failure(job, str(error))
        raise


def _publish_failure(job: PreviewJob, sentence: str) -> None:
    publish_page(
        f"event-{job.event_id}-previews-failure",
        f"# No previews\n\n{sentence}\n\nMend that, then press Retry or start it again.",
    )
