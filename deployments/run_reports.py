"""Where a flow run is: Prefect's states in the product's words."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, StateType


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


@dataclass(frozen=True)
class RunReport:
    """What Prefect says of a flow run."""

    phase: RunPhase
    due: datetime  # since when it is in this phase, or should have left it
    is_queued: bool  # waits for a worker, so that no process can be expected
    is_waiting: bool = False  # its own process waits for the next attempt; a retry by hand has none


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
    return RunReport(
        RunPhase.RETRYING if is_retry else _PHASES[state.type],
        due=state.state_details.scheduled_time or state.timestamp,
        is_queued=state.type is StateType.SCHEDULED and not is_retry,
        is_waiting=is_retry and run.empirical_policy.retry_type == "in_process",
    )
