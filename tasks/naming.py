"""What Prefect's UI calls a run: the event's name, not a number."""

from contextlib import AbstractContextManager

from prefect import tags
from prefect.runtime import flow_run

from models.errors import FacePassError
from models.keys import build_previews_name, build_run_name
from models.queries.events import read_event
from models.session import open_session


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
