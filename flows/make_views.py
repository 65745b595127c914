"""The flow that makes what guests look at: thumbs and views of an event's photos.

It reads the originals, puts the views into S3 beside the previews and records them. It starts when
a sync ends, and waits in a queue behind all syncs.
"""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.task_runners import ThreadPoolTaskRunner

from models.settings import get_settings
from tasks.faces.limits import count_cores
from tasks.forms.event import EventText, find_asked_event
from tasks.sync.artifacts import name_views_run, tag_event
from tasks.sync.states import SYNC_RETRIES, end_in_state
from tasks.views.job import (
    find_photos,
    hold_views,
    make_view_batch,
    report_views,
    wait_for_views,
)


@flow(
    name="make_views",
    flow_run_name=name_views_run,
    retries=SYNC_RETRIES,
    retry_delay_seconds=get_settings().retry_delay_s,
    # A few more than compute: while they do, the others wait for S3.
    task_runner=ThreadPoolTaskRunner[Any](max_workers=count_cores() + 2),  # type: ignore[arg-type]  # invariant
    persist_result=False,  # a completed run with a stored result could not be retried from the UI
)
@end_in_state
def make_views(event_id: EventText = "") -> State[Any]:
    """Make the views that an event's photos lack, each once; those of gone photos are deleted.

    Views of replaced originals are made anew. The counts are the data of the final state.

    Args:
        event_id: The event: its name (Свадьба) or UUID, as `facepass events` lists them, or id.
    """
    asked = find_asked_event(event_id)
    with tag_event(asked.id), hold_views(asked.id) as job:
        for batches in find_photos(job):
            wait_for_views(job, make_view_batch.map(batches))
        return report_views(job)
