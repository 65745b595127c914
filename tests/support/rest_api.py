"""The product's REST API, as tests call it."""

from typing import Any

import httpx

from tests.support.event_box import EventBox


class RestApi:
    """The stack's REST API, as a photographer calls it."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def start_sync(self, event: EventBox) -> str:
        """Ask for a sync of the whole event; its task id."""
        body = {"event_uuid": str(event.uuid), "s3_prefix": event.prefix}
        answer = self._client.post("/api/v1/faces/sync-s3", json=body).raise_for_status()
        return str(answer.json()["task_id"])

    def read_sync(self, task_id: str) -> dict[str, Any]:
        """How a sync goes."""
        return dict(self._client.get(f"/api/v1/faces/sync-s3/{task_id}").raise_for_status().json())
