"""The sync of one event: list, decide what is new, embed and store it, report."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from models.settings import get_settings
from tasks.sync.artifacts import name_sync_run, tag_event
from tasks.sync.batch import sync_batch
from tasks.sync.hold import SYNC_RETRIES, hold_event
from tasks.sync.plan import plan_sync
from tasks.sync.report import build_final_state, finish_sync
from tasks.sync.runner import map_batches, open_runner, raise_first


@flow(
    name="sync_event_photos",
    flow_run_name=name_sync_run,
    retries=SYNC_RETRIES,
    retry_delay_seconds=get_settings().retry_delay_s,
    persist_result=False,  # a completed run with a stored result could not be retried from the UI
)
def sync_event_photos(event_id: int, s3_prefix: str) -> State[Any]:
    """Bring every preview under `s3_prefix` into the database, each exactly once.

    Returns the guide's statistics as the data of the final state.
    """
    with tag_event(event_id), hold_event(event_id, s3_prefix) as sync:
        while not sync.over:  # once, and again for every request made meanwhile
            errors: list[Exception] = []
            for batches in plan_sync(sync.ticket):
                with open_runner() as runner:  # this machine's threads, or a Dask cluster
                    errors += map_batches(runner, sync_batch, batches, sync.ticket)
            raise_first(errors)
            sync.finish(finish_sync(sync.ticket))
    return build_final_state(sync)
