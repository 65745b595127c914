"""The flow that syncs one event: list S3, find new photos, embed and store them, report counts."""

from typing import Any

from prefect import Flow, flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging.loggers import flow_run_logger

from deployments.orchestrator import start_notices, start_views
from models.errors import FacePassError
from models.keys import build_notices_name, build_views_name
from models.settings import get_settings
from tasks.forms.event import EventText, PrefixText, find_asked_event, read_asked_event
from tasks.notices.due import has_guests_to_tell
from tasks.sync.artifacts import name_sync_run, tag_event
from tasks.sync.batch import embed_and_store
from tasks.sync.hold import hold_event
from tasks.sync.plan import plan_new_photos, rounds
from tasks.sync.report import report_statistics
from tasks.sync.runner import BatchTaskRunner, map_batches
from tasks.sync.states import SYNC_RETRIES, end_in_state


def make_views_next(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 (Prefect's signature of a hook)
    """Start the making of views after a sync, as a run of its own; the sync's end stays as it is.

    Where Prefect cannot be reached the hourly resync starts it.
    """
    if not get_settings().make_views or state.name == "Skipped":
        return
    try:
        event_id, name = read_asked_event(flow_run.parameters.get("event_id"))
        start_views(event_id, build_views_name(name))
    except FacePassError as error:
        flow_run_logger(flow_run).warning("No views are made of new photos yet: %s", error)


def tell_guests_next(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 (Prefect's signature of a hook)
    """Have guests told of new photos in a while, where some wish it; the sync's end stays as it is.

    Where Prefect cannot be reached the end of the next sync does it, or the hourly resync.
    """
    if state.name == "Skipped":
        return
    try:
        event_id, name = read_asked_event(flow_run.parameters.get("event_id"))
        if has_guests_to_tell(event_id):
            start_notices(event_id, build_notices_name(name), get_settings().notice_delay_s)
    except FacePassError as error:
        flow_run_logger(flow_run).warning("Guests are not told of new photos yet: %s", error)


@flow(
    name="sync_event_photos",
    flow_run_name=name_sync_run,
    retries=SYNC_RETRIES,
    retry_delay_seconds=get_settings().retry_delay_s,
    task_runner=BatchTaskRunner(),  # this machine's threads, or a Dask cluster
    on_completion=[make_views_next, tell_guests_next],
    persist_result=False,  # a completed run with a stored result could not be retried from the UI
)
@end_in_state
def sync_event_photos(event_id: EventText = "", s3_prefix: PrefixText = "") -> State[Any]:
    """Bring every preview under `s3_prefix` into the database, each exactly once.

    Returns the guide's statistics as the data of the final state.

    Args:
        event_id: The event: its name (Свадьба) or UUID, as `facepass events` lists them, or id.
        s3_prefix: A part of its previews, as events/12/previews/day2/. Left empty: all of them.
    """
    asked = find_asked_event(event_id, s3_prefix)
    with tag_event(asked.id), hold_event(asked.id, asked.s3_prefix) as sync:
        for request in rounds(sync):  # the asked prefix, then what was asked for meanwhile
            batches = plan_new_photos(sync, request)  # list_s3_objects; what is new, by s3_key
            map_batches(embed_and_store, batches, sync)  # process_face_embedding, then store
        return report_statistics(sync)
