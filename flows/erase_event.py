"""The flow that erases all faces of an event, for use from Prefect's UI.

It does the same as DELETE /api/v1/events/{event_uuid}/faces. Because it runs on a worker, it also
deletes cached results in that worker's local folder.
"""

from dataclasses import asdict
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.forms.event import EventText, find_asked_event
from tasks.results.erasure import run_erasure
from tasks.sync.artifacts import name_erasure_run, tag_event
from tasks.sync.states import end_in_state


@flow(name="erase_event", flow_run_name=name_erasure_run, persist_result=False)
@end_in_state
def erase_event(event_id: EventText = "") -> State[Any]:
    """Erase every face of an event; it takes no syncs until it is resumed.

    The counted receipt is the data of the final state.

    Args:
        event_id: The event: its name (Свадьба) or UUID, as `facepass events` lists them, or id.
    """
    asked = find_asked_event(event_id)
    with tag_event(asked.id):
        receipt = run_erasure(asked.id)
    counts = {} if receipt is None else asdict(receipt)
    return Completed(name=f"Completed: {counts.get('faces_erased', 0)} faces erased", data=counts)
