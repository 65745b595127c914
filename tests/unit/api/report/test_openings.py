"""Openings of photos in memory: counted by day, kept while the database is away, and bounded."""

from collections import Counter
from datetime import UTC, date, datetime

import anyio
import pytest

from api.report import openings as module
from api.report.openings import Openings, write_openings
from models.errors import DatabaseUnavailableError

TODAY = date(2026, 6, 20)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Counter[tuple[int, date]]]:
    """What was written; the clock stands at TODAY."""
    batches: list[Counter[tuple[int, date]]] = []
    monkeypatch.setattr(module, "_write", batches.append)
    monkeypatch.setattr(module, "utc_now", lambda: datetime(2026, 6, 20, 23, 59, tzinfo=UTC))
    return batches


def test_a_batch_is_written_once(written: list[Counter[tuple[int, date]]]) -> None:
    openings = Openings()
    for photo_id in (7, 8, 7):
        openings.note(photo_id)
    anyio.run(openings.write)
    anyio.run(openings.write)
    assert written == [Counter({(7, TODAY): 2, (8, TODAY): 1})]


def test_what_could_not_be_written_is_written_with_what_came_since(
    written: list[Counter[tuple[int, date]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    openings = Openings()
    openings.note(7)

    def fail(_: object) -> None:
        openings.note(7)
        raise DatabaseUnavailableError("PostgreSQL cannot be reached.")

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", fail)
        anyio.run(openings.write)
    anyio.run(openings.write)
    assert written == [Counter({(7, TODAY): 2})]


def test_memory_is_bounded_while_the_database_is_away(
    written: list[Counter[tuple[int, date]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 2)
    openings = Openings()
    for photo_id in (1, 2, 3, 1):
        openings.note(photo_id)
    anyio.run(openings.write)
    assert written == [Counter({(1, TODAY): 2, (2, TODAY): 1})]


def test_a_stopping_process_writes_what_it_has(
    written: list[Counter[tuple[int, date]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    openings = Openings()
    monkeypatch.setattr(module, "get_openings", lambda: openings)

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write_openings)
            await anyio.sleep(0)
            openings.note(7)
            tasks.cancel_scope.cancel()

    anyio.run(run)
    assert written == [Counter({(7, TODAY): 1})]
