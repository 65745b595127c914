"""Access to the API: photographers' API keys, the rule without keys, and rate limits.

Without API keys only this machine may call. Each process counts calls in its own memory, by key or
by address, so two processes allow twice as many.
"""

import hmac
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import Request, Security
from fastapi.security import APIKeyHeader
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import ApiError, build_refusal
from models.errors import ConfigurationError, EventNotFoundError, PhotoNotFoundError
from models.settings import Settings, get_settings
from models.vocabulary import ErrorCode

# Guests' searches by a face token have a count of their own: pages ask these by themselves, and a
# venue's guests share an address.
Caller = Literal["photographer", "guest", "again", "refused", "open"]
MAX_CALLERS = 20_000  # that are counted apart at a time; any more share one count
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
CLOSED = "Without FACEPASS_API_KEYS the API answers this machine only: set keys to open it."
NO_KEY = "Missing or unknown X-API-Key"
API_KEY_HEADER = APIKeyHeader(
    name="X-API-Key",
    auto_error=False,
    description="A photographer's key; needed where FACEPASS_API_KEYS is set.",
)


async def require_api_key(
    request: Request,
    x_api_key: Annotated[str | None, Security(API_KEY_HEADER)],
) -> None:
    """Let a photographer in, and note the name of the key for the log; never the key."""
    try:
        request.state.key_name = check_api_key(x_api_key)
    except ApiError:
        count_call("refused", request)  # guessing is slow
        raise


def check_api_key(x_api_key: str | None) -> str | None:
    """The name of the key a photographer came with; None where no keys are set.

    Raises ApiError 401 where keys are set and this is none of them.
    """
    keys = read_api_keys(get_settings())
    # As the bytes that were sent: HTTP hands them over as Latin-1.
    offered = sha256((x_api_key or "").encode("latin-1")).digest()
    # All are compared, each in constant time: the time taken tells nothing about them.
    fits = [name for name, digest in keys.items() if hmac.compare_digest(offered, digest)]
    if keys and not fits:
        raise ApiError(401, NO_KEY, ErrorCode.KEY_NEEDED, {"WWW-Authenticate": "X-API-Key"})
    return fits[0] if fits else None


def read_api_keys(settings: Settings) -> dict[str, bytes]:
    """Photographers' keys by name: SHA-256 digests, never the keys themselves."""
    keys: dict[str, bytes] = {}
    for pair in filter(None, (part.strip() for part in (settings.api_keys or "").split(","))):
        name, _, digest = pair.partition(":")
        if name in keys:
            raise ConfigurationError(f"FACEPASS_API_KEYS has two keys named {name}: rename one.")
        try:
            keys[name] = bytes.fromhex(digest)
        except ValueError:
            keys[name] = b""
        if not name or len(keys[name]) != sha256().digest_size:
            raise ConfigurationError(
                "FACEPASS_API_KEYS must be name:sha256 pairs, comma-separated; "
                "`printf %s THE_KEY | sha256sum` gives the second half."
            )
    return keys


class LocalOnly:
    """Middleware: while no keys are set, 403 for other machines; always 400 for an invalid Host.

    `python -m api` refuses to listen elsewhere without keys; another server would not ask. A page
    in a browser of this machine must not call either: its Host names the page's site (DNS
    rebinding), or its Origin does.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, or answer it here."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if _HOST.fullmatch(headers.get("host") or "localhost") is None:
            refusal = build_refusal(400, "Invalid Host header", ErrorCode.INVALID_HOST)
            await refusal(scope, receive, send)
        elif read_api_keys(get_settings()) or is_local_call(scope, headers, get_settings()):
            await self._app(scope, receive, send)
        else:
            refusal = build_refusal(403, CLOSED, ErrorCode.LOCAL_CALLS_ONLY)
            await refusal(scope, receive, send)


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


def limit_rate(caller: Caller) -> Callable[[Request], Awaitable[None]]:
    """A dependency: 429 for a caller of this kind who calls too often.

    Photographers are counted by their key, and not limited where no keys are set (only this
    machine may call then); all others are counted by their address.
    """

    async def check(request: Request) -> None:
        count_call(caller, request)

    return check


def count_call(caller: Caller, request: Request) -> None:
    """Count one call; ApiError 429 with Retry-After when it is one too many."""
    key_name: str | None = getattr(request.state, "key_name", None)
    settings = get_settings()
    if caller in {"photographer", "open"} and not settings.api_keys:
        return
    limit = settings.rate_limit if caller == "photographer" else settings.guest_rate_limit
    who = key_name or name_address(request)
    item = _parse_limit(limit)
    who = _name_counted(item, caller, who)
    if not _get_rate_limiter()[0].hit(item, caller, who):
        wait_s = _read_wait(item, caller, who)
        detail = f"Too many calls: try again in {wait_s} seconds."
        raise ApiError(429, detail, ErrorCode.TOO_MANY_CALLS, {"Retry-After": str(wait_s)})


@contextmanager
def count_misses(request: Request) -> Iterator[None]:
    """Count a guest's call only where it finds nothing: guessing is slow.

    For what open pages ask by themselves, and a venue's guests have one address.
    """
    try:
        yield
    except (EventNotFoundError, PhotoNotFoundError):
        count_call("guest", request)
        raise


def read_wait(what: str, limits: Sequence[str], request: Request) -> int | None:
    """Seconds until an address may try something again; None where it may now.

    what: the kind of try, and at which event; limits: as those of the settings.
    """
    who = f"{what} {name_address(request)}"
    waits = []
    for item in map(_parse_limit, limits):
        counted = _name_counted(item, "try", who)
        if not _get_rate_limiter()[0].test(item, "try", counted):
            waits.append(_read_wait(item, "try", counted))
    return max(waits, default=None)


def count_try(what: str, limits: Sequence[str], request: Request) -> None:
    """Count one try of an address, for `read_wait`."""
    who = f"{what} {name_address(request)}"
    for item in map(_parse_limit, limits):
        _get_rate_limiter()[0].hit(item, "try", _name_counted(item, "try", who))


def _name_counted(item: RateLimitItem, kind: str, who: str) -> str:
    """Whose count a call is put to: the caller's own, unless there are too many callers."""
    storage = _get_rate_limiter()[1]
    known = storage.get(item.key_for(kind, who)) > 0
    return who if known or len(storage.storage) < MAX_CALLERS else "crowd"


def _read_wait(item: RateLimitItem, kind: str, who: str) -> int:
    reset = _get_rate_limiter()[0].get_window_stats(item, kind, who).reset_time
    return max(1, ceil(reset - time.time()))


def name_address(request: Request) -> str:
    """The caller's address; of IPv6 the /64, since every household has 2^64 addresses of them."""
    host = request.client.host if request.client else "local"
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((address, 64), strict=False))
    return host


def _read_host_name(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


@lru_cache(maxsize=8)
def _parse_limit(limit: str) -> RateLimitItem:
    return parse(limit)


@lru_cache(maxsize=1)
def _get_rate_limiter() -> tuple[FixedWindowRateLimiter, MemoryStorage]:
    storage = MemoryStorage()
    return FixedWindowRateLimiter(storage), storage
