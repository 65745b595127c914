"""How often one may call: counted in this process's memory, by key or by address.

Every API process counts for itself: two processes let through twice as much.
"""

import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Literal

from fastapi import HTTPException, Request
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from models.settings import get_settings

Caller = Literal["photographer", "guest", "refused", "open"]
MAX_CALLERS = 20_000  # counted apart at a time; past it, newcomers share one count


def limit_rate(caller: Caller) -> Callable[[Request], Awaitable[None]]:
    """A dependency: 429 for a caller of this kind who calls too often.

    Photographers are told apart by their key and not limited where no keys are set (only this
    machine may call then); all others by their address.
    """

    async def check(request: Request) -> None:
        count_call(caller, request)

    return check


def count_call(caller: Caller, request: Request) -> None:
    """Count one call; HTTPException 429 with Retry-After when it is one too many."""
    key_name = getattr(request.state, "key_name", None)
    if caller in {"photographer", "open"} and not get_settings().api_keys:
        return
    item = _parse_limit(_choose_limit(caller))
    who = key_name or name_address(request)
    limiter, storage = _get_limiter()
    known = storage.get(item.key_for(caller, who)) > 0
    if not known and len(storage.storage) >= MAX_CALLERS:
        who = "crowd"
    if limiter.hit(item, caller, who):
        return
    reset = limiter.get_window_stats(item, caller, who).reset_time
    wait_s = max(1, ceil(reset - time.time()))
    raise HTTPException(
        429, f"Too many calls: try again in {wait_s} seconds.", {"Retry-After": str(wait_s)}
    )


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


def forget_calls() -> None:
    """Start counting anew."""
    _get_limiter.cache_clear()


def _choose_limit(caller: Caller) -> str:
    settings = get_settings()
    return settings.rate_limit if caller == "photographer" else settings.guest_rate_limit


@lru_cache(maxsize=8)
def _parse_limit(limit: str) -> RateLimitItem:
    return parse(limit)


@lru_cache(maxsize=1)
def _get_limiter() -> tuple[FixedWindowRateLimiter, MemoryStorage]:
    storage = MemoryStorage()
    return FixedWindowRateLimiter(storage), storage
