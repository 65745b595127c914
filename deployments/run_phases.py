"""Where a flow run is, in the product's words rather than Prefect's."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from prefect.client.schemas.objects import StateType


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
class RunReport:
    """What Prefect says of a flow run."""

    phase: RunPhase
    due: datetime  # since when it is in this phase, or should have left it
    is_queued: bool  # waits for a worker, so that no process can be expected
    is_waiting: bool = False  # its own process waits for the next attempt; a retry by hand has none


PHASES = {
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
