"""The client of Prefect's API that starts, reads and ends flow runs and checks deployments.

It translates Prefect's states into the product's words. If Prefect refuses or does not answer, it
raises OrchestratorUnavailableError, whose sentence says what to do.
"""

import logging
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, cast
from uuid import UUID

import anyio
import anyio.to_thread
import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    FlowRunFilterTags,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType, WorkerStatus
from prefect.deployments import arun_deployment
from prefect.events.schemas.events import Event as PrefectTold
from prefect.events.schemas.events import Resource
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Completed, Crashed

from deployments.names import (
    DEPLOYMENTS,
    NOTICES_DEPLOYMENT,
    NOTICES_FLOW,
    PREVIEWS_DEPLOYMENT,
    PREVIEWS_FLOW,
    REEMBED_DEPLOYMENT,
    REEMBED_FLOW,
    RESYNC_QUEUE,
    STOPPED,
    SYNC_DEPLOYMENT,
    SYNC_FLOW,
    VIEWS_DEPLOYMENT,
    VIEWS_FLOW,
    VIEWS_QUEUE,
    name_deployment,
    name_pool,
)
from models.errors import OrchestratorUnavailableError
from models.keys import list_owners, tag_owner
from models.queries.runs import find_installation
from models.settings import get_settings

logger = logging.getLogger(__name__)

ANNOUNCE_LIMIT_S = 5.0  # for an event: nobody waits for it
STARTS_AT_ONCE = 2  # Prefect's server has one event loop: with more at a time all take longer
_KEY_REFUSED = (
    "Prefect's server refuses this API: check PREFECT_API_KEY or PREFECT_API_AUTH_STRING."
)
_REFUSALS = {
    401: _KEY_REFUSED,
    403: _KEY_REFUSED,
    422: "The work pool {pool} lacks a value that its profile requires: give its variables "
    "in Prefect (Work Pools, Edit) what docs/scaling.md asks for.",
}
_UNREACHABLE = "Prefect's server cannot be reached: check PREFECT_API_URL and that it is running."
_SILENT = "Prefect's server does not answer in time: try again in a moment, or look at its log."


@contextmanager
def map_prefect_errors(deployment: str = SYNC_DEPLOYMENT) -> Iterator[None]:
    """Raise Prefect's errors of the block as OrchestratorUnavailableError, in words.

    `deployment`: the one that is not there where Prefect does not find what was asked for.
    """
    try:
        yield
    except ObjectNotFound as error:
        raise OrchestratorUnavailableError(
            f"The deployment {_name_own(deployment)} is not there: run `facepass register`."
        ) from error
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        unknown = f"Prefect's server answered {status}: its log says why."
        refusal = _REFUSALS.get(status, unknown).format(pool=_name_pool())
        raise OrchestratorUnavailableError(refusal) from error
    except httpx.TransportError as error:
        raise OrchestratorUnavailableError(_UNREACHABLE) from error
    except TimeoutError as error:
        raise OrchestratorUnavailableError(_SILENT) from error


def check_server_address() -> None:
    """Raise OrchestratorUnavailableError unless a Prefect server is configured."""
    if not get_current_settings().api.url:
        raise OrchestratorUnavailableError(
            "No Prefect server is configured: set PREFECT_API_URL (or run `make up`)."
        )


class RunPhase(StrEnum):
    """Where a flow run is, in the product's words."""

    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    CRASHED = "crashed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class RunningRun:
    """A flow run that has a place in the pool."""

    flow_run_id: UUID
    since: datetime
    is_cancelling: bool
    is_tagged: bool  # as this installation's; runs of earlier releases are not


@dataclass(frozen=True)
class RunReport:
    """What Prefect says of a flow run."""

    phase: RunPhase
    due: datetime  # since when it is in this phase, or should have left it
    is_queued: bool  # waits for a worker, so that no process can be expected
    is_waiting: bool = False  # its own process waits for the next attempt; a retry by hand has none
    said: str | None = None  # the product's own words about this state; none by Prefect


_PHASES = {
    StateType.SCHEDULED: RunPhase.PENDING,
    StateType.PENDING: RunPhase.PENDING,
    StateType.PAUSED: RunPhase.PENDING,
    StateType.RUNNING: RunPhase.RUNNING,
    StateType.CANCELLING: RunPhase.RUNNING,
    StateType.COMPLETED: RunPhase.COMPLETED,
    StateType.FAILED: RunPhase.FAILED,
    StateType.CRASHED: RunPhase.CRASHED,
    StateType.CANCELLED: RunPhase.CANCELLED,
}
_RETRY_STATE = "AwaitingRetry"


def describe_run(run: FlowRun) -> RunReport:
    """What Prefect says of a flow run, by its latest state."""
    state = run.state
    if state is None:
        return RunReport(RunPhase.PENDING, datetime.now(UTC), is_queued=True)
    is_retry = state.name == _RETRY_STATE
    # Whose messages are the product's: the stack's, and those of runs that no retry heals, from
    # which tasks/sync/states.py takes the retries.
    is_final = state.type is StateType.FAILED and run.empirical_policy.retries == 0
    is_own = is_final or state.name == STOPPED
    return RunReport(
        RunPhase.RETRYING if is_retry else _PHASES[state.type],
        due=state.state_details.scheduled_time or state.timestamp,
        is_queued=state.type is StateType.SCHEDULED and not is_retry,
        is_waiting=is_retry and run.empirical_policy.retry_type == "in_process",
        said=state.message if is_own else None,
    )


class Orchestrator:
    """Prefect, as the API needs it; one client for as long as the API lives."""

    def __init__(self, client: PrefectClient, patience_s: float | None = None) -> None:
        """patience_s: how long one call of a method may take; None: as long as the client waits."""
        self._client = client
        self._patience_s = patience_s
        self._deployment_ids: dict[str, UUID] = {}
        self._starting = anyio.CapacityLimiter(STARTS_AT_ONCE)
        self._owner_tag: str | None = None

    async def start_sync(
        self, *, event_id: int, s3_prefix: str, run_name: str, request_key: str | None = None
    ) -> UUID:
        """Create a flow run of the sync deployment; returns its id at once.

        request_key: the run that was made for the same key is given back, unless it has ended: a
        request whose answer was lost makes no second run. Raises OrchestratorUnavailableError.
        """
        parameters = {"event_id": event_id, "s3_prefix": s3_prefix}
        return await self._start(SYNC_DEPLOYMENT, event_id, parameters, run_name, request_key)

    async def start_reembed(
        self,
        *,
        event_id: int,
        model_pack: str | None,
        profile: str | None,
        run_name: str,
        request_key: str | None = None,
    ) -> UUID:
        """Create a flow run that changes an event's model; `request_key` as in start_sync.

        Raises OrchestratorUnavailableError.
        """
        parameters = {"event_id": event_id, "model_pack": model_pack, "profile": profile}
        return await self._start(REEMBED_DEPLOYMENT, event_id, parameters, run_name, request_key)

    async def start_previews(self, *, event_id: int, run_name: str) -> UUID:
        """Create a flow run that makes an event's previews; the id of one that has not begun yet.

        Raises OrchestratorUnavailableError.
        """
        not_yet = FlowRunFilterState(
            name=FlowRunFilterStateName(any_=["Scheduled", "Late", STOPPED])
        )
        with self._asking():
            if waiting := await self._list_runs(PREVIEWS_FLOW, event_id, not_yet):
                return waiting[0].id
        return await self._start(PREVIEWS_DEPLOYMENT, event_id, {"event_id": event_id}, run_name)

    async def start_resync(self, *, event_id: int, s3_prefix: str, run_name: str) -> UUID | None:
        """Like start_sync, as a sub-run of the flow under way; None while one still waits.

        So a slow day piles up one run an event, not one an hour, and in a queue of their own:
        Prefect makes it after the default one, and hands out what somebody asked for first.
        """
        types = FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING])
        with self._asking():
            if await self._list_runs(SYNC_FLOW, event_id, FlowRunFilterState(type=types)):
                return None
            run: FlowRun = await arun_deployment(
                _name_own(SYNC_DEPLOYMENT),
                client=self._client,
                timeout=0,  # seconds: started, not waited for
                work_queue_name=RESYNC_QUEUE,
                parameters={"event_id": event_id, "s3_prefix": s3_prefix},
                tags=await self._tag_event(event_id),
                flow_run_name=run_name,
            )
        return run.id

    async def start_views(self, *, event_id: int, run_name: str) -> UUID | None:
        """Create a run that makes an event's views, behind all syncs; None while one waits.

        Raises OrchestratorUnavailableError.
        """
        types = FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING])
        with self._asking(VIEWS_DEPLOYMENT):
            if await self._list_runs(VIEWS_FLOW, event_id, FlowRunFilterState(type=types)):
                return None
            # A queue goes behind those that are there when it is made.
            for queue in (RESYNC_QUEUE, VIEWS_QUEUE):
                with suppress(ObjectAlreadyExists):
                    await self._client.create_work_queue(queue, work_pool_name=_name_pool())
            return await self._start_behind(VIEWS_QUEUE, VIEWS_DEPLOYMENT, event_id, run_name)

    async def start_notices(self, *, event_id: int, run_name: str, delay_s: float) -> UUID | None:
        """Create a run that tells an event's guests of new photos, due in a while; None while one
        waits, which will tell of these as well.

        Raises OrchestratorUnavailableError.
        """
        types = FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING])
        with self._asking(NOTICES_DEPLOYMENT):
            if await self._list_runs(NOTICES_FLOW, event_id, FlowRunFilterState(type=types)):
                return None
            due = datetime.now(UTC) + timedelta(seconds=delay_s)
            return await self._start_behind(
                RESYNC_QUEUE, NOTICES_DEPLOYMENT, event_id, run_name, due
            )

    async def start_update(
        self, *, event_id: int, run_name: str, but: UUID | None = None
    ) -> UUID | None:
        """Like start_reembed with nothing changed, in the queue of the resyncs.

        None while any event is being re-embedded or waits for it, except by the run `but`: one
        after the other, so that they never take a whole pool.
        """
        ended = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]
        types = FlowRunFilterStateType(not_any_=ended)
        others = FlowRunFilterId(not_any_=[but]) if but else None
        reembeds = FlowFilter(name=FlowFilterName(any_=[REEMBED_FLOW]))
        with self._asking(REEMBED_DEPLOYMENT):
            unfinished = FlowRunFilter(
                state=FlowRunFilterState(type=types),
                id=others,
                tags=FlowRunFilterTags(all_=[await self._read_owner_tag()]),
            )
            if await self._client.read_flow_runs(
                flow_filter=reembeds, flow_run_filter=unfinished, limit=1
            ):
                return None
            return await self._start_behind(RESYNC_QUEUE, REEMBED_DEPLOYMENT, event_id, run_name)

    async def read_run(self, flow_run_id: UUID) -> RunReport | None:
        """Where a flow run is; None when Prefect does not know it."""
        with self._asking():
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

    async def list_running(self, still_for: timedelta) -> list[RunningRun]:
        """Runs of our pool that have been running, or about to be cancelled, for so long.

        None of another installation; those of earlier releases do not say whose they are.
        """
        now = datetime.now(UTC)
        types = [StateType.RUNNING, StateType.CANCELLING]
        running = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types)))
        pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[_name_pool()]))
        with self._asking():
            own = await self._read_owner_tag()
            runs = await self._client.read_flow_runs(flow_run_filter=running, work_pool_filter=pool)
        return [
            RunningRun(
                run.id,
                state.timestamp,
                is_cancelling=state.type is StateType.CANCELLING,
                is_tagged=own in run.tags,
            )
            for run in runs
            if (state := run.state) is not None
            and now - state.timestamp > still_for
            and (own in run.tags or not list_owners(run.tags))
        ]

    async def announce(self, event: str, resource: dict[str, str], payload: dict[str, Any]) -> None:
        """Tell Prefect's automations of an event; one that cannot be told is only logged."""
        told = PrefectTold(event=event, resource=Resource(resource), payload=payload)
        try:
            with self._asking(), anyio.fail_after(ANNOUNCE_LIMIT_S):
                # The client has no method for it; the path is of Prefect's documented API.
                post = cast("Callable[..., Coroutine[Any, Any, object]]", self._client.request)
                await post("POST", "/events", json=[told.model_dump(mode="json")])
        except OrchestratorUnavailableError as error:
            logger.info("Prefect was not told of %s: %s", event, error)

    async def explain_wait(self) -> str:
        """Why a run has not started yet, in words."""
        return await self.find_worker_fault() or "waiting for a worker to take it up"

    async def find_worker_fault(self) -> str | None:
        """Why no run can start, in words; None where a worker is online."""
        with self._asking():
            try:
                workers = await self._client.read_workers_for_work_pool(_name_pool())
            except PrefectHTTPStatusError as error:
                if error.response.status_code != httpx.codes.NOT_FOUND:
                    raise
                return f"the work pool {_name_pool()} is not there: run `facepass register`"
        if any(worker.status == WorkerStatus.ONLINE for worker in workers):
            return None
        return f"no worker is online: run `prefect worker start --pool {_name_pool()}`"

    async def read_version(self) -> str:
        """The version of Prefect's server."""
        with self._asking():
            return str(await self._client.api_version())

    async def list_missing_deployments(self) -> list[str]:
        """Those of prefect.yaml that the server does not have."""
        missing = []
        for name in map(_name_own, DEPLOYMENTS):
            with self._asking():
                try:
                    await self._client.read_deployment_by_name(name)
                except ObjectNotFound:
                    missing.append(name)
        return missing

    async def check_deployment(self) -> None:
        """Raise OrchestratorUnavailableError unless a sync could be started now."""
        with self._asking():
            await self._client.read_deployment_by_name(_name_own(SYNC_DEPLOYMENT))

    @contextmanager
    def _asking(self, deployment: str = SYNC_DEPLOYMENT) -> Iterator[None]:
        with map_prefect_errors(deployment), anyio.fail_after(self._patience_s):
            yield

    async def _start(
        self,
        deployment: str,
        event_id: int,
        parameters: dict[str, Any],
        run_name: str,
        request_key: str | None = None,
    ) -> UUID:
        async def create(deployment_id: UUID) -> UUID:
            key = request_key
            while True:
                # Not through arun_deployment, which reads the whole deployment anew for every run.
                async with self._starting:
                    run = await self._client.create_flow_run_from_deployment(
                        deployment_id,
                        parameters=parameters,
                        tags=tags,
                        name=run_name,
                        idempotency_key=key,
                    )
                if request_key is None or run.state is None or not run.state.is_final():
                    return run.id
                key = f"{request_key} {run.id}"  # that one was cancelled before it began

        with self._asking(deployment):
            tags = await self._tag_event(event_id)
            if (known := self._deployment_ids.pop(deployment, None)) is not None:
                try:
                    run_id = await create(known)
                except PrefectHTTPStatusError as error:
                    # Deleted and deployed again, or on a new server: it has a new id.
                    if error.response.status_code != httpx.codes.NOT_FOUND:
                        raise
                else:
                    self._deployment_ids[deployment] = known
                    return run_id
            found = await self._client.read_deployment_by_name(_name_own(deployment))
            self._deployment_ids[deployment] = found.id
            return await create(found.id)

    async def _start_behind(
        self,
        queue: str,
        deployment: str,
        event_id: int,
        run_name: str,
        due: datetime | None = None,
    ) -> UUID:
        """Create a run in a queue behind the default one, with no other parameter."""
        run: FlowRun = await arun_deployment(
            _name_own(deployment),
            client=self._client,
            timeout=0,  # seconds: started, not waited for
            work_queue_name=queue,
            parameters={"event_id": event_id},
            tags=await self._tag_event(event_id),
            flow_run_name=run_name,
            scheduled_time=due,
            as_subflow=False,
        )
        return run.id

    async def _list_runs(
        self, flow: str, event_id: int, state: FlowRunFilterState
    ) -> Sequence[FlowRun]:
        tags = FlowRunFilterTags(all_=await self._tag_event(event_id))
        return await self._client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[flow])),
            flow_run_filter=FlowRunFilter(tags=tags, state=state),
            limit=1,
        )

    async def _tag_event(self, event_id: int) -> list[str]:
        """A run's tags; an event's runs are found by them, since ids are a database's own."""
        return [f"event:{event_id}", await self._read_owner_tag()]

    async def _read_owner_tag(self) -> str:
        """Asked of the database once: it may be away when the API starts."""
        if self._owner_tag is None:
            self._owner_tag = tag_owner(await anyio.to_thread.run_sync(find_installation))
        return self._owner_tag

    async def _end_run(self, flow_run_id: UUID, state: State[None]) -> None:
        with self._asking():
            await self._client.set_flow_run_state(flow_run_id, state, force=True)


@asynccontextmanager
async def open_orchestrator(patience_s: float | None = None) -> AsyncIterator[Orchestrator]:
    """Connect to the server that PREFECT_API_URL names; `patience_s` as in Orchestrator."""
    check_server_address()
    async with get_client() as client:
        yield Orchestrator(client, patience_s)


def start_syncs(event_id: int, run_names: Mapping[str, str]) -> list[UUID]:
    """Start a sync of each prefix and return their runs' ids; `run_names` are by prefix.

    Each is a run like any other: while a sync of the event is under way, its request is left
    with that one. Not for callers inside an event loop. Raises OrchestratorUnavailableError.
    """

    async def start_each() -> list[UUID]:
        async with open_orchestrator() as orchestrator:
            return [
                await orchestrator.start_sync(event_id=event_id, s3_prefix=prefix, run_name=name)
                for prefix, name in run_names.items()
            ]

    return anyio.run(start_each) if run_names else []


def start_views(event_id: int, run_name: str) -> UUID | None:
    """Start the making of an event's views, as Orchestrator.start_views; not inside an event loop.

    Raises OrchestratorUnavailableError.
    """

    async def start() -> UUID | None:
        async with open_orchestrator() as orchestrator:
            return await orchestrator.start_views(event_id=event_id, run_name=run_name)

    return anyio.run(start)


def start_notices(event_id: int, run_name: str, delay_s: float) -> UUID | None:
    """Have guests told, as Orchestrator.start_notices; not inside an event loop.

    Raises OrchestratorUnavailableError.
    """

    async def start() -> UUID | None:
        async with open_orchestrator() as orchestrator:
            return await orchestrator.start_notices(
                event_id=event_id, run_name=run_name, delay_s=delay_s
            )

    return anyio.run(start)


def _name_pool() -> str:
    return name_pool(get_settings().installation)


def _name_own(deployment: str) -> str:
    return name_deployment(deployment, get_settings().installation)
