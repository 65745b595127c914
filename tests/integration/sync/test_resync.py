"""The scheduled resync, started by Prefect's own scheduler."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import httpx
import pytest
from PIL import Image
from prefect.logging import disable_run_logger

from deployments.names import RESYNC_QUEUE
from models.errors import S3DownloadError
from models.queries.events import list_active_events
from models.session import open_session
from models.tables import Event, utc_now
from tasks.sync.resync import ResyncTarget, find_changed, has_changed, list_resync_targets
from tests.support.event_box import EventBox
from tests.support.faults import FaultProxy
from tests.support.photos import encode_jpeg, read_sample, vary
from tests.support.waiting import wait_until


@pytest.fixture
def frequent_schedule(prefect: httpx.Client) -> Iterator[str]:
    """The resync's deployment with a second schedule, every three seconds."""
    answer = prefect.get("/deployments/name/resync_events/resync").json()
    path = f"/deployments/{answer['id']}/schedules"
    body = [{"schedule": {"interval": 3.0}, "active": True}]
    (schedule,) = prefect.post(path, json=body).json()
    yield answer["id"]
    prefect.delete(f"{path}/{schedule['id']}")


def test_the_schedule_of_prefect_yaml_is_deployed(prefect: httpx.Client) -> None:
    deployment = prefect.get("/deployments/name/resync_events/resync").json()
    (schedule,) = deployment["schedules"]
    assert schedule["schedule"]["cron"] == "15 * * * *"  # paused here, for the other tests' sake
    assert schedule["schedule"]["timezone"] == "Europe/Moscow"


def test_the_scheduler_starts_syncs_of_active_events_only(
    make_event: Callable[..., EventBox], prefect: httpx.Client, frequent_schedule: str
) -> None:
    active, over = make_event("Идёт"), make_event("Прошла")
    with open_session() as session:
        for event in list_active_events(session):  # other tests' events are none of ours
            event.active_until = utc_now() - timedelta(days=1)
    with open_session() as session:
        for target in list_resync_targets.fn():  # nor are those that nobody can search
            session.get_one(Event, target.event_id).erased_at = utc_now()
        session.get_one(Event, active.id).active_until = utc_now() + timedelta(days=1)
    for event in (active, over):
        event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))

    wait_until(lambda: active.face_counts() == {"a.jpg": 1})

    assert over.photos() == {}
    (run,) = active.query("SELECT flow_run_id FROM sync_run WHERE event_id = :event LIMIT 1")
    sync = prefect.get(f"/flow_runs/{run.flow_run_id}").json()
    assert sync["name"] == f"Идёт · {active.prefix}"
    assert f"event:{active.id}" in sync["tags"]
    queues = prefect.post("/work_pools/facepass/queues/filter", json={}).json()
    priority = {queue["name"]: queue["priority"] for queue in queues}  # 1 comes first
    assert priority[sync["work_queue_name"]] > priority["default"]
    parent = prefect.get(f"/task_runs/{sync['parent_task_run_id']}").json()
    resync = prefect.get(f"/flow_runs/{parent['flow_run_id']}").json()
    assert (resync["auto_scheduled"], resync["deployment_id"]) == (True, frequent_schedule)

    # From now on it only looks.
    nothing_new = {
        "deployments": {"id": {"any_": [frequent_schedule]}},
        "flow_runs": {
            "state": {"name": {"any_": ["Completed: 0 started, 0 waiting already, 1 unchanged"]}}
        },
    }
    wait_until(lambda: prefect.post("/flow_runs/count", json=nothing_new).json() > 0)


def take_original(event: EventBox, name: str) -> None:
    key = f"events/{event.id}/originals/{name}"
    event.bucket.client.delete_object(Bucket=event.bucket.name, Key=key)


CHANGES: dict[str, Callable[[EventBox, Image.Image], object]] = {
    "a preview is new": lambda event, photo: event.put("b.jpg", vary(photo, 2)),
    "a preview is replaced": lambda event, photo: event.put("a.jpg", vary(photo, 3)),
    "a preview is gone": lambda event, _: event.remove("b.jpg"),
    "it is back": lambda event, photo: event.put("b.jpg", vary(photo, 2)),
    "an original is gone": lambda event, _: take_original(event, "a.jpg"),
    "it is back too": lambda event, photo: event.put("a.jpg", vary(photo, 3)),
    "a run died before it stored a photo": lambda event, _: event.query(
        "UPDATE photo SET status = 'pending' WHERE event_id = :event RETURNING 1"
    ),
    "a failed photo was requeued": lambda event, _: event.query(
        "UPDATE photo SET etag = '' WHERE event_id = :event RETURNING 1"
    ),
    "a request was made that no run has heard of": lambda event, _: event.query(
        "UPDATE event SET pending_prefixes = ARRAY['events/' || id || '/previews/']"
        " WHERE id = :event RETURNING 1"
    ),
    "the event has another profile": lambda event, _: event.query(
        "UPDATE event SET profile = 'groups' WHERE id = :event RETURNING 1"
    ),
}


def test_an_event_is_synced_exactly_when_something_has_changed(event: EventBox) -> None:
    photo = read_sample("astronaut.png")
    target = ResyncTarget(event.id, event.prefix, event.name)
    assert not has_changed(target)  # an empty folder
    event.put("a.jpg", vary(photo, 1))
    event.put("broken.jpg", vary(photo, 4)[:5000])
    for what, change in {"all is new": lambda *_: None, **CHANGES}.items():
        change(event, photo)
        assert has_changed(target), what
        event.sync()
        assert not has_changed(target), what
    for name in ("a.jpg", "b.jpg", "broken.jpg"):
        event.remove(name)
    assert not has_changed(target)  # a listing without keys changes nothing
    assert set(event.face_counts().values()) == {0, 1}


def test_an_event_whose_look_fails_is_synced_and_an_outage_ends_the_resync(
    event: EventBox, s3_proxy: FaultProxy
) -> None:
    target = ResyncTarget(event.id, event.prefix, event.name)
    event.query("UPDATE event SET model_pack = 'no_such_pack' WHERE id = :event RETURNING 1")
    with disable_run_logger():
        assert find_changed.fn([target]) == [target]  # its sync tells what is wrong
    event.query("UPDATE event SET model_pack = NULL WHERE id = :event RETURNING 1")
    s3_proxy.cut.set()
    with disable_run_logger(), pytest.raises(S3DownloadError):
        find_changed.fn([target])


def test_prefect_hands_out_what_somebody_asked_for_before_waiting_resyncs(
    prefect: httpx.Client,
) -> None:
    """What the queue of the resyncs rests on, in a pool that no worker serves."""
    prefect.post("/work_pools/", json={"name": "two queues", "type": "process"}).raise_for_status()
    flow = prefect.post("/flows/", json={"name": "waits"}).json()["id"]
    body = {"name": "default", "flow_id": flow, "work_pool_name": "two queues"}
    deployment = prefect.post("/deployments/", json=body).json()["id"]
    try:
        resyncs = [create_run(prefect, deployment, work_queue_name=RESYNC_QUEUE) for _ in range(3)]
        asked = create_run(prefect, deployment)
        path = "/work_pools/two queues/get_scheduled_flow_runs"
        handed_out = prefect.post(path, json={}).raise_for_status().json()
        assert [run["flow_run"]["id"] for run in handed_out] == [asked, *resyncs]
    finally:
        prefect.delete(f"/flows/{flow}")
        prefect.delete("/work_pools/two queues")


def create_run(prefect: httpx.Client, deployment: str, **more: str) -> str:
    body = {"state": {"type": "SCHEDULED"}, **more}
    answer = prefect.post(f"/deployments/{deployment}/create_flow_run", json=body)
    return str(answer.raise_for_status().json()["id"])
