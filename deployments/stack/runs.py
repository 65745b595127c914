"""The flow runs under way when the stack is stopped: they wait for its next start, as Stopped.

Each keeps its id, parameters and cached results. The worker of the next start takes it up first, as
it takes up whatever is due; so a run is taken up once, whoever asks for it meanwhile.
"""

from contextlib import suppress
from typing import Any
from uuid import UUID

import httpx

from deployments.names import STOPPED
from deployments.stack.process import Part, read_variable

FLOW_RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"  # in the environment of a flow run's process
SENTENCE = "Stopped with the stack; its next start takes this up."
UNFINISHED = {"RUNNING", "PENDING"}


def list_under_way(client: httpx.Client, worker: Part, pool: str, *, embedded: bool) -> set[str]:
    """Ids of the runs that have a process below the worker, or are just getting one.

    embedded: the server ends with this stack, so that every run about to start is the worker's.
    """
    found = read_variable(worker.list_descendants(), FLOW_RUN_VARIABLE)
    if embedded:
        wanted = {
            "work_pools": {"name": {"any_": [pool]}},
            "flow_runs": {"state": {"type": {"any_": ["PENDING"]}}},
        }
        answer = client.post("flow_runs/filter", json=wanted).raise_for_status()
        found |= {run["id"] for run in answer.json()}
    return found


def stop_runs(client: httpx.Client, flow_run_ids: set[str], completed: set[str]) -> list[UUID]:
    """Have the runs wait that their stop cut short, their processes being gone; those that do.

    completed: those that had only to tell Prefect of their end. What ended by itself, failed for
    good or was being cancelled stays so.
    """
    stopped = []
    for flow_run_id in flow_run_ids:
        with suppress(httpx.HTTPStatusError):  # one deleted meanwhile keeps no other from it
            if _stop_run(client, flow_run_id, is_done=flow_run_id in completed):
                stopped.append(UUID(flow_run_id))
    return stopped


def _stop_run(client: httpx.Client, flow_run_id: str, *, is_done: bool) -> bool:
    """Whether the run waits now."""
    path = f"flow_runs/{flow_run_id}"
    run = client.get(path).raise_for_status().json()
    state = run["state"]
    waits = is_cut_short(state) and not is_done
    if waits:
        # No worker is handed a run that its own process was going to try again.
        policy = run["empirical_policy"] | {"retry_type": "reschedule"}
        client.patch(path, json={"empirical_policy": policy}).raise_for_status()
        wanted = {"type": "SCHEDULED", "name": STOPPED, "message": SENTENCE}
    elif is_done and state["type"] != "COMPLETED":
        wanted = {"type": "COMPLETED", "message": "Its work was done when the stack was stopped."}
    elif state["type"] == "CANCELLING":
        wanted = {"type": "CANCELLED", "message": "Cancelled; the stack was stopped meanwhile."}
    else:
        return False
    client.post(f"{path}/set_state", json={"state": wanted, "force": True}).raise_for_status()
    return waits


def is_cut_short(state: dict[str, Any]) -> bool:
    """Whether a run in this state, whose process was stopped, had more to do.

    A process that is asked to stop says Crashed.
    """
    kind, name = state["type"], state["name"]
    return kind in UNFINISHED | {"CRASHED"} or (kind == "SCHEDULED" and name == "AwaitingRetry")
