"""How runs end: which errors end one for good, and the state that Prefect shows then."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import State, StateType
from prefect.logging import disable_run_logger
from prefect.states import Completed

from models.errors import (
    ConfigurationError,
    EventErasedError,
    EventNotFoundError,
    FacePassError,
    InvalidPrefixError,
    S3AccessError,
    S3DownloadError,
    SyncIncompleteError,
    SyncSkippedError,
    SyncSupersededError,
)
from models.keys import tag_owner
from models.vocabulary import SyncState
from tasks.sync import states
from tasks.sync.states import end_in_state, find_end


@pytest.fixture(autouse=True)
def without_a_run() -> Iterator[None]:
    """Prefect's own way to call what logs to a run where there is none."""
    with disable_run_logger():
        yield


def end_with(error: Exception) -> State[Any]:
    """The state of a flow whose function raises this."""

    @end_in_state
    def run() -> State[Any]:
        raise error

    return run()


def test_a_state_that_is_returned_stays_as_it_is() -> None:
    completed: State[Any] = Completed(name="Completed: 3 new", data={"new_photos": 3})

    @end_in_state
    def run(event_id: int) -> State[Any]:
        """A flow."""
        assert event_id == 1
        return completed

    assert run(event_id=1) is completed
    assert run.__name__ == "run"
    assert run.__doc__ == "A flow."


@pytest.mark.parametrize(
    "error",
    [
        SyncSkippedError("Event 1 is being synced already.", held_by=uuid4()),
        SyncSupersededError("Another attempt has taken over."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_skipped_run_is_completed_under_its_own_name(error: FacePassError) -> None:
    state = end_with(error)
    assert (state.type, state.name) == (StateType.COMPLETED, "Skipped")
    assert (state.message, state.data) == (str(error), None)


def test_a_run_that_an_erasure_stopped_is_called_cancelled_and_not_retried() -> None:
    state = end_with(EventErasedError("The event's faces were erased."))
    assert (state.type, state.name) == (StateType.CANCELLED, "Cancelled")
    assert state.is_final()
    assert not state.is_failed()


@pytest.mark.parametrize(
    "kind", [ConfigurationError, EventNotFoundError, InvalidPrefixError, S3AccessError]
)
def test_a_run_that_no_retry_heals_ends_as_failed(
    kind: type[FacePassError],
) -> None:
    state = end_with(kind("There is no bucket x."))
    assert find_end(kind("There is no bucket x.")) is SyncState.FAILED
    assert (state.type, state.name) == (StateType.FAILED, "Failed")
    assert state.message == "There is no bucket x."


@pytest.mark.parametrize(
    "error", [S3DownloadError("away"), SyncIncompleteError("3 photos are left"), ValueError("?")]
)
def test_what_another_attempt_may_heal_is_left_to_prefect(error: Exception) -> None:
    assert find_end(error) is None
    with pytest.raises(type(error)):
        end_with(error)


OWN, OTHER = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("owners", "runs"),
    [([], True), ([OWN], True), ([OTHER], False), ([OWN, OTHER], False)],
)
def test_a_run_that_names_another_installation_ends_before_its_work_and_is_not_retried(
    owners: list[UUID], runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = ["event:1", *map(tag_owner, owners)]
    monkeypatch.setattr("prefect.runtime.flow_run.get_tags", lambda: tags)
    monkeypatch.setattr(states, "find_installation", lambda: OWN)
    done = []

    @end_in_state
    def run() -> State[Any]:
        done.append(True)
        return Completed()

    state = run()
    assert bool(done) is runs
    refusal = states.refuse_foreign_run()
    assert (refusal is None) is runs
    if refusal is not None:
        assert (state.type, state.name) == (StateType.FAILED, "Failed")
        assert "FACEPASS_INSTALLATION" in str(state.message)
        assert refusal.message == state.message
