"""A flow process stopped at a chosen statement by a row that is locked, and killed right there."""

import time
from collections.abc import Callable

from sqlalchemy import Connection, text

from benchmarks.faults.killing import kill_flow
from benchmarks.faults.scene import Scene

WAIT_S = 12.0
POLL_S = 0.02


def kill_before_storing(scene: Scene, task_id: str, event_id: int) -> bool:
    """Kill where faces are embedded and nothing is stored: at the first read of the store."""
    lock = "SELECT id FROM event WHERE id = :event FOR UPDATE"
    return _kill_at(scene, task_id, lock, {"event": event_id}, "SELECT event.sync_epoch%")


def kill_in_transaction(scene: Scene, task_id: str) -> bool:
    """Kill where a slice's faces and photos are written and not yet committed."""
    lock = "SELECT flow_run_id FROM sync_run WHERE flow_run_id = CAST(:run AS uuid) FOR UPDATE"
    return _kill_at(scene, task_id, lock, {"run": task_id}, "UPDATE sync_run SET processed%")


def _kill_at(
    scene: Scene, task_id: str, lock: str, values: dict[str, object], statement: str
) -> bool:
    """Hold the row until a backend waits for it with the statement; then kill its client."""
    with scene.database.connect() as watching:
        watching = watching.execution_options(isolation_level="AUTOCOMMIT")
        if not _wait(lambda: _is_reading(watching, task_id)):
            return False
        with scene.database.connect() as holding, holding.begin():
            holder = holding.execute(text("SELECT pg_backend_pid()")).scalar_one()
            holding.execute(text(lock), values)
            waits = {"holder": holder, "statement": statement}
            if not _wait(lambda: bool(watching.execute(text(_WAITING), waits).scalar_one())):
                return False
            return kill_flow(scene, task_id)


def _is_reading(connection: Connection, task_id: str) -> bool:
    """Whether the plan is written and photos are left to be read."""
    return bool(connection.execute(text(_READING), {"run": task_id}).scalar_one())


_READING = """
SELECT EXISTS (SELECT FROM sync_run JOIN photo ON photo.sync_run_id = sync_run.flow_run_id
               WHERE flow_run_id = CAST(:run AS uuid) AND finished_at IS NULL AND planned
               AND photo.status = 'pending')
"""
_WAITING = """
SELECT EXISTS (SELECT FROM pg_stat_activity
               WHERE :holder = ANY(pg_blocking_pids(pid)) AND query LIKE :statement)
"""


def _wait(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
