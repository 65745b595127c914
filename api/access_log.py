"""One line a call: the route's template, ids and the key's name; never a path, a query or a key.

A path may hold a gallery's token, a query a signed link. So the servers' own access logs are
silenced, whichever server runs the app.
"""

import logging
from time import perf_counter
from uuid import UUID

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http_metrics import HttpMetrics

logger = logging.getLogger(__name__)

SERVERS_LOGS = ("uvicorn.access", "gunicorn.access", "hypercorn.access")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# What of a path may be written down, and what it must look like.
_UUIDS, _NUMBERS = ("event_uuid", "task_id"), ("event_id", "photo_id")
NO_ROUTE = "(no such route)"
CLOSED_BY_CALLER = 499  # as nginx calls it: no answer was sent


class AccessLog:
    """Middleware, the outermost: logs and counts each call."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, and write down what became of it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = CLOSED_BY_CALLER

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        begin = perf_counter()
        try:
            await self._app(scope, receive, watch)
        finally:
            self._record(scope, status, perf_counter() - begin)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        self._metrics.observe(method, route, status, seconds)
        logger.info(
            "%s %s %d %.0f ms%s", method, route, status, seconds * 1000, describe_call(scope)
        )


def describe_call(scope: Scope) -> str:
    """The ids in the path, the name of the key, the caller's address: what an audit asks for."""
    parameters = scope.get("path_params", {})
    parts = [f"{name}={_clean_uuid(parameters[name])}" for name in _UUIDS if name in parameters]
    parts += [
        f"{name}={_clean_number(parameters[name])}" for name in _NUMBERS if name in parameters
    ]
    if key := scope.get("state", {}).get("key_name"):
        parts.append(f"key={key}")
    if scope.get("client"):
        parts.append(f"from={scope['client'][0]}")
    return "".join(f" {part}" for part in parts)


def silence_servers() -> None:
    """Switch off the access logs that print whole paths."""
    for name in SERVERS_LOGS:
        logging.getLogger(name).disabled = True


def _clean_uuid(value: object) -> str:
    try:
        return str(UUID(str(value)))
    except ValueError:
        return "-"


def _clean_number(value: object) -> str:
    text = str(value)
    return text if text.isascii() and text.isdecimal() and len(text) < 20 else "-"
