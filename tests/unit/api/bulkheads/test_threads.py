"""Threads by kind of work: what one kind waits for, no other does, and too much is refused."""

import threading
import time

import anyio
import pytest

from api.bulkheads.threads import LIMITS, Bulkhead, Kind, Limits, get_bulkhead
from models.errors import TooBusyError
from models.patience import read_statement_limit

LIMIT_S = 20
NARROW = Limits(threads=2, waiting=3, wait_s=0.3, statement_s=7)


def test_what_one_kind_waits_for_keeps_no_other_waiting() -> None:
    go_on = threading.Event()

    async def play() -> str:
        with anyio.fail_after(LIMIT_S):
            async with anyio.create_task_group() as tasks:
                for _ in range(LIMITS[Kind.PREFECT].threads):
                    tasks.start_soon(get_bulkhead(Kind.PREFECT).run, go_on.wait)
                await anyio.sleep(0.05)
                answer = await get_bulkhead(Kind.PAGES).run(lambda: "a page")
                go_on.set()
                return answer

    assert anyio.run(play) == "a page"


def test_one_too_many_is_refused_at_once_and_one_that_waits_too_long_later() -> None:
    go_on, refused = threading.Event(), []

    async def play() -> None:
        bulkhead = Bulkhead(NARROW)

        async def call() -> None:
            begin = time.monotonic()
            try:
                await bulkhead.run(go_on.wait)
            except TooBusyError:
                refused.append(time.monotonic() - begin)
                if len(refused) == 4:
                    go_on.set()

        with anyio.fail_after(LIMIT_S):
            async with anyio.create_task_group() as tasks:
                for _ in range(6):
                    tasks.start_soon(call)
        assert bulkhead.busy == 0
        assert await bulkhead.run(lambda: "free again") == "free again"

    anyio.run(play)
    assert refused[0] < NARROW.wait_s
    assert min(refused[1:]) >= NARROW.wait_s


def test_its_statements_are_limited_and_nobody_elses() -> None:
    async def play() -> float | None:
        return await Bulkhead(NARROW).run(read_statement_limit)

    assert anyio.run(play) == NARROW.statement_s
    assert read_statement_limit() is None


def test_an_error_gives_the_thread_back() -> None:
    def fail() -> None:
        raise ValueError("as the work says")

    async def play() -> None:
        bulkhead = Bulkhead(NARROW)
        for _ in range(2 * NARROW.threads):
            with pytest.raises(ValueError, match="as the work says"):
                await bulkhead.run(fail)

    anyio.run(play)


def test_all_kinds_together_leave_connections_for_the_background() -> None:
    # Two a thread of those who wait for Prefect: the turn at the event, and what is read meanwhile.
    without = (Kind.DOWNLOADS, Kind.ZIPS, Kind.FETCHES, Kind.HOOKS, Kind.NOTICES)
    threads = sum(limits.threads for kind, limits in LIMITS.items() if kind not in without)
    assert threads + LIMITS[Kind.PREFECT].threads < 30
