"""A real stack that is stopped with runs under way: they are told as stopped, and taken up once."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.stack.prefect import open_prefect_client
from tests.integration.stack.test_stack import connect_s3, start, wait_for
from tests.support.faults import FaultProxy
from tests.support.photos import encode_jpeg, read_sample
from tests.support.waiting import wait_until

AGAIN_S = "600"  # longer than the test: only another start takes a waiting run up


def read_run(environment: dict[str, str], flow_run_id: str) -> dict[str, Any]:
    """A flow run, with its states in their order."""
    with open_prefect_client(environment, timeout_s=30) as prefect:
        run: dict[str, Any] = prefect.get(f"flow_runs/{flow_run_id}").raise_for_status().json()
        states = prefect.get("flow_run_states/", params={"flow_run_id": flow_run_id}).json()
    return run | {"states": [state["name"] for state in states]}


@pytest.fixture
def home() -> Iterator[Path]:
    """A home whose path PostgreSQL's own user may pass, and whose sockets stay short."""
    with tempfile.TemporaryDirectory(prefix="fp-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "home"


def test_a_run_that_waited_for_its_retry_is_stopped_and_taken_up_once(
    joined_stack: dict[str, str], s3_proxy: FaultProxy, home: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    lines = [f"{name.lower()} = {joined_stack[name]}" for name in names]
    keys.write_text("\n".join(["[stopped]", *lines]))
    settings = {
        "AWS_PROFILE": "stopped",
        "AWS_SHARED_CREDENTIALS_FILE": str(keys),
        "AWS_DEFAULT_REGION": joined_stack["AWS_DEFAULT_REGION"],
        "FACEPASS_S3_BUCKET": joined_stack["FACEPASS_S3_BUCKET"],
        "FACEPASS_S3_ENDPOINT_URL": s3_proxy.url,
        "FACEPASS_S3_TIMEOUT_S": "1",
        "FACEPASS_RETRY_DELAY_S": AGAIN_S,
        "FACEPASS_MODEL_ROOT": joined_stack["FACEPASS_MODEL_ROOT"],
    }
    stack = start(home, **settings)
    try:
        with httpx.Client(base_url=stack.environment["FACEPASS_API_URL"], timeout=60) as api:
            event = api.post("/api/v1/events", json={"name": "Остановка"}).raise_for_status().json()
            connect_s3(joined_stack).put_object(
                Bucket=joined_stack["FACEPASS_S3_BUCKET"],
                Key=f"{event['s3_prefix']}a.jpg",
                Body=encode_jpeg(read_sample("astronaut.png")),
            )
            s3_proxy.cut.set()
            body = {"event_uuid": event["event_uuid"], "s3_prefix": event["s3_prefix"]}
            asked = api.post("/api/v1/faces/sync-s3", json=body).raise_for_status().json()
            path = f"/api/v1/faces/sync-s3/{asked['task_id']}"
            wait_for(is_state(api, path, "retrying"), stack, 180)
    finally:
        assert stack.end() == 0
    assert "Flow runs that the next start takes up: 1." in stack.output.read_text()

    s3_proxy.cut.clear()
    stack = start(home, **settings)
    try:
        with httpx.Client(base_url=stack.environment["FACEPASS_API_URL"], timeout=60) as api:
            wait_until(is_state(api, path, "completed"), 180)
            assert api.get(path).json()["result"]["new_photos"] >= 1
        run = read_run(stack.environment, asked["task_id"])
        assert "Stopped" in run["states"]
        assert run["states"].count("Stopped") == 1
        with open_prefect_client(stack.environment, timeout_s=30) as prefect:
            tagged = {"flow_runs": {"tags": {"all_": [f"event:{event['event_id']}"]}}}
            runs = prefect.post("flow_runs/filter", json=tagged).json()
        syncs = [one for one in runs if one["parameters"].get("s3_prefix")]
        assert [one["id"] for one in syncs] == [asked["task_id"]]
    finally:
        stack.end()


def is_state(api: httpx.Client, path: str, state: str) -> Callable[[], bool]:
    """Whether a sync is in this state."""

    def look() -> bool:
        found: dict[str, Any] = api.get(path).json()
        return bool(found["state"] == state)

    return look
