"""The line that shows what a command waits for, so that nobody takes a long start for a dead one.

In a terminal it lives and vanishes; in a log a line is written now and then.
"""

import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.status import Status

EVERY_S = 15.0  # between two lines of a log


class WaitLine:
    """The line of one console. `show` is called again and again, with nothing at the end."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._status: Status | None = None
        self._told_at = clock()
        self._text = ""

    def show(self, waits: Mapping[str, float]) -> None:
        """Show what is waited for: seconds by name."""
        text = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in waits.items())
        if text == self._text:
            return
        self._text = text
        if not self._console.is_terminal:
            self._tell_now_and_then()
        elif not text:
            self._end()
        elif self._status is None:
            self._status = self._console.status(f"waiting for {text}")
            self._status.start()
        else:
            self._status.update(f"waiting for {text}")

    def _tell_now_and_then(self) -> None:
        if self._text and self._clock() - self._told_at >= EVERY_S:
            self._told_at = self._clock()
            self._console.print(f"  ... waiting for {self._text}", markup=False)

    def _end(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
