"""Two databases on one real Prefect server, each with events of the same numbers."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import anyio
import anyio.to_thread
import httpx
import pytest
from sqlalchemy import func, text
from sqlmodel import col, select

from api import reconcile
from deployments import names
from deployments.orchestrator import Orchestrator, open_orchestrator
from deployments.registration import retire_former
from models.keys import tag_owner
from models.queries.runs import find_installation
from models.session import open_session
from models.tables import Event, Photo, SyncRun
from tests.support.administrator import make_database, render
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_sample
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
NAME = "studio-b"
FORMER = "default"  # what a former release called each deployment
Completed: TypeAlias = "subprocess.CompletedProcess[str]"
ENDS = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def register(database_url: str, *options: str, **settings: str) -> Completed:
    """The command `facepass register` in the name of a database."""
    return subprocess.run(
        [sys.executable, "-m", "deployments.register", *options],
        cwd=ROOT,
        env={**os.environ, "FACEPASS_DATABASE_URL": database_url, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


def start_run(prefect: httpx.Client, deployment: str, **body: Any) -> str:
    """A run from Prefect's own form."""
    known = prefect.get(f"/deployments/name/{deployment}").raise_for_status().json()
    path = f"/deployments/{known['id']}/create_flow_run"
    run_id: str = prefect.post(path, json=body).raise_for_status().json()["id"]
    return run_id


def read_state(prefect: httpx.Client, run_id: str) -> dict[str, Any]:
    state: dict[str, Any] = prefect.get(f"/flow_runs/{run_id}").json()["state"]
    return state


def wait_for_end(prefect: httpx.Client, run_id: str) -> dict[str, Any]:
    wait_until(lambda: read_state(prefect, run_id)["type"] in ENDS, 240)
    return read_state(prefect, run_id)


def read_event(event_id: int) -> tuple[bool, int, int, int]:
    """An event of the database that is configured: erased, its epoch, photos and runs."""
    with open_session() as session:
        event = session.get_one(Event, event_id)
        counts = [
            session.scalar(
                select(func.count()).select_from(table).where(col(table.event_id) == event_id)
            )
            for table in (Photo, SyncRun)
        ]
        photos, runs = (int(count or 0) for count in counts)
        return event.erased_at is not None, event.sync_epoch, photos, runs


def ask(do: Callable[[Orchestrator], Any]) -> Any:
    """What the orchestrator of the configured installation says."""

    async def connect() -> Any:
        async with open_orchestrator() as orchestrator:
            return await do(orchestrator)

    return anyio.run(connect)


@contextmanager
def run_worker(folder: Path) -> Iterator[None]:
    """A worker of the second installation's pool, in the environment that is configured."""
    own = {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_LOCAL_STORAGE_PATH": str(folder / "results"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "TMPDIR": str(folder),
        # A worker starts `python` by its name: this one, also where no environment is activated.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    worker = ("worker", "start", "--pool", names.name_pool(NAME), "--type", "process")
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", *worker],
            cwd=ROOT,
            env={**os.environ, **own},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def drop_installation(prefect: httpx.Client) -> None:
    """Leave nothing of the second installation on the session's server."""
    for deployment in names.DEPLOYMENTS:
        found = prefect.get(f"/deployments/name/{names.name_deployment(deployment, NAME)}")
        if found.is_success:
            prefect.delete(f"/deployments/{found.json()['id']}")
    prefect.delete(f"/work_pools/{names.name_pool(NAME)}")


def test_each_works_on_its_own_events_only(
    make_event: Callable[..., EventBox],
    prefect: httpx.Client,
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    ours = make_event("Первая")
    ours.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))
    first_url, first = os.environ["FACEPASS_DATABASE_URL"], find_installation()
    before = read_event(ours.id)
    with make_database() as address:
        second_url = render(address)
        refused = register(second_url)
        assert refused.returncode == 1, refused.stderr
        assert str(first) in refused.stderr
        assert "FACEPASS_INSTALLATION" in refused.stderr
        known = prefect.get(f"/deployments/name/{names.SYNC_DEPLOYMENT}").json()
        assert tag_owner(first) in known["tags"]

        settled = register(second_url, FACEPASS_INSTALLATION=NAME)
        assert settled.returncode == 0, settled.stdout + settled.stderr
        try:
            configure(database_url=second_url, installation=NAME)
            with open_session() as session:  # the same number as the first one's
                session.execute(text(f"ALTER SEQUENCE event_id_seq RESTART WITH {ours.id}"))
            theirs = EventBox("Вторая")
            assert theirs.id == ours.id
            with run_worker(tmp_path):
                follow_second(prefect, theirs)
            # What the first one has running is nothing to the second one's watch.
            configure(database_url=first_url, installation="default")
            monkeypatch.setattr(reconcile, "LONGEST_RUN", timedelta())
            watch_the_others_runs(prefect, first_url, second_url, configure)
        finally:
            configure(database_url=first_url, installation="default")
            drop_installation(prefect)
    assert read_event(ours.id) == before
    # Its own goes on as ever; the folder of that number is shared, the photos of both are in it.
    assert ours.sync().result["new_photos"] == 2


def follow_second(prefect: httpx.Client, event: EventBox) -> None:
    """Sync, resync, erasure, retention and pruning of the second installation."""
    run = ask(
        lambda orchestrator: orchestrator.start_sync(
            event_id=event.id, s3_prefix=event.prefix, run_name="Вторая"
        )
    )
    assert wait_for_end(prefect, str(run))["type"] == "COMPLETED"
    assert read_event(event.id)[2] == 1
    known = prefect.get(f"/flow_runs/{run}").json()
    assert tag_owner(find_installation()) in known["tags"]
    assert known["work_pool_name"] == names.name_pool(NAME)

    event.put("b.jpg", encode_jpeg(read_sample("astronaut.png")))
    resync = start_run(prefect, names.name_deployment(names.RESYNC_DEPLOYMENT, NAME))
    assert "1 started" in wait_for_end(prefect, resync)["name"]
    wait_until(lambda: read_event(event.id)[2] == 2, 120)

    deployment = names.name_deployment(names.ERASE_DEPLOYMENT, NAME)
    erase = start_run(prefect, deployment, parameters={"event_id": event.id})
    assert wait_for_end(prefect, erase)["type"] == "COMPLETED"
    assert read_event(event.id)[0]


def watch_the_others_runs(
    prefect: httpx.Client,
    first_url: str,
    second_url: str,
    configure: Callable[..., None],
) -> None:
    """Runs that say they run, without a record, for too long: each ends its own alone."""
    runs = {}
    for url, installation in ((first_url, "default"), (second_url, NAME)):
        configure(database_url=url, installation=installation)
        deployment = names.name_deployment(names.PRUNE_DEPLOYMENT, installation)
        far = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}
        runs[installation] = start_run(prefect, deployment, state=far)
        body = {"state": {"type": "RUNNING"}, "force": True}
        prefect.post(f"/flow_runs/{runs[installation]}/set_state", json=body).raise_for_status()

    seen = ask(lambda orchestrator: orchestrator.list_running(timedelta()))
    assert UUID(runs[NAME]) in {run.flow_run_id for run in seen}
    assert UUID(runs["default"]) not in {run.flow_run_id for run in seen}

    async def sweep(orchestrator: Orchestrator) -> None:
        await anyio.to_thread.run_sync(reconcile.free_pool_slots, orchestrator, timedelta())

    ask(sweep)
    assert read_state(prefect, runs["default"])["type"] == "RUNNING"
    assert read_state(prefect, runs[NAME])["type"] == "CRASHED"
    for run in runs.values():
        prefect.delete(f"/flow_runs/{run}").raise_for_status()


@pytest.fixture
def other_owner() -> str:
    return tag_owner(uuid4())


def test_a_run_of_another_installation_ends_before_it_touches_anything(
    event: EventBox, prefect: httpx.Client, other_owner: str
) -> None:
    event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))
    before = read_event(event.id)
    runs = {}
    for deployment in names.DEPLOYMENTS:
        flow = deployment.partition("/")[0]
        parameters: dict[str, Any] = {}
        if flow not in {names.RESYNC_FLOW, names.PRUNE_FLOW, names.RETENTION_FLOW}:
            parameters = {"event_id": event.id}
        if flow == names.SYNC_FLOW:
            parameters["s3_prefix"] = event.prefix
        body = {"parameters": parameters, "tags": [other_owner]}
        runs[flow] = start_run(prefect, deployment, **body)
    ends = {flow: wait_for_end(prefect, run) for flow, run in runs.items()}
    assert {flow: state["name"] for flow, state in ends.items()} == dict.fromkeys(runs, "Failed")
    for state in ends.values():
        assert "belongs to another installation" in state["message"]
    assert read_event(event.id) == before
    assert event.sync().result["new_photos"] == 1


def deploy_formerly(prefect: httpx.Client, deployment: str, **body: Any) -> str:
    """A deployment as a former release made it, by the name of its installation."""
    known = prefect.get(f"/deployments/name/{deployment}").raise_for_status().json()
    copied = ("flow_id", "entrypoint", "work_pool_name", "tags", "concurrency_options")
    body = {"name": FORMER, **{name: known[name] for name in copied}, **body}
    deployment_id: str = prefect.post("/deployments/", json=body).raise_for_status().json()["id"]
    return deployment_id


def test_a_former_releases_deployments_schedule_nothing_and_go_when_their_runs_are_done(
    event: EventBox, prefect: httpx.Client
) -> None:
    schedule = {"schedule": {"cron": "0 * * * *"}, "slug": "hourly", "active": False}
    resync = deploy_formerly(prefect, names.RESYNC_DEPLOYMENT, schedules=[schedule])
    nightly = {**schedule, "slug": "nightly", "active": True}
    retention = deploy_formerly(prefect, names.RETENTION_DEPLOYMENT, schedules=[nightly])
    prefect.post(f"/deployments/{retention}/schedule", json={"min_runs": 2}).raise_for_status()
    sync = deploy_formerly(prefect, names.SYNC_DEPLOYMENT)
    event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))
    far = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2100-01-01T00:00:00Z"}}
    parameters = {"event_id": event.id, "s3_prefix": event.prefix}
    path = f"/deployments/{sync}/create_flow_run"
    waiting = prefect.post(path, json={"parameters": parameters, "state": far}).json()["id"]
    mine = deploy_formerly(prefect, names.ERASE_DEPLOYMENT, entrypoint="own.flows:erase")
    theirs = deploy_formerly(prefect, names.PRUNE_DEPLOYMENT, tags=["facepass", tag_owner(uuid4())])
    new = prefect.get(f"/deployments/name/{names.RESYNC_DEPLOYMENT}").json()
    [own] = new["schedules"]
    switch = f"/deployments/{new['id']}/schedules/{own['id']}"
    prefect.patch(switch, json={"active": True}).raise_for_status()

    def is_there(deployment_id: str) -> bool:
        return prefect.get(f"/deployments/{deployment_id}").is_success

    before = prefect.get(f"/deployments/name/{names.RETENTION_DEPLOYMENT}").json()["schedules"]
    try:
        owner = find_installation()
        retire_former(prefect, "default", owner, adopts=False)
        kept = {one: is_there(one) for one in (resync, retention, sync, mine, theirs)}
        assert kept == {resync: False, retention: False, sync: True, mine: True, theirs: True}
        # What a person had paused stays paused; the rest of the schedules is as deployed.
        paused = prefect.get(f"/deployments/name/{names.RESYNC_DEPLOYMENT}").json()["schedules"]
        assert [one["active"] for one in paused] == [False]
        erasure = prefect.get(f"/deployments/name/{names.RETENTION_DEPLOYMENT}").json()
        assert erasure["schedules"] == before

        # The run that waited is done by the new release's worker, by the old parameters.
        now = {"type": "SCHEDULED", "name": "Scheduled"}
        prefect.post(f"/flow_runs/{waiting}/set_state", json={"state": now, "force": True})
        assert wait_for_end(prefect, waiting)["type"] == "COMPLETED"
        retire_former(prefect, "default", owner, adopts=False)
        assert not is_there(sync)
        assert prefect.get(f"/flow_runs/{waiting}").is_success
    finally:
        for left in (resync, retention, sync, mine, theirs):
            prefect.delete(f"/deployments/{left}")
        prefect.patch(switch, json={"active": own["active"]}).raise_for_status()
