"""The faults by name, and how each is injected. An injection says whether it really hit."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.faults import (
    hanging,
    killing,
    meddling,
    restarting,
    row_locks,
    spoiling,
    visiting,
)
from benchmarks.faults.moment import Moment
from benchmarks.faults.s3_proxy import Sickness

SHARES = (0.3, 0.9)  # of requests that meet a sickness
SICK_S = 3.0  # at most waited for a request that does, and at most left so after it


Inject = Callable[[Moment], bool]


@dataclass(frozen=True)
class Fault:
    """A kind of fault. `is_own`: it strikes one event's sync. `is_last`: no sync lives after it."""

    name: str
    inject: Inject
    is_own: bool = False
    is_last: bool = False


def _sicken(sickness: Sickness) -> Inject:
    def inject(moment: Moment) -> bool:
        proxy = moment.scene.proxy
        proxy.sicken(sickness, moment.chance.uniform(*SHARES))
        deadline = time.monotonic() + SICK_S
        while not proxy.hits and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(moment.chance.uniform(0.5, SICK_S))
        proxy.mend()
        return proxy.hits > 0

    return inject


def _cancel(moment: Moment) -> bool:
    """As the button in Prefect's UI does."""
    state = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    path = f"flow_runs/{moment.victim.task_id}/set_state"
    answer = moment.scene.prefect.post(path, json=state).raise_for_status()
    return bool(answer.json()["status"] == "ACCEPT")


def _kill_all(moment: Moment) -> bool:
    task_ids = {case.task_id for case in moment.cases}
    return killing.kill_worker_and_flows(moment.scene, task_ids, moment.chance)


def _damage_results(moment: Moment) -> bool:
    """What was embedded and not stored is what the next sync looks up."""
    scene, victim = moment.scene, moment.victim
    killed = row_locks.kill_before_storing(scene, victim.task_id, victim.event_id)
    return spoiling.damage_results(scene, victim.event_id) and killed


def _restart_postgres(how: signal.Signals) -> Inject:
    return lambda moment: restarting.restart_postgres(moment.scene, how)


TWO_SYNCS = "two syncs at once from two API processes"  # how an event's sync begins

FAULTS = (
    Fault("worker killed", lambda m: killing.kill_worker(m.scene, m.chance)),
    Fault("worker and flow killed together", _kill_all, is_last=True),
    Fault("flow killed", lambda m: killing.kill_flow(m.scene, m.victim.task_id), is_own=True),
    Fault(
        "flow stands still", lambda m: killing.freeze_flow(m.scene, m.victim.task_id), is_own=True
    ),
    Fault(
        "flow killed between embedding and storing",
        lambda m: row_locks.kill_before_storing(m.scene, m.victim.task_id, m.victim.event_id),
        is_own=True,
    ),
    Fault(
        "flow killed inside the store transaction",
        lambda m: row_locks.kill_in_transaction(m.scene, m.victim.task_id),
        is_own=True,
    ),
    Fault("PostgreSQL restarted, immediate", _restart_postgres(signal.SIGQUIT)),
    Fault("PostgreSQL restarted, fast", _restart_postgres(signal.SIGINT)),
    Fault(
        "S3 killed, away for longer than a retry", lambda m: restarting.stop_s3(m.scene, m.chance)
    ),
    *(Fault(f"S3 answers: {sickness}", _sicken(sickness)) for sickness in Sickness),
    Fault("Prefect server restarted", lambda m: restarting.restart_prefect(m.scene, m.chance)),
    Fault("Prefect server hung under requests for syncs", hanging.hang_prefect),
    Fault("S3 hung under downloads", hanging.hang_s3),
    Fault("PostgreSQL hung", hanging.hang_database),
    Fault("results emptied", lambda m: spoiling.empty_results(m.scene, m.victim.event_id)),
    Fault("cached results damaged, flow killed before storing", _damage_results, is_own=True),
    Fault("disk of the results full", lambda m: spoiling.fill_results(m.scene)),
    Fault("profile changed in a retry's wait", meddling.change_profile, is_own=True),
    Fault("requeue against plans", meddling.requeue_against_plans, is_own=True),
    Fault("forty guests against one sync", visiting.invite_guests),
    Fault(TWO_SYNCS, lambda _: True, is_own=True),
    Fault("cancelled in the UI", _cancel, is_own=True),
)
