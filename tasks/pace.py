"""How often a run tells Prefect how far it is, however fast its batches end."""

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from uuid import UUID

# One report a second and the last one, which never waits: at most two in any second.
REPORT_INTERVAL_S = 1.0


class Pace:
    """Says whether a next report is due; threads may ask at the same time, one is told yes."""

    def __init__(
        self,
        interval_s: float = REPORT_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """clock: seconds, never going back. The first report is due an interval from now."""
        self._interval_s = interval_s
        self._clock = clock
        self._lock = threading.Lock()
        self._last = clock()

    def is_due(self) -> bool:
        """Whether to report now; if so, the next report is due an interval later."""
        with self._lock:
            now = self._clock()
            if now - self._last < self._interval_s:
                return False
            self._last = now
            return True


@lru_cache(maxsize=64)  # bars of this process's latest attempts
def get_pace(progress_id: UUID) -> Pace:
    """The pace of one progress bar; its first call is the bar's own creation."""
    del progress_id  # what tells one pace from another
    return Pace()
