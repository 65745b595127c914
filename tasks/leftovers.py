"""Task runs that a dead attempt left in Prefect: its UI would show them running for ever."""

import logging
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import PrefectException
from prefect.states import Crashed

logger = logging.getLogger(__name__)

UNFINISHED = [StateType.PENDING, StateType.RUNNING]
MESSAGE = "The process died with this; the next attempt does it again."


def end_lost_tasks(flow_run_id: UUID) -> None:
    """Mark what an earlier attempt of this run left unfinished as crashed.

    For the beginning of an attempt, before it has task runs of its own. Only people read these
    states: a sync goes on when they cannot be written.
    """
    try:
        with get_client(sync_client=True) as client:
            lost = client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])),
                task_run_filter=TaskRunFilter(
                    state=TaskRunFilterState(type=TaskRunFilterStateType(any_=UNFINISHED))
                ),
            )
            for task_run in lost:
                client.set_task_run_state(task_run.id, Crashed(message=MESSAGE), force=True)
    except (httpx.HTTPError, PrefectException) as error:
        logger.warning("A dead attempt's tasks could not be ended: %s", type(error).__name__)
