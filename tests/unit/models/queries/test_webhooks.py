"""The payload of a webhook delivery."""

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from sqlmodel import Session

from models.queries import webhooks
from models.queries.webhooks import add_deliveries, build_payload
from models.settings import Settings
from models.vocabulary import SyncState

RUN = UUID("a1b2c3d4-e5f6-7890-abcd-ef1234567890")
OTHER = UUID("00000000-0000-0000-0000-000000000001")
MOSCOW = timezone(timedelta(hours=3))


def make_row(**changes: Any) -> Any:
    values = {
        "event_id": 1,
        "s3_prefix": "events/1/previews/",
        "uuid": UUID("550e8400-e29b-41d4-a716-446655440000"),
        "name": "Свадьба Анны и Ёжи",
        "flow_run_id": RUN,
        "state": "completed",
        "detail": "Successfully synced 120 new photos",
        "result": {"new_photos": 120},
        "held_by": None,
        "finished_at": datetime(2026, 6, 20, 21, 30, tzinfo=MOSCOW),
    }
    return cast("Any", SimpleNamespace(**{**values, **changes}))


def test_a_webhook_tells_what_the_status_call_would() -> None:
    assert build_payload(make_row()) == {
        "type": "sync.completed",
        "timestamp": "2026-06-20T18:30:00+00:00",
        "data": {
            "event_id": 1,
            "event_uuid": "550e8400-e29b-41d4-a716-446655440000",
            "event_name": "Свадьба Анны и Ёжи",
            "task_id": str(RUN),
            "state": "completed",
            "detail": "Successfully synced 120 new photos",
            "result": {"new_photos": 120},
            "held_by": None,
        },
    }


def test_a_skipped_sync_names_the_one_that_does_its_work() -> None:
    payload = build_payload(make_row(state=SyncState.SKIPPED, held_by=OTHER, result=None))
    assert payload["type"] == "sync.skipped"
    assert payload["data"]["held_by"] == str(OTHER)


@pytest.mark.parametrize("state", list(SyncState))
def test_a_type_is_named_after_its_state(state: SyncState) -> None:
    when = datetime(2026, 6, 20, tzinfo=UTC)
    assert build_payload(make_row(state=state, finished_at=when))["type"] == f"sync.{state.value}"


def test_a_change_of_model_is_not_told_as_a_sync() -> None:
    assert build_payload(make_row(s3_prefix="events/1/"))["type"] == "model_change.completed"


def test_nothing_is_written_where_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "get_settings", lambda: Settings(webhook_url=None))
    add_deliveries(cast("Session", None), [RUN])  # no session: it would be used
