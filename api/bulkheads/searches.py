"""The queue of guests' searches: bounded memory, and turns that go round the callers' addresses.

A search whose guest has gone is dropped before it computes.
"""

from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import anyio
from fastapi import Request
from starlette.requests import ClientDisconnect

from api.bulkheads.threads import Bulkhead, Limits
from models.errors import TooBusyError
from models.settings import get_settings

T = TypeVar("T")

# Searches under way, from the first byte of the form to the answer. A venue's guests may share one
# address, so one may have many; half of them, so that another's guest always finds a place.
MOST_SEARCHES = 200
MOST_AN_ADDRESS = 100
MOST_BYTES = 64 * 1024 * 1024  # of their pictures; the gallery's are half a megabyte each
BODY_S = 60  # for a form to arrive
TURN_S = 30  # that a search waits for its turn
STATEMENT_S = 10
_FULL = "Very many guests are searching right now: try again in half a minute."


class SearchQueue:
    """Places, turns and threads of searches; one of them computes for each core."""

    def __init__(self, cores: int) -> None:
        self.turns = Turns(cores)
        self._threads = Bulkhead(Limits(cores, cores, TURN_S, STATEMENT_S))
        self._places: Counter[str] = Counter()
        self._bytes = 0

    @property
    def places(self) -> int:
        """Searches under way."""
        return self._places.total()

    @contextmanager
    def hold_place(self, address: str) -> Iterator[Callable[[int], None]]:
        """A place for one search; the function is told of each of its bytes as they come.

        Both raise TooBusyError when that is too much.
        """
        if self.places >= MOST_SEARCHES or self._places[address] >= MOST_AN_ADDRESS:
            raise TooBusyError(_FULL)
        held = 0

        def count_bytes(number: int) -> None:
            nonlocal held
            if self._bytes + number > max(MOST_BYTES, get_settings().max_upload_bytes):
                raise TooBusyError(_FULL)
            held += number
            self._bytes += number

        self._places[address] += 1
        try:
            yield count_bytes
        finally:
            self._bytes -= held
            self._places[address] -= 1
            self._places += Counter()  # forgets who has none left

    async def compute(self, address: str, work: Callable[[], T]) -> T:
        """The work's result, once it is this address's turn. Raises TooBusyError."""
        async with self.turns.take(address):
            return await self._threads.run(work)


class Turns:
    """Turns that several customers take one after the other, and each in its own order."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._lines: dict[str, deque[anyio.Event]] = {}  # who has waited longest first

    @asynccontextmanager
    async def take(self, customer: str) -> AsyncIterator[None]:
        """A turn. Raises TooBusyError when it does not come in time."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(customer)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, customer: str) -> None:
        called = anyio.Event()
        self._lines.setdefault(customer, deque()).append(called)
        try:
            with anyio.fail_after(TURN_S):
                await called.wait()
        except BaseException as error:
            self._leave(customer, called)
            if isinstance(error, TimeoutError):
                raise TooBusyError(_FULL) from error
            raise

    def _leave(self, customer: str, called: anyio.Event) -> None:
        if called.is_set():  # in the same moment: the turn is another's now
            self._pass_on()
            return
        line = self._lines[customer]
        line.remove(called)
        if not line:
            del self._lines[customer]

    def _pass_on(self) -> None:
        if not self._lines:
            self._free += 1
            return
        customer = next(iter(self._lines))
        line = self._lines.pop(customer)
        line.popleft().set()
        if line:
            self._lines[customer] = line  # now behind the others


async def run_while_connected(request: Request, work: Callable[[], Awaitable[T]]) -> T:
    """The work's result; it is dropped when the client goes. The body must have been read.

    Raises ClientDisconnect, and whatever the work raises.
    """
    results: list[T] = []
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

        tasks.start_soon(listen)
        try:
            results.append(await work())
        except Exception as error:  # noqa: BLE001 - raised below: a group would wrap it
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if not results:
        raise ClientDisconnect
    return results[0]
