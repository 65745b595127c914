"""The steps from `POST sync-s3` to the first face in PostgreSQL, each with its moment."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from benchmarks.latency.stack import Doors, start_sync, upload_photos
from deployments.sample_photos import SamplePhoto

POLL_S = 0.02
LIMIT_S = 120.0
IDLE_S = 3.0  # more than the worker's pause between two looks at its pool

# A process of its own, as a run has: what the pack costs before it reads the first photo.
ENGINE_LOAD = """
import time
from models.settings import get_settings
from tasks.packs.registry import resolve_pack
import tasks.faces.cache
pack = resolve_pack(get_settings()).identity
began = time.monotonic()
tasks.faces.cache.require_face_engine(pack)
print(time.monotonic() - began)
"""


@dataclass(frozen=True)
class FirstFace:
    """One run: seconds after the POST was sent at which each step was reached."""

    answered: float
    submitted: float  # the worker took the run
    running: float  # its process is there, imports are over, Prefect calls the flow
    held: float  # the flow has the event
    planned: float  # S3 is listed, the plan is written
    embedding: float  # the first batch asks for its faces: the engine loads
    embedded: float  # the first batch's faces are known
    first_face: float  # a reader of the database sees the first one


def measure_first_face(doors: Doors, photos: list[SamplePhoto]) -> FirstFace:
    """Sync a new event with an idle worker; watched until its first face, then until its end."""
    event = doors.create_events(1)[0]
    upload_photos(doors, event["s3_prefix"], photos)
    time.sleep(IDLE_S)
    with doors.open_api() as api:
        began, began_s = time.time(), time.monotonic()
        flow_run_id, took_ms = start_sync(api, event)
        first_face = _wait_for_face(doors, event["event_id"], began_s)
        while (status := api.get(f"/api/v1/faces/sync-s3/{flow_run_id}").json())["result"] is None:
            if time.monotonic() - began_s > LIMIT_S:
                raise TimeoutError(f"The sync did not end: {status}")
            time.sleep(0.2)
    moments = {name: when - began for name, when in _read_moments(doors, flow_run_id).items()}
    return FirstFace(answered=took_ms / 1000, first_face=first_face, **moments)


def measure_engine_load(doors: Doors) -> float:
    """Seconds for InsightFace's import and the models, in a process that has nothing else to do."""
    done = subprocess.run(
        [sys.executable, "-c", ENGINE_LOAD],
        env={**os.environ, **doors.environment},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout.splitlines()[-1])


def _wait_for_face(doors: Doors, event_id: int, began_s: float) -> float:
    query = text("SELECT EXISTS (SELECT FROM face WHERE event_id = :event)")
    with doors.database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.execute(query, {"event": event_id}).scalar_one():
            if time.monotonic() - began_s > LIMIT_S:
                raise TimeoutError(f"No face of event {event_id} within {LIMIT_S:.0f} s.")
            time.sleep(POLL_S)
    return time.monotonic() - began_s


def _read_moments(doors: Doors, flow_run_id: str) -> dict[str, float]:
    """What the run's states, its tasks and its record say of when things happened."""
    states = doors.prefect.get("flow_run_states/", params={"flow_run_id": flow_run_id}).json()
    reached = {state["name"]: _read_time(state["timestamp"]) for state in reversed(states)}
    body = {"flow_runs": {"id": {"any_": [flow_run_id]}}, "sort": "EXPECTED_START_TIME_ASC"}
    tasks = _wait_for_tasks(doors, body)
    with doors.database.connect() as connection:
        held: datetime = connection.execute(
            text("SELECT started_at FROM sync_run WHERE flow_run_id = :run"),
            {"run": UUID(flow_run_id)},
        ).scalar_one()
    embed = [task for task in tasks if task["name"].startswith("embed")]
    first = min(embed, key=lambda task: str(task["end_time"]))
    (plan, *_) = (task for task in tasks if task["name"].startswith("plan"))
    return {
        "submitted": reached["Pending"],
        "running": reached["Running"],
        "held": held.timestamp(),
        "planned": _read_time(plan["end_time"]),
        "embedding": _read_time(first["start_time"]),
        "embedded": _read_time(first["end_time"]),
    }


def _wait_for_tasks(doors: Doors, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The run's tasks; Prefect's server writes them down a moment after they have ended."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        tasks: list[dict[str, Any]] = doors.prefect.post("task_runs/filter", json=body).json()
        names = " ".join(task["name"] for task in tasks if task["end_time"])
        if "embed" in names and "plan" in names and all(task["end_time"] for task in tasks):
            return tasks
        time.sleep(0.2)
    raise TimeoutError("Prefect's server does not know the run's tasks.")


def _read_time(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
