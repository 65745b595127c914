"""The nightly flow that erases events whose retention time is over: their own or the setting's."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from tasks.results.erasure import list_expired, run_erasure
from tasks.sync.states import refuse_foreign_run


@flow(name="erase_expired", flow_run_name="erase expired events", persist_result=False)
def erase_expired() -> State[Any]:
    """Erase the events whose time is over; one failure stops no other."""
    if foreign := refuse_foreign_run():
        return foreign
    events = list_expired()
    states = [run_erasure(event_id, since, return_state=True) for event_id, since in events]
    failed = sum(not state.is_completed() for state in states)
    counts = f"{len(events) - failed} events erased"
    if failed:
        return Failed(name=f"Failed: {failed} of {len(events)} events", message=f"Only {counts}.")
    return Completed(name=f"Completed: {counts}")
