"""The scheduled flow that starts a sync of every active event that has changed.

It also starts bringing events up to date whose faces were found by a former release's look, and
the making of views, and the telling of guests, that no sync has started.

Each sync is a separate run of the usual sync deployment in the Prefect work pool. To see the
result of an event's sync, look at its own run.
"""

from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed

from deployments.orchestrator import open_orchestrator
from flows.reembed_event import update_event
from models.settings import get_settings
from tasks.notices.due import list_due
from tasks.sync.resync import (
    cut_groups,
    find_changed,
    find_outdated,
    list_resync_targets,
    list_unviewed,
)
from tasks.sync.states import refuse_foreign_run


@flow(name="resync_events", flow_run_name="resync of active events", persist_result=False)
async def resync_events() -> State[Any]:
    """Look at every active event, and start a sync of those that have changed.

    No second one is started where one is waiting already. One outdated event is re-embedded, and
    each such run starts the next.
    """
    if foreign := refuse_foreign_run():
        return foreign
    targets = list_resync_targets()
    changed = started = 0
    async with open_orchestrator() as orchestrator:
        for group in cut_groups(targets):
            for target in find_changed(group):
                run = await orchestrator.start_resync(
                    event_id=target.event_id, s3_prefix=target.s3_prefix, run_name=target.run_name
                )
                changed += 1
                started += run is not None
                get_run_logger().info(
                    "%s: %s", target.run_name, f"run {run}" if run else "one is waiting already"
                )
        for event_id, run_name in list_unviewed():
            await orchestrator.start_views(event_id=event_id, run_name=run_name)
        for event_id, run_name in list_due():
            await orchestrator.start_notices(
                event_id=event_id, run_name=run_name, delay_s=get_settings().notice_delay_s
            )
        await update_event(orchestrator, find_outdated())
    counts = f"{started} started, {changed - started} waiting already"
    return Completed(
        name=f"Completed: {counts}, {len(targets) - changed} unchanged",
        message=f"Active events: {len(targets)}",
    )
