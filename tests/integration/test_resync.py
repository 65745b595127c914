"""The scheduled resync, started by Prefect's own scheduler."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from models.events import list_active_events
from models.session import open_session
from models.tables import Event, utc_now
from tests.event_box import EventBox
from tests.photos import encode_jpeg, read_sample


@pytest.fixture
def prefect(joined_stack: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=joined_stack["PREFECT_API_URL"], timeout=30) as client:
        yield client


@pytest.fixture
def frequent_schedule(prefect: httpx.Client) -> Iterator[str]:
    """The resync's deployment with a second schedule, every three seconds."""
    answer = prefect.get("/deployments/name/resync_events/default").json()
    path = f"/deployments/{answer['id']}/schedules"
    body = [{"schedule": {"interval": 3.0}, "active": True}]
    (schedule,) = prefect.post(path, json=body).json()
    yield answer["id"]
    prefect.delete(f"{path}/{schedule['id']}")


def test_the_schedule_of_prefect_yaml_is_deployed(prefect: httpx.Client) -> None:
    deployment = prefect.get("/deployments/name/resync_events/default").json()
    (schedule,) = deployment["schedules"]
    assert schedule["active"]
    assert schedule["schedule"]["timezone"] == "Europe/Moscow"


def test_the_scheduler_starts_syncs_of_active_events_only(
    make_event: Callable[..., EventBox], prefect: httpx.Client, frequent_schedule: str
) -> None:
    active, over = make_event("Идёт"), make_event("Прошла")
    with open_session() as session:
        for event in list_active_events(session):  # other tests' events are none of ours
            event.active_until = utc_now() - timedelta(days=1)
        session.get_one(Event, active.id).active_until = utc_now() + timedelta(days=1)
    for event in (active, over):
        event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))

    wait_until(lambda: active.face_counts() == {"a.jpg": 1})

    assert over.photos() == {}
    (run,) = active.query("SELECT flow_run_id FROM sync_run WHERE event_id = :event LIMIT 1")
    sync = prefect.get(f"/flow_runs/{run.flow_run_id}").json()
    assert sync["name"] == f"Идёт · {active.prefix}"
    assert f"event:{active.id}" in sync["tags"]
    parent = prefect.get(f"/task_runs/{sync['parent_task_run_id']}").json()
    resync = prefect.get(f"/flow_runs/{parent['flow_run_id']}").json()
    assert (resync["auto_scheduled"], resync["deployment_id"]) == (True, frequent_schedule)


def wait_until(condition: Callable[[], Any], limit_s: float = 90) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.5)
