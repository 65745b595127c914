"""The closed door: while no keys are set, this machine alone may call, whatever the server.

`python -m api` refuses to listen elsewhere without keys; another server would not ask. A page in
a browser of this machine must not call either: its Host names the page's site (DNS rebinding), or
its Origin does.
"""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from api.deps import read_api_keys
from models.settings import Settings, get_settings

_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
CLOSED = "Without FACEPASS_API_KEYS the API answers this machine only: set keys to open it."


class LocalOnly:
    """Middleware: 403 for everybody else while no keys are set; 400 for a Host that is none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or answer it here."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if _HOST.fullmatch(headers.get("host") or "localhost") is None:
            await JSONResponse({"detail": "Invalid Host header"}, 400)(scope, receive, send)
        elif read_api_keys(get_settings()) or is_local_call(scope, headers, get_settings()):
            await self._app(scope, receive, send)
        else:
            await JSONResponse({"detail": CLOSED}, 403)(scope, receive, send)


def is_local_call(scope: Scope, headers: Headers, settings: Settings) -> bool:
    """Whether a call comes from this machine, and not through a proxy or a foreign page."""
    client = scope.get("client")
    if client is not None and not is_loopback(client[0]):
        return False
    if any(name in headers for name in _PROXY_HEADERS):
        return False
    host, origin = headers.get("host"), headers.get("origin")
    if host is not None and not is_loopback(_read_host_name(f"//{host}")):
        return False
    if origin == "null":
        # What a browser says of a form on a page that is sent without a referrer, as the
        # gallery's is, and of any page that hides where it comes from: this tells them apart.
        return headers.get("sec-fetch-site") == "same-origin"
    allowed = settings.list_cors_origins()
    return origin is None or origin in allowed or is_loopback(_read_host_name(origin))


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _read_host_name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
