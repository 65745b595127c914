"""The flow that erases all faces of an event, for use from Prefect's UI.

It does the same as DELETE /api/v1/events/{event_uuid}/faces. Because it runs on a worker, it also
deletes cached results in that worker's local folder.
"""

from dataclasses import asdict
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.results.erasure import run_erasure
from tasks.sync.artifacts import tag_event
from tasks.sync.states import refuse_foreign_run


@flow(name="erase_event", flow_run_name="erase event {event_id}", persist_result=False)
def erase_event(event_id: int) -> State[Any]:
    """Erase every face of an event; it takes no syncs until it is resumed.

    The counted receipt is the data of the final state.
    """
    if foreign := refuse_foreign_run():
        return foreign
    with tag_event(event_id):
        receipt = run_erasure(event_id)
    counts = {} if receipt is None else asdict(receipt)
    return Completed(name=f"Completed: {counts.get('faces_erased', 0)} faces erased", data=counts)
