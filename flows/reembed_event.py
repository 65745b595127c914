"""Changing an event's model without downtime: embed beside, switch once, sync what was left.

Guests search by the old faces until the switch. A sync that was asked for meanwhile is started
at the end, as a run of its own.
"""

from contextlib import suppress
from typing import Any, Literal

import anyio
from prefect import flow
from prefect.client.schemas.objects import State

from deployments.orchestrator import open_orchestrator
from models.errors import OrchestratorUnavailableError
from models.settings import get_settings
from tasks.sync.artifacts import tag_event
from tasks.sync.hold import SYNC_RETRIES, hold_for_change
from tasks.sync.reembed import finish_change, name_change, plan_pack_change, reembed_batch
from tasks.sync.report import build_final_state
from tasks.sync.resync import ResyncTarget, list_waiting_sync
from tasks.sync.runner import map_batches, open_runner, raise_first


@flow(
    name="reembed_event",
    flow_run_name="change the model of event {event_id}",
    retries=SYNC_RETRIES,
    retry_delay_seconds=get_settings().retry_delay_s,
    persist_result=False,
)
def reembed_event(
    event_id: int,
    model_pack: str | None = None,
    profile: Literal["standard", "groups"] | None = None,
) -> State[Any]:
    """Find an event's faces by another model pack, or profile, from now on; unset: as it is.

    What became of it is the data of the final state.
    """
    with tag_event(event_id), hold_for_change(event_id, model_pack, profile) as change:
        if not change.over:
            errors: list[Exception] = []
            for batches in plan_pack_change(change.ticket):
                with open_runner() as runner:
                    errors += map_batches(runner, reembed_batch, batches, change.ticket)
            raise_first(errors)
            change.finish(finish_change(change.ticket))
    if change.began:
        anyio.run(start_syncs, list_waiting_sync(event_id))
    return build_final_state(change, name_change)


async def start_syncs(targets: list[ResyncTarget]) -> None:
    """Start what was asked for while the event was held; else the next sync looks at it."""
    with suppress(OrchestratorUnavailableError):
        for target in targets:
            async with open_orchestrator() as orchestrator:
                await orchestrator.start_resync(
                    event_id=target.event_id, s3_prefix=target.s3_prefix, run_name=target.run_name
                )
