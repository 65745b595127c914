"""An outage of S3, noticed once: a store that hangs must not be waited for photo by photo.

One photo takes minutes to be given up on when S3 accepts connections and answers nothing. After
some in a row the attempt asks no more; the flow's next attempt begins with a new record.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from models.errors import FacePassError, S3DownloadError

# More than one batch fetches at a time, so that one hanging connection pool is no outage yet.
FAILURES_IN_A_ROW = 12


class Outage:
    """Failures in a row of one attempt; shared by all threads that fetch for it."""

    def __init__(self, limit: int = FAILURES_IN_A_ROW) -> None:
        self._limit = limit
        self._failures = 0
        self._lock = threading.Lock()

    @property
    def is_on(self) -> bool:
        """Whether S3 is not asked any more."""
        return self._failures >= self._limit

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Count what the block does. Raises S3DownloadError at once while the outage is on."""
        if self.is_on:
            raise S3DownloadError("S3 unreachable: it is asked again with the next attempt.")
        try:
            yield
        except S3DownloadError:
            self._count(answered=False)
            raise
        except FacePassError:
            self._count(answered=True)
            raise
        else:
            self._count(answered=True)

    def _count(self, *, answered: bool) -> None:
        with self._lock:
            # Once on it stays on: what was under way when S3 went away may still arrive.
            if not self.is_on:
                self._failures = 0 if answered else self._failures + 1


@lru_cache(maxsize=64)
def get_outage(event_id: int, attempt: int) -> Outage:
    """This process's record of an event's attempt; `attempt` is the event's epoch."""
    del event_id, attempt  # what tells records apart
    return Outage()
