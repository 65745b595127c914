"""The flow that tells guests of new photos of them: those who asked for it and gave their address.

It starts some minutes after a sync has ended, once for all syncs that end meanwhile.
"""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from models.settings import get_settings
from tasks.forms.event import EventText, find_asked_event
from tasks.notices.tell import report_notices, tell_guests
from tasks.sync.artifacts import name_notices_run, tag_event
from tasks.sync.states import SYNC_RETRIES, end_in_state


@flow(
    name="notify_guests",
    flow_run_name=name_notices_run,
    retries=SYNC_RETRIES,
    retry_delay_seconds=get_settings().retry_delay_s,
    persist_result=False,  # a completed run with a stored result could not be retried from the UI
)
@end_in_state
def notify_guests(event_id: EventText = "") -> State[Any]:
    """Tell each guest of an event of the photos that surely show them and were not told yet.

    Counts of guests are the data of the final state; nobody's address or id is in it.

    Args:
        event_id: The event: its name (Свадьба) or UUID, as `facepass events` lists them, or id.
    """
    asked = find_asked_event(event_id)
    with tag_event(asked.id):
        return report_notices(tell_guests(asked.id))
