"""A photographer who makes an event, uploads, asks for syncs and follows them, with retries."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from benchmarks.engine.job import OVER
from benchmarks.faults.scene import Scene
from benchmarks.s3_client import open_client
from deployments.sample_photos import SamplePhoto

POLL_S = 0.3
PATIENCE_S = 60  # of one call: a server that comes up again takes its time
USUAL_PROFILE = "standard"


@dataclass
class EventCase:
    """One event, and the sync that was last asked for."""

    event_id: int
    event_uuid: str
    s3_prefix: str
    gallery_token: str
    task_id: str = ""
    asked: int = 0  # how often a sync of it was asked for
    complaints: list[str] = field(default_factory=list)  # answers no person should get


class Photographer:
    """Talks to one API, as a person's own program would."""

    def __init__(self, scene: Scene, photos: Sequence[SamplePhoto]) -> None:
        self._scene = scene
        self._photos = photos
        url = scene.api_urls[0]
        self._api = httpx.Client(base_url=url, timeout=PATIENCE_S, trust_env=False)

    def add_event(self, name: str, profile: str = USUAL_PROFILE) -> EventCase:
        """A new event with all photos uploaded, past the sick line."""
        body = {"name": name, "profile": profile}
        answer = self._api.post("/api/v1/events", json=body).raise_for_status().json()
        environment = self._scene.stack.environment
        client, bucket = open_client(environment), environment["FACEPASS_S3_BUCKET"]
        prefix = str(answer["s3_prefix"])

        def put(photo: SamplePhoto) -> None:
            for kind in ("previews", "originals"):
                key = prefix.replace("/previews/", f"/{kind}/") + photo.name
                client.put_object(Bucket=bucket, Key=key, Body=photo.preview)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(put, self._photos))
        token = str(answer["gallery_url"]).rpartition("/")[2]
        return EventCase(int(answer["event_id"]), str(answer["event_uuid"]), prefix, token)

    def start(self, case: EventCase) -> None:
        """Ask for a sync until it is granted."""
        answer = self._ask(case, "POST", "/api/v1/faces/sync-s3", build_request(case))
        case.task_id = str(answer["task_id"])
        case.asked += 1

    def ask_again(self, case: EventCase) -> None:
        """Ask for a sync as somebody does who has uploaded more: the one that runs, mostly."""
        answer = self._ask(case, "POST", "/api/v1/faces/sync-s3", build_request(case))
        if answer["task_id"] != case.task_id:
            case.task_id = str(answer["task_id"])
            case.asked += 1

    def read_profile(self, case: EventCase) -> str:
        """What the event's photos are told to show."""
        return str(self._ask(case, "GET", f"/api/v1/events/{case.event_uuid}")["profile"])

    def change_profile(self, case: EventCase, profile: str) -> bool:
        """Tell another profile; whether that was taken."""
        path = f"/api/v1/events/{case.event_uuid}"
        answer = self._api.patch(path, json={"profile": profile})
        if not answer.is_success and answer.status_code != httpx.codes.CONFLICT:
            case.complaints.append(f"PATCH {path} answered {answer.status_code}")
        return answer.is_success

    def start_twice(self, case: EventCase) -> list[str]:
        """Ask both APIs for a sync of one event at the same instant; the two task ids."""

        def ask(url: str) -> str:
            path = f"{url}/api/v1/faces/sync-s3"
            body = build_request(case)
            answer = httpx.post(path, json=body, timeout=PATIENCE_S, trust_env=False)
            return str(answer.raise_for_status().json()["task_id"])

        with ThreadPoolExecutor(2) as threads:
            ids = list(threads.map(ask, self._scene.api_urls))
        case.task_id = ids[0]
        case.asked += 1
        return ids

    def look(self, case: EventCase) -> dict[str, Any]:
        """How the event's sync goes."""
        return self._ask(case, "GET", f"/api/v1/faces/sync-s3/{case.task_id}")

    def wait_until_over(self, case: EventCase, limit_s: float) -> dict[str, Any]:
        """The last look at a sync: over, or not after all this time."""
        deadline = time.monotonic() + limit_s
        while (status := self.look(case))["state"] not in OVER and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return status

    def close(self) -> None:
        """Hang up."""
        self._api.close()

    def _ask(
        self, case: EventCase, method: str, path: str, body: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Call until something else than 503 is answered; what is no answer is complained of."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = self._api.request(method, path, json=body)
            except httpx.TimeoutException:
                if time.monotonic() > deadline + PATIENCE_S:
                    raise
                case.complaints.append(f"{method} {path} was not answered within {PATIENCE_S} s")
                continue
            if answer.is_success:
                return dict(answer.json())
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                case.complaints.append(f"{method} {path} answered {answer.status_code}")
            if time.monotonic() > deadline:
                answer.raise_for_status()
            time.sleep(POLL_S)


def build_request(case: EventCase) -> dict[str, str]:
    """The body of a request for an event's sync."""
    return {"event_uuid": case.event_uuid, "s3_prefix": case.s3_prefix}
