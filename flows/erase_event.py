"""Erasing an event, from Prefect's UI: what DELETE /api/v1/events/{event_uuid}/faces does.

It runs on a worker, and so reaches the results that are kept in that worker's own folder.
"""

from dataclasses import asdict
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.results.erasure import run_erasure
from tasks.sync.artifacts import tag_event


@flow(name="erase_event", flow_run_name="erase event {event_id}", persist_result=False)
def erase_event(event_id: int) -> State[Any]:
    """Erase every face of an event; it takes no syncs until it is resumed.

    The counted receipt is the data of the final state.
    """
    with tag_event(event_id):
        receipt = run_erasure(event_id)
    counts = {} if receipt is None else asdict(receipt)
    return Completed(name=f"Completed: {counts.get('faces_erased', 0)} faces erased", data=counts)
