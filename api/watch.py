"""A watch over runs: those whose process died without a word are closed, also when nobody asks.

Every API process keeps it; closing a run twice is harmless.
"""

import logging
from uuid import UUID

import anyio
import anyio.to_thread

from api.sync_status import close_dead_run
from deployments.orchestrator import Orchestrator
from models.errors import FacePassError
from models.heartbeats import list_silent_runs
from models.session import open_session
from models.tables import SyncRun

logger = logging.getLogger(__name__)

# With the heartbeat's limit of 50 s: a dead run is told within a minute.
WATCH_INTERVAL_S = 8
RUNS_A_ROUND = 50


async def watch_runs(orchestrator: Orchestrator) -> None:
    """Look again and again, until cancelled; an outage of what it asks is waited out."""
    while True:
        await anyio.sleep(WATCH_INTERVAL_S)
        try:
            await anyio.to_thread.run_sync(close_silent_runs, orchestrator)
        except FacePassError as error:
            logger.warning("Runs cannot be watched for now: %s", error)
        except Exception:
            logger.exception("A look at the runs failed; the next one follows.")


def close_silent_runs(orchestrator: Orchestrator) -> None:
    """Close the unfinished runs that are dead.

    Raises OrchestratorUnavailableError and DatabaseUnavailableError.
    """
    with open_session() as session:
        silent = list_silent_runs(session, RUNS_A_ROUND)
    for flow_run_id in silent:
        _close_if_dead(flow_run_id, orchestrator)


def _close_if_dead(flow_run_id: UUID, orchestrator: Orchestrator) -> None:
    with open_session() as session:
        run = session.get(SyncRun, flow_run_id)
        if run is None:
            return
        if close_dead_run(session, run, orchestrator) is None:
            logger.info("Sync run %s of event %d: %s", flow_run_id, run.event_id, run.detail)
