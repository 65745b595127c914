"""The one module that talks to Prefect's API about flow runs, deployments and workers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import anyio
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    FlowRunFilterTags,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType, WorkerStatus
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Completed, Crashed

from deployments.names import (
    PREVIEWS_DEPLOYMENT,
    PREVIEWS_FLOW,
    REEMBED_DEPLOYMENT,
    RESYNC_QUEUE,
    SYNC_DEPLOYMENT,
    SYNC_FLOW,
    WORK_POOL,
)
from deployments.prefect_errors import check_server_address, map_prefect_errors
from deployments.run_reports import RunningRun, RunReport, describe_run

STARTS_AT_ONCE = 2  # Prefect's server has one event loop: with more at a time all take longer


class Orchestrator:
    """Prefect, as the API needs it; one client for as long as the API lives."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client
        self._deployment_ids: dict[str, UUID] = {}
        self._starting = anyio.CapacityLimiter(STARTS_AT_ONCE)

    async def start_sync(self, *, event_id: int, s3_prefix: str, run_name: str) -> UUID:
        """Create a flow run of the sync deployment; returns its id at once.

        Raises OrchestratorUnavailableError.
        """
        parameters = {"event_id": event_id, "s3_prefix": s3_prefix}
        return await self._start(SYNC_DEPLOYMENT, event_id, parameters, run_name)

    async def start_change(
        self, *, event_id: int, model_pack: str | None, profile: str | None, run_name: str
    ) -> UUID:
        """Create a flow run that changes an event's model. Raises OrchestratorUnavailableError."""
        parameters = {"event_id": event_id, "model_pack": model_pack, "profile": profile}
        return await self._start(REEMBED_DEPLOYMENT, event_id, parameters, run_name)

    async def start_previews(self, *, event_id: int, run_name: str) -> UUID:
        """Create a flow run that makes an event's previews; the id of one that has not begun yet.

        Raises OrchestratorUnavailableError.
        """
        not_yet = FlowRunFilterState(name=FlowRunFilterStateName(any_=["Scheduled", "Late"]))
        with map_prefect_errors():
            if waiting := await self._list_runs(PREVIEWS_FLOW, event_id, not_yet):
                return waiting[0].id
        return await self._start(PREVIEWS_DEPLOYMENT, event_id, {"event_id": event_id}, run_name)

    async def _list_runs(
        self, flow: str, event_id: int, state: FlowRunFilterState
    ) -> Sequence[FlowRun]:
        tags = FlowRunFilterTags(all_=[f"event:{event_id}"])
        return await self._client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
            flow_run_filter=FlowRunFilter(tags=tags, state=state),
            limit=1,
        )

    async def _start(
        self, deployment: str, event_id: int, parameters: dict[str, Any], run_name: str
    ) -> UUID:
        with map_prefect_errors(deployment):
            known = self._deployment_ids.get(deployment)
            if known is not None:
                # Not through arun_deployment, which reads the whole deployment anew for every run.
                with suppress(ObjectNotFound):  # deleted and deployed again: it has a new id
                    return await self._create_run(known, event_id, parameters, run_name)
            found = await self._client.read_deployment_by_name(deployment)
            self._deployment_ids[deployment] = found.id
            return await self._create_run(found.id, event_id, parameters, run_name)

    async def _create_run(
        self, deployment_id: UUID, event_id: int, parameters: dict[str, Any], run_name: str
    ) -> UUID:
        tags = [f"event:{event_id}"]
        async with self._starting:
            run = await self._client.create_flow_run_from_deployment(
                deployment_id, parameters=parameters, tags=tags, name=run_name
            )
        return run.id

    async def start_resync(self, *, event_id: int, s3_prefix: str, run_name: str) -> UUID | None:
        """Like start_sync, as a sub-run of the flow under way; None while one still waits.

        So a slow day piles up one run an event, not one an hour, and in a queue of their own:
        Prefect makes it after the default one, and hands out what somebody asked for first.
        """
        types = FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING])
        with map_prefect_errors():
            if await self._list_runs(SYNC_FLOW, event_id, FlowRunFilterState(type=types)):
                return None
            run: FlowRun = await arun_deployment(
                SYNC_DEPLOYMENT,
                client=self._client,
                timeout=0,  # seconds: started, not waited for
                work_queue_name=RESYNC_QUEUE,
                parameters={"event_id": event_id, "s3_prefix": s3_prefix},
                tags=[f"event:{event_id}"],
                flow_run_name=run_name,
            )
        return run.id

    async def read_run(self, flow_run_id: UUID) -> RunReport | None:
        """Where a flow run is; None when Prefect does not know it."""
        with map_prefect_errors():
            try:
                run = await self._client.read_flow_run(flow_run_id)
            except ObjectNotFound:
                return None
        return describe_run(run)

    async def crash_run(self, flow_run_id: UUID, message: str) -> None:
        """End a flow run whose process is dead."""
        await self._end_run(flow_run_id, Crashed(message=message))

    async def complete_run(self, flow_run_id: UUID, message: str) -> None:
        """End a flow run whose process died after its work was done."""
        await self._end_run(flow_run_id, Completed(message=message))

    async def cancel_run(self, flow_run_id: UUID, message: str) -> None:
        """End a flow run that was cancelled and has no process any more to hear of it."""
        await self._end_run(flow_run_id, Cancelled(message=message))

    async def _end_run(self, flow_run_id: UUID, state: State[None]) -> None:
        with map_prefect_errors():
            await self._client.set_flow_run_state(flow_run_id, state, force=True)

    async def list_running(self, still_for: timedelta) -> list[RunningRun]:
        """Runs of our pool that have been running, or about to be cancelled, for so long."""
        now = datetime.now(UTC)
        types = [StateType.RUNNING, StateType.CANCELLING]
        running = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types)))
        pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[WORK_POOL]))
        with map_prefect_errors():
            runs = await self._client.read_flow_runs(flow_run_filter=running, work_pool_filter=pool)
        states = {run.id: run.state for run in runs if run.state is not None}
        return [
            RunningRun(flow_run_id, state.timestamp, state.type is StateType.CANCELLING)
            for flow_run_id, state in states.items()
            if now - state.timestamp > still_for
        ]

    async def explain_wait(self) -> str:
        """Why a run has not started yet, in words."""
        with map_prefect_errors():
            try:
                workers = await self._client.read_workers_for_work_pool(WORK_POOL)
            except ObjectNotFound:
                return f"the work pool {WORK_POOL} is not there: create it, then deploy"
        if any(worker.status == WorkerStatus.ONLINE for worker in workers):
            return "waiting for a worker to take it up"
        return f"no worker is online: run `prefect worker start --pool {WORK_POOL}`"

    async def check_deployment(self) -> None:
        """Raise OrchestratorUnavailableError unless a sync could be started now."""
        with map_prefect_errors():
            await self._client.read_deployment_by_name(SYNC_DEPLOYMENT)


@asynccontextmanager
async def open_orchestrator() -> AsyncIterator[Orchestrator]:
    """Connect to the server that PREFECT_API_URL names."""
    check_server_address()
    async with get_client() as client:
        yield Orchestrator(client)
