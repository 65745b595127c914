"""The telling of guests: what one guest's trouble does to the others, and what ends an attempt."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest

from models.errors import (
    AddressDelayedError,
    ConfigurationError,
    DatabaseUnavailableError,
    FacePassError,
    InvalidCursorError,
    MailUnavailableError,
    TooBusyError,
)
from tasks.notices import tell as module
from tasks.notices.tell import MOST_FAILURES, Outcome, tell_guests

GUESTS = [UUID(int=number) for number in range(8)]
Tell = Callable[[dict[int, FacePassError]], list[int]]


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> Tell:
    """A run over GUESTS in which some meet an error; whom it asked about. Raises what it raises."""

    @contextmanager
    def open_nothing() -> Iterator[None]:
        yield None

    def run(troubles: dict[int, FacePassError]) -> list[int]:
        asked: list[int] = []

        def tell_guest(subscription_id: UUID, _: object) -> Outcome:
            asked.append(subscription_id.int)
            if trouble := troubles.get(subscription_id.int):
                raise trouble
            return Outcome.TOLD

        monkeypatch.setattr(module, "tell_guest", tell_guest)
        try:
            counts = tell_guests.fn(1)
        except FacePassError as error:
            error.add_note(str(len(asked)))
            raise
        assert counts["told"] == len(asked)
        return asked

    fakes = {
        "open_session": open_nothing,
        "_open_post": open_nothing,
        "read_event": lambda *_: None,
        "may_tell": lambda *_: True,
        "list_confirmed": lambda *_: GUESTS,
        "get_run_logger": lambda: logging.getLogger("run"),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(module, name, fake)
    return run


@pytest.mark.parametrize(
    "trouble", [TooBusyError("x"), InvalidCursorError("x"), AddressDelayedError("x")]
)
def test_what_guests_meet_one_by_one_keeps_nobody_behind_them_from_being_told(
    tell: Tell, trouble: FacePassError, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with pytest.raises(type(trouble)) as caught:  # for a later attempt
        tell(dict.fromkeys(range(6), trouble))
    assert caught.value.__notes__ == [str(len(GUESTS))]
    assert f"6 not told ({type(trouble).__name__}), 2 told" in caplog.text


@pytest.mark.parametrize(
    "trouble",
    [MailUnavailableError("x"), DatabaseUnavailableError("x"), ConfigurationError("x")],
)
def test_what_all_would_meet_ends_the_attempt(tell: Tell, trouble: FacePassError) -> None:
    with pytest.raises(type(trouble)) as caught:
        tell(dict.fromkeys(range(1, 7), trouble))
    assert caught.value.__notes__ == [str(1 + MOST_FAILURES)]


def test_a_guest_who_is_told_shows_that_the_server_is_there(tell: Tell) -> None:
    away = MailUnavailableError("x")
    with pytest.raises(MailUnavailableError) as caught:
        tell({0: away, 1: away, 3: away, 4: away, 6: away})
    assert caught.value.__notes__ == [str(len(GUESTS))]


def test_a_run_without_trouble_ends_in_counts(tell: Tell) -> None:
    assert tell({}) == list(range(len(GUESTS)))
