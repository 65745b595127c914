"""The flow that changes an event's face model pack or profile without downtime.

It finds the faces of all photos with the new model, then switches once; until then guests search
the old faces. A sync that was requested meanwhile starts afterwards, as a run of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

import anyio
from prefect import flow
from prefect.client.schemas.objects import State

from deployments.orchestrator import open_orchestrator
from models.errors import OrchestratorUnavailableError
from models.settings import get_settings
from tasks.sync.artifacts import tag_event
from tasks.sync.hold import hold_event_to_reembed
from tasks.sync.reembed import (
    plan_photos_to_reembed,
    reembed_batch,
    report_reembedding,
    switch_model,
)
from tasks.sync.resync import ResyncTarget, list_waiting_sync
from tasks.sync.runner import BatchTaskRunner, map_batches
from tasks.sync.states import FINAL_ERRORS, SYNC_RETRIES, end_in_state


@flow(
    name="reembed_event",
    flow_run_name="change the model of event {event_id}",
    retries=SYNC_RETRIES,
    retry_delay_seconds=get_settings().retry_delay_s,
    task_runner=BatchTaskRunner(),  # this machine's threads, or a Dask cluster
    persist_result=False,  # a completed run with a stored result could not be retried from the UI
)
@end_in_state
def reembed_event(
    event_id: int,
    model_pack: str | None = None,
    profile: Literal["standard", "groups"] | None = None,
) -> State[Any]:
    """Find an event's faces by another model pack, or profile, from now on; unset: as it is.

    What became of it is the data of the final state.
    """
    with (
        tag_event(event_id),
        sync_afterwards(event_id),
        hold_event_to_reembed(event_id, model_pack, profile) as sync,
    ):
        batches = plan_photos_to_reembed(sync)
        map_batches(reembed_batch, batches, sync)
        return report_reembedding(sync, switch_model(sync))


@contextmanager
def sync_afterwards(event_id: int) -> Iterator[None]:
    """Start the sync that was asked for while the block held the event, unless it is tried again.

    Where Prefect cannot be reached the next sync looks at the request.
    """
    try:
        yield
    except FINAL_ERRORS:
        start_waiting_sync(event_id)
        raise
    start_waiting_sync(event_id)


def start_waiting_sync(event_id: int) -> None:
    """Start it, if there is any, as a run of its own."""
    with suppress(OrchestratorUnavailableError):
        anyio.run(start_resyncs, list_waiting_sync(event_id))


async def start_resyncs(targets: list[ResyncTarget]) -> None:
    """Start these syncs, none where one is waiting already."""
    for target in targets:
        async with open_orchestrator() as orchestrator:
            await orchestrator.start_resync(
                event_id=target.event_id, s3_prefix=target.s3_prefix, run_name=target.run_name
            )
