"""What is seen of each request: one line of log and two metrics, by route and never by path.

A path may hold a gallery's token or a signed link; the route's template does not.
"""

import logging
import time

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("facepass.requests")

UNKNOWN_ROUTE = "unknown"
# Ids that may stand in a log: they open nothing. A gallery's token is none of them.
LOGGED_PARAMETERS = ("event_uuid", "task_id", "photo_id")
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class RequestMetrics:
    """Requests of one application, counted in its registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "facepass_requests",
            "Requests by route and status.",
            ("method", "route", "status"),
            registry=registry,
        )
        self.seconds = Histogram(
            "facepass_request_seconds",
            "Seconds until a request's answer was sent.",
            ("method", "route"),
            buckets=SECONDS,
            registry=registry,
        )


class RequestObserver:
    """ASGI middleware, the outermost: sees the status that was really sent."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Time the request; an answer that never began counts as 500."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note)
        finally:
            self._observe(scope, status, time.perf_counter() - began)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        # The router leaves what it matched in the scope.
        route = getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
        method = scope["method"] if route != UNKNOWN_ROUTE else "any"
        self.metrics.requests.labels(method, route, str(status)).inc()
        self.metrics.seconds.labels(method, route).observe(seconds)
        parameters = scope.get("path_params", {})
        ids = "".join(
            f" {name}={_shorten(parameters[name])}"
            for name in LOGGED_PARAMETERS
            if name in parameters
        )
        key_name = scope.get("state", {}).get("key_name", "-")
        logger.info(
            "%s %s %d %.0f ms key=%s%s", method, route, status, 1000 * seconds, key_name, ids
        )


def _shorten(value: object) -> str:
    """A value from a path, fit for a line of log: it may be anything that somebody typed."""
    return ascii(str(value)[:40])[1:-1]
