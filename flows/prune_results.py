"""The daily flow that deletes expired results: Prefect stops using them, but never deletes them.

It also deletes late results of erased faces, old webhook deliveries, and addresses of guests whom
nobody will tell of anything any more.
"""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.notices.tell import prune_subscriptions
from tasks.results.erasure import prune_deliveries, prune_erased
from tasks.results.prune import prune_expired
from tasks.sync.states import refuse_foreign_run


@flow(name="prune_results", flow_run_name="prune expired results", persist_result=False)
def prune_results() -> State[Any]:
    """Delete cached faces that have expired; counts are the data of the final state.

    And what a batch that was killed in the very moment of an erasure may have left behind, and
    old notices of ended syncs, and guests' subscriptions that are over.
    """
    if foreign := refuse_foreign_run():
        return foreign
    # Guests' addresses first: they wait for no store that cannot be reached.
    prune_subscriptions()
    prune_deliveries()
    counts = prune_expired()
    prune_erased()
    return Completed(
        name=f"Completed: {counts['deleted']} deleted, {counts['kept']} kept", data=counts
    )
