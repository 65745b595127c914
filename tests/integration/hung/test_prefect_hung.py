"""Prefect stands still: requests for syncs are told so in time, and nobody else waits."""

import time
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import PrefectClient
from sqlalchemy import text

from api import app
from models.session import open_session
from tests.integration.hung.conftest import SOON_S, Album, Crowd, call, expect_sentences
from tests.support.event_box import EventBox
from tests.support.guests import search
from tests.support.local_client import open_local_client
from tests.support.public_api import PublicApi
from tests.support.standing_still import find_listener, stand_still

CROWD = 60  # more than the threads that FastAPI has by itself
LIMIT_S = 40


def ask_for_sync(url: str, event: EventBox) -> Any:
    body = {"event_uuid": str(event.uuid), "s3_prefix": event.prefix}
    return call(f"{url}/api/v1/faces/sync-s3", "POST", json=body)


def test_a_crowd_that_waits_for_prefect_leaves_everybody_else_their_threads(
    api: PublicApi, album: Album, joined_stack: dict[str, str], selfie: bytes
) -> None:
    with httpx.Client(base_url=api.url, timeout=60, trust_env=False) as client:
        assert search(client, album.event, selfie).status_code == 200  # the engine is loaded
    events = [EventBox(f"Event {n}") for n in range(8)]
    with stand_still(find_listener(joined_stack["PREFECT_API_URL"])):
        crowd = Crowd(lambda n: ask_for_sync(api.url, events[n % len(events)]), CROWD)
        time.sleep(2)
        for path in ("/health", f"/gallery/{album.token}", "/api/v1/events"):
            answer = call(f"{api.url}{path}")
            assert (answer.status, answer.seconds < SOON_S) == (200, True), (path, answer)
        with httpx.Client(base_url=api.url, timeout=60, trust_env=False) as client:
            assert search(client, album.event, selfie).status_code == 200
        ready = call(f"{api.url}/ready")
        assert (ready.status, "Prefect" in ready.text, ready.seconds < SOON_S) == (503, True, True)
        expect_sentences(crowd.wait(), LIMIT_S)
    assert ask_for_sync(api.url, events[0]).status == 200


def test_a_sync_stores_on_while_a_request_for_its_event_waits_for_prefect(
    api: PublicApi, event: EventBox, joined_stack: dict[str, str]
) -> None:
    with stand_still(find_listener(joined_stack["PREFECT_API_URL"])):
        crowd = Crowd(lambda _: ask_for_sync(api.url, event), 1)
        time.sleep(3)
        # What each store transaction of a sync begins with, and its heartbeat after that.
        with open_session() as session:
            session.execute(text("SET LOCAL lock_timeout = '2s'"))
            session.execute(text(f"SELECT 1 FROM event WHERE id = {event.id} FOR SHARE"))
            session.execute(text(f"UPDATE event SET name = name WHERE id = {event.id}"))
        expect_sentences(crowd.wait(), LIMIT_S)


def test_a_run_whose_answer_was_lost_is_found_by_the_next_request(
    event: EventBox, prefect: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, lost = PrefectClient.create_flow_run_from_deployment, []

    async def create_and_lose(self: PrefectClient, *args: Any, **options: Any) -> Any:
        run = await create(self, *args, **options)
        if not lost:
            lost.append(run.id)
            raise httpx.ReadTimeout("the answer was lost")
        return run

    monkeypatch.setattr(PrefectClient, "create_flow_run_from_deployment", create_and_lose)
    pool = "/work_pools/facepass"
    prefect.patch(pool, json={"is_paused": True}).raise_for_status()  # or it ends meanwhile
    try:
        with open_local_client(app.create_app()) as client:
            body = {"event_uuid": str(event.uuid), "s3_prefix": event.prefix}
            first = client.post("/api/v1/faces/sync-s3", json=body)
            second = client.post("/api/v1/faces/sync-s3", json=body)
            third = client.post("/api/v1/faces/sync-s3", json=body)
        assert (first.status_code, second.status_code) == (503, 200)
        assert second.json()["task_id"] == third.json()["task_id"] == str(lost[0])
        tagged = {"flow_runs": {"tags": {"all_": [f"event:{event.id}"]}}}
        assert len(prefect.post("/flow_runs/filter", json=tagged).json()) == 1
    finally:
        prefect.patch(pool, json={"is_paused": False}).raise_for_status()
