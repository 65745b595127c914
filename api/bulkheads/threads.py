"""Threads for each kind of work, and the limits of those who wait for one.

A route that blocks is marked with `in_threads`. FastAPI would run all of them in one pool, which
calls to a single neighbour that stands still fill.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from functools import partial, wraps
from math import inf
from typing import Any, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from models.errors import TooBusyError
from models.patience import limit_statements

P = ParamSpec("P")
T = TypeVar("T")


class Kind(StrEnum):
    """Kinds of work that must not wait for each other."""

    PREFECT = "prefect"  # starts of runs, and their state
    EVENTS = "events"  # photographers' calls that need PostgreSQL alone
    BULK = "bulk"  # erasures and the like, which may take minutes
    PAGES = "pages"  # guests' pages
    PICTURES = "pictures"  # whether a guest may see one
    FETCHES = "fetches"  # a picture's bytes from S3
    LOOKUPS = "lookups"  # a search's event
    DOWNLOADS = "downloads"  # one piece of an original or a zip
    ZIPS = "zips"  # a zip's size: S3 is asked about each of its photos
    HOOKS = "hooks"  # signatures of notifications; SNS is asked for its certificates
    NOTICES = "notices"  # a mail server is waited for, and nothing else
    SCRAPES = "scrapes"


@dataclass(frozen=True)
class Limits:
    """Limits of one kind of work.

    waiting: callers without a thread; one more is refused at once, and one that got none in
    `wait_s` is refused then. statement_s: for each statement of PostgreSQL.
    """

    threads: int
    waiting: int
    wait_s: float
    statement_s: float


# All threads together hold fewer connections than the pool has (PREFECT's hold two each), so that
# the background tasks always find one.
LIMITS = {
    Kind.PREFECT: Limits(threads=6, waiting=60, wait_s=10, statement_s=10),
    Kind.EVENTS: Limits(threads=4, waiting=60, wait_s=5, statement_s=5),
    Kind.BULK: Limits(threads=2, waiting=10, wait_s=20, statement_s=120),
    Kind.PAGES: Limits(threads=4, waiting=100, wait_s=5, statement_s=5),
    # A page asks for six at a time, and a venue's guests open it together.
    Kind.PICTURES: Limits(threads=3, waiting=1000, wait_s=10, statement_s=5),
    Kind.FETCHES: Limits(threads=8, waiting=1000, wait_s=10, statement_s=5),
    Kind.LOOKUPS: Limits(threads=3, waiting=200, wait_s=5, statement_s=5),
    Kind.DOWNLOADS: Limits(threads=12, waiting=100, wait_s=20, statement_s=5),
    Kind.ZIPS: Limits(threads=2, waiting=100, wait_s=30, statement_s=5),
    Kind.HOOKS: Limits(threads=2, waiting=200, wait_s=10, statement_s=5),
    Kind.NOTICES: Limits(threads=3, waiting=60, wait_s=10, statement_s=30),
    Kind.SCRAPES: Limits(threads=1, waiting=5, wait_s=5, statement_s=5),
}
_FULL = "Too many calls of this kind wait already: try again in a moment."


class Bulkhead:
    """The threads of one kind of work, with a bounded line before them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._places = anyio.CapacityLimiter(limits.threads)

    @property
    def busy(self) -> int:
        """Threads that work now."""
        return self._places.borrowed_tokens

    async def run(self, work: Callable[[], T]) -> T:
        """The work's result, from a thread. Raises TooBusyError where none is free in time."""
        caller = object()
        if self._places.statistics().tasks_waiting >= self._limits.waiting:
            raise TooBusyError(_FULL)
        try:
            with anyio.fail_after(self._limits.wait_s):
                await self._places.acquire_on_behalf_of(caller)
        except TimeoutError as error:
            raise TooBusyError(_FULL) from error
        try:
            return await anyio.to_thread.run_sync(self._work, work, limiter=_get_unlimited())
        finally:
            self._places.release_on_behalf_of(caller)

    def _work(self, work: Callable[[], T]) -> T:
        with limit_statements(self._limits.statement_s):
            return work()


def get_bulkhead(kind: Kind) -> Bulkhead:
    """The event loop's one for this kind."""
    try:
        bulkheads = _bulkheads.get()
    except LookupError:
        bulkheads = {kind: Bulkhead(limits) for kind, limits in LIMITS.items()}
        _bulkheads.set(bulkheads)
    return bulkheads[kind]


def in_threads(kind: Kind) -> Callable[[Callable[P, T]], Callable[P, Coroutine[Any, Any, T]]]:
    """Decorate a route that blocks: it runs in a thread of its kind's."""

    def decorate(route: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
        @wraps(route)
        async def run(*args: P.args, **kwargs: P.kwargs) -> T:
            return await get_bulkhead(kind).run(partial(route, *args, **kwargs))

        return run

    return decorate


_bulkheads: RunVar[dict[Kind, Bulkhead]] = RunVar("bulkheads")
_unlimited: RunVar[anyio.CapacityLimiter] = RunVar("unlimited")


def _get_unlimited() -> anyio.CapacityLimiter:
    """For threads that were counted before: anyio's own limit is not asked."""
    try:
        return _unlimited.get()
    except LookupError:
        _unlimited.set(anyio.CapacityLimiter(inf))
        return _unlimited.get()
