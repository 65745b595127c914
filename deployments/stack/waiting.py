"""Waiting for readiness without sleeping for it, and without a thread that could hold the exit."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

PAUSE_S = 0.05


class NotReadyError(Exception):
    """A server does not answer yet, as it should once it is up."""


async def run_in_thread(work: Callable[[], Result]) -> Result:
    """Run blocking work beside the loop.

    A daemon thread, not the loop's executor: that one is joined at exit, however long it hangs.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def deliver(result: Result | None, error: Exception | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # a Result, None only if that is one

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - handed to whoever awaits
            failure = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(deliver, result, failure)

    threading.Thread(target=run, daemon=True).start()
    return await future


async def wait_until(probe: Callable[[], object], *, timeout_s: float) -> None:
    """Call the probe until it stops raising NotReadyError, which is raised on after the time."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            await run_in_thread(probe)
        except NotReadyError:
            if time.monotonic() > deadline:
                raise
        else:
            return
        await asyncio.sleep(PAUSE_S)
