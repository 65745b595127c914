"""A run's heartbeat: says that its process lives, also while it waits for its next attempt."""

import logging
import threading
from uuid import UUID

from models.errors import DatabaseUnavailableError
from models.runs import HEARTBEAT_INTERVAL_S, touch_heartbeat
from models.session import open_session

logger = logging.getLogger(__name__)


def start_heartbeat(flow_run_id: UUID, interval_s: float = HEARTBEAT_INTERVAL_S) -> None:
    """Touch the run's record until it is finished, from a thread that dies with the process.

    Attempts of one run in one process share the thread of the first.
    """
    name = f"heartbeat-{flow_run_id}"
    if all(thread.name != name for thread in threading.enumerate()):
        threading.Thread(
            target=_beat, args=(flow_run_id, interval_s), name=name, daemon=True
        ).start()


def _beat(flow_run_id: UUID, interval_s: float) -> None:
    pause = threading.Event()
    while _touch(flow_run_id):
        pause.wait(interval_s)


def _touch(flow_run_id: UUID) -> bool:
    try:
        with open_session() as session:
            return touch_heartbeat(session, flow_run_id)
    except DatabaseUnavailableError:
        logger.warning("The heartbeat of run %s could not be recorded; going on.", flow_run_id)
        return True
