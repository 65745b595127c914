"""Syncs that another flow starts when its own work is done."""

from collections.abc import Mapping
from functools import partial
from uuid import UUID

import anyio

from deployments.orchestrator import open_orchestrator


def start_syncs(event_id: int, run_names: Mapping[str, str]) -> list[UUID]:
    """Start a sync of each prefix and return their runs' ids; `run_names` are by prefix.

    Each is a run like any other: while a sync of the event is under way, its request is left
    with that one. Not for callers inside an event loop. Raises OrchestratorUnavailableError.
    """
    return anyio.run(partial(_start, event_id, run_names)) if run_names else []


async def _start(event_id: int, run_names: Mapping[str, str]) -> list[UUID]:
    async with open_orchestrator() as orchestrator:
        return [
            await orchestrator.start_sync(event_id=event_id, s3_prefix=prefix, run_name=run_name)
            for prefix, run_name in run_names.items()
        ]
