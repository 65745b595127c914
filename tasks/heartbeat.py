"""A run's heartbeat: says that its process lives, also while it waits for its next attempt."""

import logging
import threading
from uuid import UUID

from models.errors import DatabaseUnavailableError
from models.queries.runs import HEARTBEAT_INTERVAL_S, touch_heartbeat
from models.session import open_session

logger = logging.getLogger(__name__)


class Heartbeat(threading.Thread):
    """Touches a run's record until the run is finished; dies with the process."""

    def __init__(self, flow_run_id: UUID, interval_s: float) -> None:
        super().__init__(name=f"heartbeat-{flow_run_id}", daemon=True)
        self.flow_run_id = flow_run_id
        self.over = threading.Event()
        self._interval_s = interval_s

    def run(self) -> None:
        """Touch, wait, and again; a finished record ends it."""
        while not self.over.is_set() and _touch(self.flow_run_id):
            self.over.wait(self._interval_s)


def start_heartbeat(flow_run_id: UUID, interval_s: float = HEARTBEAT_INTERVAL_S) -> None:
    """Begin a run's heartbeat; attempts of one run in one process share that of the first."""
    if not _find_heartbeats(flow_run_id):
        Heartbeat(flow_run_id, interval_s).start()


def stop_heartbeat(flow_run_id: UUID) -> None:
    """End a run's heartbeat now rather than at its next beat."""
    for heartbeat in _find_heartbeats(flow_run_id):
        heartbeat.over.set()


def _find_heartbeats(flow_run_id: UUID) -> list[Heartbeat]:
    return [
        thread
        for thread in threading.enumerate()
        if isinstance(thread, Heartbeat)
        and thread.flow_run_id == flow_run_id
        and not thread.over.is_set()
    ]


def _touch(flow_run_id: UUID) -> bool:
    try:
        with open_session() as session:
            return touch_heartbeat(session, flow_run_id)
    except DatabaseUnavailableError:
        logger.warning("The heartbeat of run %s could not be recorded; going on.", flow_run_id)
        return True
