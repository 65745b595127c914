"""The flow that makes previews for photographers who upload only originals.

It finds originals without an up-to-date preview, makes the previews, puts them into S3, and then
starts syncs of the event.
"""

from typing import Any

from prefect import flow, unmapped
from prefect.client.schemas.objects import State
from prefect.task_runners import ThreadPoolTaskRunner

from deployments.orchestrator import start_syncs
from models.settings import get_settings
from tasks.faces.limits import count_cores
from tasks.forms.event import EventText, find_asked_event
from tasks.previews.job import (
    count_outcomes,
    find_originals,
    hold_previews,
    make_preview_batch,
    name_syncs,
    report_previews,
    wait_for_previews,
)
from tasks.sync.artifacts import name_previews_run, tag_event
from tasks.sync.states import SYNC_RETRIES, end_in_state


@flow(
    name="make_previews",
    flow_run_name=name_previews_run,
    retries=SYNC_RETRIES,
    retry_delay_seconds=get_settings().retry_delay_s,
    # A few more than compute: while they do, the others wait for S3.
    task_runner=ThreadPoolTaskRunner[Any](max_workers=count_cores() + 4),  # type: ignore[arg-type]  # invariant
    persist_result=False,  # a completed run with a stored result could not be retried from the UI
)
@end_in_state
def make_previews(event_id: EventText = "") -> State[Any]:
    """Make the previews that an event's originals lack, each once, then sync the event.

    Previews of replaced originals are made anew; a photographer's own are never touched. The
    counts are the data of the final state.

    Args:
        event_id: The event: its name (Свадьба) or UUID, as `facepass events` lists them, or id.
    """
    asked = find_asked_event(event_id)
    with tag_event(asked.id), hold_previews(asked.id) as job:
        for batches in find_originals(job):
            futures = make_preview_batch.map(batches, unmapped(job.recipe))
            count_outcomes(job, wait_for_previews(futures))
        syncs = start_syncs(asked.id, name_syncs(job))
        return report_previews(job, syncs)
