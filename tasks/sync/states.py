"""The final states of flow runs: the one place that turns the product's errors into Prefect states.

An error that a retry cannot fix ends the run here; other errors are raised, and Prefect retries.
These states are for Prefect's UI; the REST API reads the run's record in the database.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.context import FlowRunContext
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from models.errors import (
    ConfigurationError,
    EventErasedError,
    EventNotFoundError,
    FacePassError,
    ForeignRunError,
    InvalidPrefixError,
    S3AccessError,
    SyncSkippedError,
)
from models.keys import list_owners
from models.queries.runs import find_installation
from models.vocabulary import SyncState
from tasks.s3.errors import quote_s3

SYNC_RETRIES = 3
# What no later attempt heals: retrying would burn fifteen minutes to say the same.
FINAL_ERRORS = (
    ConfigurationError,
    EventNotFoundError,
    ForeignRunError,
    InvalidPrefixError,
    S3AccessError,
)

Arguments = ParamSpec("Arguments")


def find_end(error: Exception) -> SyncState | None:
    """The state in which an error ends a run for good; None where another attempt may help."""
    match error:
        case EventErasedError():
            return SyncState.CANCELLED
        case SyncSkippedError():
            return SyncState.SKIPPED
        case _:
            return SyncState.FAILED if isinstance(error, FINAL_ERRORS) else None


def build_final_state(end: SyncState, message: str) -> State[Any]:
    """The state that Prefect's UI shows of a run that ended without a result.

    Prefect retries every Failed flow run that has retries left: see `set_retries_left`.
    """
    if end is SyncState.CANCELLED:
        return State(type=StateType.CANCELLED, name="Cancelled", message=message)
    if end is SyncState.SKIPPED:
        return Completed(name="Skipped", message=message, data=None)
    return Failed(message=message)


def set_retries_left(*, has_some: bool) -> None:
    """Whether Prefect tries the flow run under way again by itself when it fails.

    Prefect's server asks the run's own policy, so a run that no retry heals ends as Failed at once;
    Retry in the UI starts it all the same, and gives it back the retries of its flow.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return  # a flow's function that was called without its flow
    wanted = context.flow.retries if has_some and context.flow else 0
    policy = context.flow_run.empirical_policy
    if policy.retries == wanted:
        return
    policy.retries = wanted
    with get_client(sync_client=True) as client:
        client.update_flow_run(context.flow_run.id, empirical_policy=policy)


def is_foreign_run() -> bool:
    """Whether the flow run under way carries another installation's id, or two."""
    owners = list_owners(flow_run.get_tags())
    return bool(owners) and owners != {str(find_installation())}


def require_own_run() -> None:
    """Raise ForeignRunError in a run of another installation, whose event ids mean nothing here.

    Runs that carry no installation, an earlier release's, are taken for this one's.
    """
    if is_foreign_run():
        raise ForeignRunError(
            "This run belongs to another installation on this Prefect server, and nothing was "
            "touched: give each installation a work pool of its own by FACEPASS_INSTALLATION "
            "(docs/running.md), then start it again there."
        )


def refuse_foreign_run() -> State[Any] | None:
    """The final state of another installation's run; for flows without `end_in_state`."""
    try:
        require_own_run()
    except ForeignRunError as error:
        return build_final_state(SyncState.FAILED, str(error))
    return None


def end_in_state(
    run_flow: Callable[Arguments, State[Any]],
) -> Callable[Arguments, State[Any]]:
    """A flow's function that returns the final state of errors that no retry heals.

    For the line below `@flow`; other errors are raised as they are. A run of another installation
    ends before the function is called.
    """

    @wraps(run_flow)
    def run(*args: Arguments.args, **kwargs: Arguments.kwargs) -> State[Any]:
        try:
            require_own_run()
            set_retries_left(has_some=True)
            return run_flow(*args, **kwargs)
        except FacePassError as error:
            if words := quote_s3(error):
                get_run_logger().warning("S3's own words: %s", words)
            end = find_end(error)
            if end is None:
                raise
            if end is SyncState.FAILED:
                # The page of a run shows its log, and no state's message.
                get_run_logger().error("%s", error)
                set_retries_left(has_some=False)
            return build_final_state(end, str(error))

    return run
