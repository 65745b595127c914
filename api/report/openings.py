"""Openings of photos by guests: counted in memory by day, written to the database in batches.

A guest's request waits for nothing of it. A process that is killed loses the counts of ten seconds.
"""

import logging
from collections import Counter
from datetime import date
from functools import lru_cache

import anyio
import anyio.to_thread

from models.errors import FacePassError
from models.queries.guests.openings import add_openings
from models.session import open_session
from models.tables import utc_now

logger = logging.getLogger(__name__)

WRITE_EVERY_S = 10.0
MOST_KEPT = 100_000  # photos and days, while the database is away; any more are not counted


class Openings:
    """Counts that wait to be written; used by the event loop alone."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[int, date]] = Counter()

    def note(self, photo_id: int) -> None:
        """Count one opening of a photo, today."""
        key = photo_id, utc_now().date()
        if key in self._counts or len(self._counts) < MOST_KEPT:
            self._counts[key] += 1

    async def write(self) -> None:
        """Add what was counted to the database; kept for the next time where it is away."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            await anyio.to_thread.run_sync(_write, counts)
        except FacePassError as error:
            logger.warning("Openings of photos wait to be written: %s", error)
            self._counts.update(counts)


@lru_cache(maxsize=1)
def get_openings() -> Openings:
    """This process's."""
    return Openings()


async def write_openings() -> None:
    """Write what is counted, again and again; what is left when the task is cancelled too."""
    openings = get_openings()
    try:
        while True:
            await anyio.sleep(WRITE_EVERY_S)
            await openings.write()
    finally:
        with anyio.move_on_after(WRITE_EVERY_S, shield=True):
            await openings.write()


def _write(counts: Counter[tuple[int, date]]) -> None:
    with open_session() as session:
        add_openings(session, counts)
