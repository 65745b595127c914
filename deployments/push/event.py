"""Functions that find or add the event for a push, and functions that sync it.

An event is found by its name or UUID. The sync is started through the REST API and followed to its
end.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid5

from pydantic import BaseModel

from deployments.push.client import RestApi
from deployments.push.folder import compose
from models.errors import ApiUnavailableError, PushRefusedError, StackError
from models.packs import PROFILES
from models.vocabulary import ProfileName
from tasks.images.preview import PreviewRecipe

# An event that is added under a UUID made of its name is one event, also when two pushes add it at
# the same time or the answer to the first call is lost.
NAMES = UUID("6f1d3a52-3f0c-4f5e-9d55-0b1d7f6c2a41")

POLL_S = 0.5
FACES_EVERY_S = 3.0  # counting an event's faces costs more than asking for progress
PATIENCE_S = 60.0  # with an API that is being restarted
STARTS = 5  # where a resync holds the event at that moment
# The states after which a sync's status changes no more.
SYNC_ENDS = frozenset({"completed", "failed", "crashed", "cancelled", "skipped"})


class PushedEvent(BaseModel):
    """What the push needs to know of an event."""

    event_id: int
    event_uuid: str
    name: str
    s3_prefix: str
    gallery_url: str
    profile: ProfileName
    is_new: bool

    @property
    def recipe(self) -> PreviewRecipe:
        """How its previews are made."""
        return PreviewRecipe(PROFILES[self.profile].preview_side)


def resolve_event(api: RestApi, wanted: str, profile: ProfileName | None) -> PushedEvent:
    """The event called so, or a new one; by its UUID only one that is there.

    Raises PushRefusedError, and what the API's calls raise.
    """
    try:
        event_uuid, is_new = UUID(wanted.strip()), False
    except ValueError:
        event_uuid, is_new = _find_or_add(api, wanted, profile or ProfileName.STANDARD)
    details: dict[str, Any] = api.get(f"events/{event_uuid}")
    if details.get("erased_at"):
        raise PushRefusedError(
            f"The faces of event {details['name']} were erased, so it takes no photos until "
            f"somebody resumes it: POST /api/v1/events/{event_uuid}/resume."
        )
    if profile is not None and details["profile"] != profile:
        raise PushRefusedError(
            f"Event {details['name']} has the profile {details['profile']}, chosen when it was "
            "added: leave --profile out."
        )
    return PushedEvent(**details, is_new=is_new)


def _find_or_add(api: RestApi, name: str, profile: ProfileName) -> tuple[UUID, bool]:
    spelled = compose(name.strip())
    known: list[dict[str, Any]] = api.get("events", name=spelled)
    found = [event for event in known if compose(event["name"]) == spelled]
    if len(found) > 1:
        raise PushRefusedError(
            f"There are {len(found)} events called {spelled}: give one's UUID as --event: "
            f"{tell_apart(found)}."
        )
    if found:
        return UUID(found[0]["event_uuid"]), False
    event_uuid = uuid5(NAMES, spelled)
    body = {"name": spelled, "profile": profile, "event_uuid": str(event_uuid)}
    return event_uuid, api.post_new("events", body)


def tell_apart(events: Sequence[dict[str, Any]]) -> str:
    """Events of one name, each by its UUID, its day and its photos, in the order of the list."""
    return ", ".join(_tell_event(event) for event in events)


def _tell_event(event: dict[str, Any]) -> str:
    photos = count_photos(event)
    facts = [describe_day(event), f"{photos} photo{'' if photos == 1 else 's'}"]
    return f"{event['event_uuid']} ({', '.join(filter(None, facts))})"


def count_photos(event: dict[str, Any]) -> int:
    """An event's photos that are in S3, as far as they are listed."""
    photos: dict[str, int] = event.get("photos") or {}
    return sum(count for status, count in photos.items() if status != "gone")


def describe_day(event: dict[str, Any]) -> str:
    """The day of an event, or the day on which it was added; empty where an old API tells none."""
    if event.get("held_on"):
        return str(event["held_on"])
    return f"added {event['created_at'][:10]}" if event.get("created_at") else ""


def sync_event(
    api: RestApi, event: PushedEvent, show: Callable[[dict[str, Any], int], None]
) -> dict[str, Any]:
    """Sync the event's previews and wait: the last status, as the API gives it.

    `show` is told each status and how many faces the event has. Raises what the API's calls
    raise; ApiUnavailableError only after a minute without an answer.
    """
    task_id, faces, counted = "", 0, time.monotonic()

    def read_status() -> dict[str, Any]:
        nonlocal faces, counted
        status: dict[str, Any] = api.get(f"faces/sync-s3/{task_id}")
        now = time.monotonic()
        if status["state"] in SYNC_ENDS or now - counted > FACES_EVERY_S:
            faces, counted = api.get(f"events/{event.event_uuid}")["faces"], now
        return status

    body = {"event_uuid": event.event_uuid, "s3_prefix": event.s3_prefix}
    for _ in range(STARTS):
        task_id = api.post("faces/sync-s3", body)["task_id"]
        status = wait_for_sync(read_status, lambda status: show(status, faces), pause_s=POLL_S)
        if status["state"] != "skipped":
            break
        time.sleep(POLL_S)  # another sync held the event, and can be asked to wait
    return status


def wait_for_sync(
    read_status: Callable[[], dict[str, Any]],
    show: Callable[[dict[str, Any]], None],
    *,
    pause_s: float,
    limit_s: float = math.inf,
) -> dict[str, Any]:
    """Ask for a sync's status until it has ended, and show each one; the last.

    An API that is being restarted is waited for. Raises ApiUnavailableError after a minute
    without an answer, StackError after `limit_s`, and what else `read_status` raises.
    """
    began = answered = time.monotonic()
    while time.monotonic() - began < limit_s:
        try:
            status = read_status()
        except ApiUnavailableError:
            if time.monotonic() - answered > PATIENCE_S:
                raise
        else:
            answered = time.monotonic()
            show(status)
            if status["state"] in SYNC_ENDS:
                return status
        time.sleep(pause_s)
    raise StackError(f"The sync did not end within {limit_s} s.")
