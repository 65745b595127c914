"""ASGI middleware for every call: paths, HEAD, log, headers, compression, limits, last errors.

The access log never holds a path, a query or an API key, because a path can hold a gallery's token
and a query can hold a signed link. For the same reason the access logs of uvicorn and other servers
are switched off.
"""

import gzip
import logging
import re
import secrets
from functools import partial
from time import perf_counter
from uuid import UUID

import anyio.to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.bulkheads.downloads import HEAD_ONLY
from api.errors import ApiError, build_refusal
from api.metrics import HttpMetrics
from models.settings import get_settings
from models.vocabulary import ErrorCode

logger = logging.getLogger(__name__)

SERVERS_LOGS = ("uvicorn.access", "gunicorn.access", "hypercorn.access")
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# The parameters of a path that may be logged, by what they must look like.
_UUIDS = ("event_uuid", "task_id")
_NUMBERS = ("event_id", "photo_id", "request_id")
NO_ROUTE = "(no such route)"
CLOSED_BY_CALLER = 499  # as nginx calls it: no answer was sent
TEXT_TYPES = frozenset({"text/html", "text/css", "text/javascript", "application/json"})
LEAST_COMPRESSED = 600  # bytes: below that a packet is a packet
MOST_AT_ONCE = 100_000  # bytes: two milliseconds, in which no other call goes on
GZIP_LEVEL = 6
_GZIP = re.compile(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))")
_CLOSE = {"connection": "close"}
MAX_BODY_BYTES = 64 * 1024
UPLOAD_PATHS = frozenset({"/api/v1/faces/search"})  # may send FACEPASS_MAX_UPLOAD_BYTES
HOOK_PATH = "/api/v1/hooks/s3"
MAX_HOOK_BYTES = 1024 * 1024  # SNS sends a quarter of it at most, EventBridge Pipes batches
MAX_LOGO_BYTES = 1024 * 1024
LOGO_PATH = re.compile(r"/api/v1/events/[^/]+/logo")
# How the API's own paths begin; held by a test.
ROOTS = frozenset({"api", "docs", "gallery", "health", "metrics", "openapi.json", "ready"})
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=()",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}


class HttpMiddleware:
    """The base of the middleware below, which handles HTTP calls and lets all else pass."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a call over HTTP."""
        handle = self.handle if scope["type"] == "http" else self._app
        await handle(scope, receive, send)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or answer it here."""
        raise NotImplementedError


class BelowPath(HttpMiddleware):
    """Middleware, the outermost: the API below a path, whether or not a proxy cuts it off.

    Inside, the path always begins with `root_path`, as ASGI wants it: redirects and OpenAPI's
    addresses are right then.
    """

    def __init__(self, app: ASGIApp, base: str) -> None:
        super().__init__(app)
        self._base = base

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, with its whole path."""
        path, base = scope["path"], self._base
        rest = path.removeprefix(f"{base}/")
        # A base may be named as a path of the API is: /gallery/<token> below /gallery was cut.
        is_whole = rest != path and rest.partition("/")[0] in ROOTS
        whole = path if is_whole else base + path
        await self._app({**scope, "path": whole, "root_path": base}, receive, send)


class HeadRequests(HttpMiddleware):
    """Middleware: HEAD is answered as GET is, without the body; monitors and proxies ask so."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, a HEAD as GET; servers and logs see a HEAD again."""
        if scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            scope["method"] = "HEAD"
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        scope["method"] = "GET"
        scope[HEAD_ONLY] = True
        try:
            await self._app(scope, receive, send_head)
        finally:
            scope["method"] = "HEAD"


class WatchedSend:
    """The way of an answer to its caller, on which its status is noted."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = CLOSED_BY_CALLER

    async def __call__(self, message: Message) -> None:
        """Hand a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


class AccessLog(HttpMiddleware):
    """Middleware: logs each call by its route's template, and counts it."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        super().__init__(app)
        self._metrics = metrics

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, and record its status and its time."""
        watched = WatchedSend(send)
        begin = perf_counter()
        try:
            await self._app(scope, receive, watched)
        finally:
            self._record(scope, watched.status, perf_counter() - begin)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in KNOWN_METHODS else "OTHER"
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        self._metrics.observe(method, route, status, seconds)
        told, ms = read_call(scope), round(seconds * 1000)
        words = "".join(f" {name}={value}" for name, value in told.items())
        fields = {"method": method, "route": route, "status": status, "ms": ms, **told}
        logger.info("%s %s %d %d ms%s", method, route, status, ms, words, extra={"fields": fields})


class SecurityHeaders(HttpMiddleware):
    """Middleware: adds the headers that an answer has not set itself, as a page may."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on; its answer gets the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


class CompressText(HttpMiddleware):
    """Middleware: gzip for pages, scripts, stylesheets and JSON whose caller takes it.

    Not for what is compressed already, and not for what comes in pieces.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on; its answer waits for its body."""
        takes_gzip = _GZIP.search(Headers(scope=scope).get("accept-encoding", "").lower())
        start: Message | None = None

        async def send_small(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_text(Headers(scope=message)):
                MutableHeaders(scope=message).add_vary_header("Accept-Encoding")
                if takes_gzip:
                    start = message
                    return
            if start is not None:
                message = await _compress(start, message)
                await send(start)
                start = None
            await send(message)

        await self._app(scope, receive, send_small)


def _is_text(headers: Headers) -> bool:
    return headers.get("content-type", "").partition(";")[0] in TEXT_TYPES


async def _compress(start: Message, message: Message) -> Message:
    """The body of an answer, smaller, and its headers changed; one in pieces as it is."""
    body = message.get("body", b"")
    if message.get("more_body") or len(body) < LEAST_COMPRESSED:
        return message
    if len(body) < MOST_AT_ONCE:
        smaller = gzip.compress(body, GZIP_LEVEL, mtime=0)
    else:
        smaller = await anyio.to_thread.run_sync(partial(gzip.compress, body, GZIP_LEVEL, mtime=0))
    headers = MutableHeaders(scope=start)
    headers["Content-Encoding"] = "gzip"
    headers["Content-Length"] = str(len(smaller))
    if headers.get("etag", "W/").startswith('"'):
        headers["ETag"] = f"W/{headers['etag']}"  # a strong one is of the very bytes
    return {**message, "body": smaller}


class BodyLimits(HttpMiddleware):
    """Middleware: 413 for a body that is too large, before it is read into memory."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, its body counted while it arrives."""
        limit, path = MAX_BODY_BYTES, read_own_path(scope)
        if path in UPLOAD_PATHS:
            # A form is more than its file; one a little too large is told by the search itself.
            limit += get_settings().max_upload_bytes
        elif LOGO_PATH.fullmatch(path):
            limit = MAX_LOGO_BYTES
        elif path == HOOK_PATH:
            limit = MAX_HOOK_BYTES
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal():
            answer = build_refusal(400, "Invalid Content-Length header", ErrorCode.BAD_REQUEST)
            await answer(scope, receive, send)
        elif len(announced) > 18 or int(announced) > limit:
            answer = build_refusal(413, _explain_limit(limit), ErrorCode.BODY_TOO_LARGE, _CLOSE)
            await answer(scope, receive, send)
        else:
            await self._app(scope, _count_body(receive, limit), send)


class LastResort(HttpMiddleware):
    """Middleware: an unexpected exception becomes a 500 whose number stands in the log."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on; nothing of an exception reaches the caller."""
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except ClientDisconnect:  # nobody is there to be answered, or does not take the answer
            if started:
                raise
        except Exception:
            incident = secrets.token_hex(6)
            logger.exception("Incident %s", incident, extra={"fields": {"incident": incident}})
            if started:  # half an answer is out: the connection must break, or it looks whole
                raise
            detail = f"Something went wrong here; the log knows it as incident {incident}."
            await build_refusal(500, detail, ErrorCode.INTERNAL_ERROR)(scope, receive, send)


def read_own_path(scope: Scope) -> str:
    """The call's path as the API's routes have it."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def silence_servers() -> None:
    """Switch off the access logs that print whole paths."""
    for name in SERVERS_LOGS:
        logging.getLogger(name).disabled = True


def read_call(scope: Scope) -> dict[str, str]:
    """What an audit asks for: the ids in the path, the name of the key, the caller's address."""
    parameters = scope.get("path_params", {})
    told = {name: _clean_uuid(parameters[name]) for name in _UUIDS if name in parameters}
    told |= {name: _clean_number(parameters[name]) for name in _NUMBERS if name in parameters}
    if key := scope.get("state", {}).get("key_name"):
        told["key"] = key
    if scope.get("client"):
        told["from"] = scope["client"][0]
    return told


def _clean_uuid(value: object) -> str:
    try:
        return str(UUID(str(value)))
    except ValueError:
        return "-"


def _clean_number(value: object) -> str:
    text = str(value)
    return text if text.isascii() and text.isdecimal() and len(text) < 20 else "-"


def _count_body(receive: Receive, limit: int) -> Receive:
    received = 0

    async def count() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise ApiError(413, _explain_limit(limit), ErrorCode.BODY_TOO_LARGE, _CLOSE)
        return message

    return count


def _explain_limit(limit: int) -> str:
    return f"The request is too large: at most {limit} bytes."
