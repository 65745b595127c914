"""The flow that changes an event's face model pack or profile without downtime.

It finds the faces of all photos with the new model, then switches once; until then guests search
the old faces. A sync that was requested meanwhile starts afterwards, as a run of its own; so does
the re-embedding of the next event whose faces were found by a former release's look.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import anyio
from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from deployments.orchestrator import Orchestrator, open_orchestrator
from models.errors import OrchestratorUnavailableError
from models.settings import get_settings
from tasks.forms.event import EventText, PackText, ProfileText, find_asked_event, read_profile
from tasks.sync.artifacts import name_reembed_run, tag_event
from tasks.sync.hold import hold_event_to_reembed
from tasks.sync.reembed import (
    plan_photos_to_reembed,
    reembed_batch,
    report_reembedding,
    switch_model,
)
from tasks.sync.resync import ResyncTarget, find_outdated, list_waiting_sync
from tasks.sync.runner import BatchTaskRunner, map_batches
from tasks.sync.states import FINAL_ERRORS, SYNC_RETRIES, end_in_state


@flow(
    name="reembed_event",
    flow_run_name=name_reembed_run,
    retries=SYNC_RETRIES,
    retry_delay_seconds=get_settings().retry_delay_s,
    task_runner=BatchTaskRunner(),  # this machine's threads, or a Dask cluster
    persist_result=False,  # a completed run with a stored result could not be retried from the UI
)
@end_in_state
def reembed_event(
    event_id: EventText = "", model_pack: PackText = "", profile: ProfileText = ""
) -> State[Any]:
    """Find an event's faces by another model pack, or profile, from now on; unset: as it is.

    What became of it is the data of the final state.

    Args:
        event_id: The event: its name (Свадьба) or UUID, as `facepass events` lists them, or id.
        model_pack: The pack of face models that finds its faces from now on. Left empty: as it is.
        profile: standard, or groups for smaller faces and larger previews. Left empty: as it is.
    """
    asked, to_profile = find_asked_event(event_id), read_profile(profile)
    with (
        tag_event(asked.id),
        go_on_afterwards(asked.id),
        hold_event_to_reembed(asked.id, model_pack or None, to_profile) as sync,
    ):
        batches = plan_photos_to_reembed(sync)
        map_batches(reembed_batch, batches, sync)
        return report_reembedding(sync, switch_model(sync))


@contextmanager
def go_on_afterwards(event_id: int) -> Iterator[None]:
    """Start what waits for the block's end, unless it is tried again.

    Where Prefect cannot be reached the next sync, or the hourly resync, looks for it.
    """
    try:
        yield
    except FINAL_ERRORS:
        go_on(event_id)
        raise
    go_on(event_id)


def go_on(event_id: int) -> None:
    """Start the sync that was asked for meanwhile, if any, and the next event's re-embedding."""
    with suppress(OrchestratorUnavailableError):
        anyio.run(start_waiting, list_waiting_sync(event_id), find_outdated())


async def start_waiting(targets: list[ResyncTarget], outdated: tuple[int, str] | None) -> None:
    """Start these as runs of their own, none where one is waiting already."""
    if not targets and outdated is None:
        return
    async with open_orchestrator() as orchestrator:
        for target in targets:
            await orchestrator.start_resync(
                event_id=target.event_id, s3_prefix=target.s3_prefix, run_name=target.run_name
            )
        await update_event(orchestrator, outdated, but=UUID(str(flow_run.get_id())))


async def update_event(
    orchestrator: Orchestrator, outdated: tuple[int, str] | None, but: UUID | None = None
) -> None:
    """Re-embed an outdated event, unless another run than `but` is re-embedding one."""
    if outdated is None:
        return
    event_id, name = outdated
    run = await orchestrator.start_update(
        event_id=event_id, run_name=f"{name} · this release's look", but=but
    )
    if run is not None:
        get_run_logger().info("%s is re-embedded for this release's look: run %s", name, run)
