"""How often one caller may ask: photographers by their key's name, guests by their address."""

import math
import time
from collections.abc import Callable
from typing import Literal

from fastapi import HTTPException, Request
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from models.settings import Settings, get_settings

Kind = Literal["photographer", "guest"]


class RateLimits:
    """One API process's counts, in memory: forgotten with their window."""

    def __init__(self, settings: Settings) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._allowed: dict[Kind, RateLimitItem] = {
            "photographer": parse(settings.rate_limit),
            "guest": parse(settings.guest_rate_limit),
        }

    def count(self, kind: Kind, caller: str, cost: int = 1) -> None:
        """Count a call; `cost` is what it counts for. Raises HTTPException 429 over the limit."""
        allowed = self._allowed[kind]
        if self._limiter.hit(allowed, kind, caller, cost=cost):
            return
        reset_at = self._limiter.get_window_stats(allowed, kind, caller).reset_time
        wait_s = max(1, math.ceil(reset_at - time.time()))
        raise HTTPException(
            429,
            f"Too many requests: try again in {wait_s} s.",
            headers={"Retry-After": str(wait_s)},
        )


def get_rate_limits(request: Request) -> RateLimits:
    """The application's counts, made when first asked for."""
    state = request.app.state
    if not hasattr(state, "rate_limits"):
        state.rate_limits = RateLimits(get_settings())
    limits: RateLimits = state.rate_limits
    return limits


def name_address(request: Request) -> str:
    """The caller's address, as the server tells it: proxies' headers are not trusted here."""
    return request.client.host if request.client else "unknown"


def limit_guests(cost: int = 1) -> Callable[[Request], None]:
    """A dependency for guests' routes; a heavy one costs more than one call."""

    def count_guest(request: Request) -> None:
        get_rate_limits(request).count("guest", name_address(request), cost)

    return count_guest
