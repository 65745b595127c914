"""FacePass's API as far as a push needs it, answered in this process."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from deployments.push.client import RestApi

URL = "http://faces.example.org"
OTHER_UUID = "550e8400-e29b-41d4-a716-446655440000"


def describe_event(name: str, event_uuid: str, event_id: int = 1, **more: Any) -> dict[str, Any]:
    """An event as the API answers it."""
    return {
        "event_id": event_id,
        "event_uuid": event_uuid,
        "name": name,
        "s3_prefix": f"events/{event_id}/previews/",
        "gallery_url": f"{URL}/gallery/token",
        "profile": "standard",
        "faces": 0,
        "erased_at": None,
        **more,
    }


@dataclass
class FakeApi:
    """`answers` are given before anything else, in order; `calls` is what was asked."""

    events: list[dict[str, Any]] = field(default_factory=list)
    answers: list[httpx.Response | Exception] = field(default_factory=list)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    before_adding: Callable[[], None] = lambda: None

    def open(self, key: str | None = None, url: str = URL) -> RestApi:
        """The push tool's client of it."""
        return RestApi(url, key, httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What it answers a request."""
        path = request.url.path.removeprefix("/api/v1/")
        self.calls.append((request.method, path))
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        if path.startswith("faces/sync-s3"):
            started = {"task_id": f"task-{len(self.calls)}"}
            return httpx.Response(200, json=self.statuses.pop(0) if "/task" in path else started)
        if request.method == "POST":
            return self._add(json.loads(request.content))
        if path == "events":
            return httpx.Response(200, json=self.events)
        found = [event for event in self.events if path.endswith(event["event_uuid"])]
        if not found:
            return httpx.Response(404, json={"detail": "Event not found"})
        return httpx.Response(200, json=found[0])

    def _add(self, body: dict[str, Any]) -> httpx.Response:
        self.before_adding()
        if any(event["event_uuid"] == body["event_uuid"] for event in self.events):
            return httpx.Response(409, json={"detail": "taken"})
        event = describe_event(body["name"], body["event_uuid"], profile=body["profile"])
        self.events.append(event)
        return httpx.Response(201, json=event)
