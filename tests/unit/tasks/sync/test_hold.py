"""How a failed attempt is recorded: tried again, or for good after the last try."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest
from prefect.logging import disable_run_logger

from models.errors import S3DownloadError
from models.vocabulary import ErrorKind, SyncState
from tasks.sync import hold
from tasks.sync.hold import Claimant, _record_failure
from tasks.sync.states import SYNC_RETRIES

CLAIMANT = Claimant(uuid4(), 1, "events/1/previews/")
AWAY = S3DownloadError("S3 unreachable (ConnectTimeoutError).")


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What is written of an attempt: its state, the sentence, the kind of the error."""

    @contextmanager
    def open_session() -> Iterator[None]:
        yield None

    written: list[tuple[Any, ...]] = []

    def end_run(_session: None, _run: Any, state: SyncState, **told: Any) -> None:
        written.append((state, told["detail"], told["error_kind"]))

    def mark_retrying(_session: None, _run: Any, **told: Any) -> None:
        written.append((SyncState.RETRYING, told["detail"], told["error_kind"]))

    monkeypatch.setattr(hold, "open_session", open_session)
    monkeypatch.setattr(hold, "end_run", end_run)
    monkeypatch.setattr(hold, "mark_retrying", mark_retrying)
    monkeypatch.setattr(hold, "publish_failure", lambda *args: written.append(args))
    return written


def fail(monkeypatch: pytest.MonkeyPatch, run_count: int, error: Exception) -> None:
    monkeypatch.setattr(hold.flow_run, "get_run_count", lambda: run_count)
    with disable_run_logger():
        _record_failure(CLAIMANT, error)


@pytest.mark.parametrize("run_count", range(1, SYNC_RETRIES + 1))
def test_an_attempt_that_prefect_repeats_is_told_as_retrying(
    records: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch, run_count: int
) -> None:
    fail(monkeypatch, run_count, AWAY)
    assert records == [(SyncState.RETRYING, str(AWAY), ErrorKind.S3)]


def test_the_last_attempt_fails_the_run_and_its_page_says_why(
    records: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, SYNC_RETRIES + 1, AWAY)
    assert records == [(SyncState.FAILED, str(AWAY), ErrorKind.S3), (1, str(AWAY), "sync")]


def test_a_foreign_errors_text_is_told_to_nobody(
    records: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, 1, ValueError("a vector, a name, a password"))
    assert records == [
        (
            SyncState.RETRYING,
            "Unexpected ValueError; the log says more.",
            ErrorKind.OTHER,
        )
    ]
