"""A watch over runs: those whose process died without a word are closed, also when nobody asks.

In the record, and in Prefect: a run that it calls running for ever keeps its place in the pool.

Every API process keeps it; closing a run twice is harmless.
"""

import logging
from datetime import timedelta
from itertools import count
from uuid import UUID

import anyio
import anyio.from_thread
import anyio.to_thread

from api.sync_status import close_dead_run
from deployments.orchestrator import Orchestrator
from models.errors import FacePassError
from models.queries.runs import HEARTBEAT_LIMIT, list_silent_runs, read_ends
from models.session import open_session
from models.tables import SyncRun, utc_now
from models.vocabulary import SyncState

logger = logging.getLogger(__name__)

# With the heartbeat's limit of 50 s: a dead run is told within a minute.
WATCH_INTERVAL_S = 8
RUNS_A_ROUND = 50
# Looks at unfinished records for one at what Prefect calls running, which asks Prefect.
ROUNDS_A_SWEEP = 2
# Prunings and the like have no record; none of them takes so long.
LONGEST_RUN = timedelta(days=1)
_DONE = "The work was done; the process died before it said so."
_DEAD = "The process of this run died without a word."


async def watch_runs(orchestrator: Orchestrator) -> None:
    """Look again and again, until cancelled; an outage of what it asks is waited out."""
    for turn in count(1):
        await anyio.sleep(WATCH_INTERVAL_S)
        try:
            await anyio.to_thread.run_sync(close_silent_runs, orchestrator)
            if turn % ROUNDS_A_SWEEP == 0:
                await anyio.to_thread.run_sync(free_places, orchestrator)
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


def free_places(orchestrator: Orchestrator, still_for: timedelta = HEARTBEAT_LIMIT) -> None:
    """End in Prefect what has long ended, and died before it told so.

    still_for: how long Prefect must have called it running.

    Raises OrchestratorUnavailableError and DatabaseUnavailableError.
    """
    running = anyio.from_thread.run(orchestrator.list_running, still_for)
    if not running:
        return
    with open_session() as session:
        ends = read_ends(session, [run.flow_run_id for run in running])
    oldest = utc_now() - LONGEST_RUN
    for run in running:
        ended_as = ends.get(run.flow_run_id)
        if ended_as is SyncState.COMPLETED:
            anyio.from_thread.run(orchestrator.complete_run, run.flow_run_id, _DONE)
        elif ended_as is not None or (run.flow_run_id not in ends and run.since < oldest):
            end = orchestrator.cancel_run if run.is_cancelling else orchestrator.crash_run
            anyio.from_thread.run(end, run.flow_run_id, _DEAD)


def _close_if_dead(flow_run_id: UUID, orchestrator: Orchestrator) -> None:
    with open_session() as session:
        run = session.get(SyncRun, flow_run_id)
        if run is None:
            return
        if close_dead_run(session, run, orchestrator) is None:
            logger.info("Sync run %s of event %d: %s", flow_run_id, run.event_id, run.detail)
