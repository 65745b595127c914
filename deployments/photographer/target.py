"""Functions that reach the REST API and find the event that a command is about."""

import os
from typing import Any
from uuid import UUID

from deployments.push.client import RestApi
from deployments.push.event import tell_apart
from deployments.push.folder import compose
from deployments.push.push import join_environment
from models.errors import PushRefusedError
from models.settings import get_settings


def open_api() -> RestApi:
    """The API of the running stack, or the one that the environment names.

    Raises ConfigurationError.
    """
    joined = join_environment(os.environ, get_settings().home)
    # The client reads the proxy's exceptions there: the stack is not reached through a proxy.
    os.environ.update({name: joined[name] for name in ("NO_PROXY", "no_proxy") if name in joined})
    key = joined.get("FACEPASS_API_KEY", "").strip()
    return RestApi(joined["FACEPASS_API_URL"].rstrip("/"), key or None)


def find_event(api: RestApi, wanted: str) -> dict[str, Any]:
    """What the API tells of the event with this UUID or name.

    A part of a name does where one event alone has it. Raises PushRefusedError for none and for
    several, and what the API's calls raise.
    """
    try:
        event_uuid = str(UUID(wanted.strip()))
    except ValueError:
        event_uuid = _find_by_name(api, compose(wanted.strip()))
    details: dict[str, Any] = api.get(f"events/{event_uuid}")
    return details


def _find_by_name(api: RestApi, wanted: str) -> str:
    found: list[dict[str, Any]] = api.get("events", name=wanted)
    called = [event for event in found if compose(event["name"]) == wanted] or found
    if not called:
        raise PushRefusedError(f"No event is called {wanted}: `facepass events` lists them.")
    if len(called) > 1:
        raise PushRefusedError(
            f"There are {len(called)} events called {wanted}: give one's UUID: "
            f"{tell_apart(called)}."
        )
    return str(called[0]["event_uuid"])
