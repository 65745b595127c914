"""What SIGINT, SIGTERM and SIGHUP do: noted while parts change, an interrupt at all other times."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class SignalNote:
    """The stop signal that came, if one did. No threading.Event: a handler can deadlock on it."""

    number: int | None = None

    def keep(self, number: int, _frame: FrameType | None) -> None:
        """The handler."""
        self.number = number


@contextmanager
def note_signals() -> Iterator[SignalNote]:
    """Within the block a stop signal is noted in what is given back, and nothing else happens.

    An exception out of a handler could fall between a child's fork and its entry in the books.
    """
    note = SignalNote()
    with _handle_with(note.keep):
        yield note


@contextmanager
def interrupt_on_signals() -> Iterator[None]:
    """Within the block every stop signal is a KeyboardInterrupt, so that `with` blocks end well."""
    with _handle_with(_raise_interrupt):
        yield


def _raise_interrupt(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


@contextmanager
def _handle_with(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread set handlers
        return
    # What the caller ignores stays ignored: a script's `make up &` must survive its Ctrl-C.
    numbers = [n for n in STOP_SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old if old is not None else signal.SIG_DFL)
