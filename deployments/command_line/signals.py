"""Stop signals: noted, or turned into a KeyboardInterrupt, so that a command ends well."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

# Windows knows no hang-up.
STOP_SIGNALS: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


@dataclass
class SignalNote:
    """The stop signal that came, if one did. No threading.Event: a handler can deadlock on it."""

    number: int | None = None


@contextmanager
def note_signals() -> Iterator[SignalNote]:
    """Within the block a stop signal is noted in what is given back, and nothing else happens.

    An exception out of a handler could fall between a child's fork and its entry in the books.
    """
    note = SignalNote()
    with _handle_with(partial(setattr, note, "number")):
        yield note


@contextmanager
def interrupt_on_signals() -> Iterator[None]:
    """Within the block every stop signal is a KeyboardInterrupt, so that `with` blocks end well."""

    def interrupt(number: int) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    with _handle_with(interrupt):
        yield


@contextmanager
def _handle_with(handler: Callable[[int], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread set handlers
        return
    # What the caller ignores stays ignored: a script's `make up &` must survive its Ctrl-C.
    numbers = [n for n in STOP_SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
    previous = {n: signal.signal(n, lambda number, _frame: handler(number)) for n in numbers}
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old if old is not None else signal.SIG_DFL)
