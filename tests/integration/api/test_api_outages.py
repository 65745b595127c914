"""The API when what it needs is away: 503 and a sentence, never a stack trace."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from api.app import create_app
from deployments import orchestrator
from tests.support.event_box import EventBox
from tests.support.local_client import open_local_client

NOBODY_LISTENS = "http://127.0.0.1:9/api"  # the discard port


def call_sync(client: TestClient, event: EventBox) -> tuple[int, str]:
    answer = client.post(
        "/api/v1/faces/sync-s3", json={"event_uuid": str(event.uuid), "s3_prefix": event.prefix}
    )
    return answer.status_code, answer.json()["detail"]


def test_prefect_away(event: EventBox) -> None:
    settings = {PREFECT_API_URL: NOBODY_LISTENS, PREFECT_CLIENT_MAX_RETRIES: 0}
    with (
        temporary_settings(settings),
        open_local_client(create_app()) as client,
    ):
        status, detail = call_sync(client, event)
        assert (status, client.get("/health").status_code) == (503, 200)
        assert "PREFECT_API_URL" in detail
        assert client.get("/ready").status_code == 503
    assert event.query("SELECT 1 FROM sync_run WHERE event_id = :event") == []


def test_the_deployment_missing(event: EventBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestrator, "SYNC_DEPLOYMENT", "sync_event_photos/nowhere")
    with open_local_client(create_app()) as client:
        status, detail = call_sync(client, event)
    assert status == 503
    assert "run `facepass register`" in detail


def test_the_database_away(event: EventBox, configure: Callable[..., None]) -> None:
    configure(database_url="postgresql://nobody@127.0.0.1:9/nothing")
    with open_local_client(create_app()) as client:
        status, detail = call_sync(client, event)
        assert client.get("/ready").status_code == 503
    assert (status, detail) == (503, "The database cannot be reached: is PostgreSQL running?")
