"""The event's sync: started by the REST call, and followed to its end."""

import time
from collections.abc import Callable
from typing import Any

from deployments.push.events import PushedEvent
from deployments.push.rest import RestApi
from models.errors import ApiUnavailableError

POLL_S = 0.5
FACES_EVERY_S = 3.0  # counting an event's faces costs more than asking for progress
PATIENCE_S = 60.0  # with an API that is being restarted
OVER = frozenset({"completed", "failed", "crashed", "cancelled"})
STARTS = 5  # where a resync holds the event at that moment

Show = Callable[[dict[str, Any], int], None]


def sync_event(api: RestApi, event: PushedEvent, show: Show) -> dict[str, Any]:
    """Sync the event's previews and wait: the last status, as the API gives it.

    Raises what the API's calls raise; ApiUnavailableError only after a minute without an answer.
    """
    body = {"event_uuid": event.event_uuid, "s3_prefix": event.s3_prefix}
    for _ in range(STARTS):
        started = api.post("faces/sync-s3", body)
        status = _follow(api, event, started["task_id"], show)
        if status["state"] in OVER:
            break
        time.sleep(POLL_S)  # it was skipped: another sync held the event, and can be asked to wait
    return status


def _follow(api: RestApi, event: PushedEvent, task_id: str, show: Show) -> dict[str, Any]:
    answered = counted = time.monotonic()
    faces = 0
    while True:
        try:
            status: dict[str, Any] = api.get(f"faces/sync-s3/{task_id}")
            answered = time.monotonic()
            is_over = status["state"] in OVER | {"skipped"}
            if is_over or answered - counted > FACES_EVERY_S:
                faces, counted = api.get(f"events/{event.event_uuid}")["faces"], answered
        except ApiUnavailableError:
            if time.monotonic() - answered > PATIENCE_S:
                raise
        else:
            show(status, faces)
            if is_over:
                return status
        time.sleep(POLL_S)
