"""The registration of a release: what is deployed to a Prefect server, and in whose name.

Deployments carry the id of the database whose runs they start. Those of another database are not
taken over: its schedules and forms would start runs in this one. Those of the same database that a
former release called otherwise end, once nothing waits for them.
"""

from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import yaml

from deployments.names import (
    DEPLOYMENTS,
    list_deployed_names,
    list_former_names,
    name_deployment,
    name_pool,
    name_trigger,
    name_wish,
)
from models.errors import StackError
from models.keys import list_owners, tag_owner

DEPLOYED = "prefect.yaml"
ENDED = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]


def require_own_deployments(client: httpx.Client, installation: str, owner: UUID) -> None:
    """Raises StackError where deployments of these names belong to another database.

    installation: FACEPASS_INSTALLATION; owner: the database's id.
    """
    names = [*list_deployed_names(installation), *list_former_names(installation)]
    wanted = {"name": {"any_": names}, "tags": {"all_": ["facepass"]}}
    try:
        answer = client.post("deployments/filter", json={"deployments": wanted})
        found = answer.raise_for_status().json()
    except httpx.HTTPError as error:
        raise StackError(
            f"The Prefect server at {client.base_url} does not list its deployments ({error}): "
            "its log says why."
        ) from error
    others = {other for one in found for other in list_owners(one["tags"])} - {str(owner)}
    if others:
        raise StackError(
            f"The deployments of the installation {installation} on the Prefect server at "
            f"{client.base_url} belong to another database ({', '.join(sorted(others))}; "
            f"this one is {owner}). Where both are in use, name this one: set "
            "FACEPASS_INSTALLATION, as FACEPASS_INSTALLATION=studio-b. Where this database takes "
            "the other's place, run the same command once with --adopt."
        )


def write_deployed(root: Path, folder: Path, installation: str, owner: UUID) -> Path:
    """Write what this installation deploys: prefect.yaml with its names and its tag."""
    plan = yaml.safe_load((root / DEPLOYED).read_text("utf-8"))
    for deployment in plan["deployments"]:
        flow = deployment["entrypoint"].rpartition(".")[2]
        own = name_deployment(f"{flow}/{deployment['name']}", installation)
        deployment["name"] = own.partition("/")[2]
        deployment["work_pool"] = deployment["work_pool"] | {"name": name_pool(installation)}
        deployment["tags"] = [*deployment["tags"], tag_owner(owner)]
        for trigger in deployment.get("triggers", []):
            trigger["name"] = name_trigger(trigger["name"], installation)
            wish = trigger["match"]["facepass.sync"]
            trigger["match"]["facepass.sync"] = name_wish(wish, installation)
    file = folder / DEPLOYED
    file.write_text(yaml.safe_dump(plan, sort_keys=False, allow_unicode=True), "utf-8")
    return file


def retire_former(client: httpx.Client, installation: str, owner: UUID, *, adopts: bool) -> None:
    """End the deployments of this database that a former release called by its installation.

    Their schedules and triggers go at once, so that nothing starts twice; a schedule that a person
    had paused is paused in its successor too. The rest goes when no run of theirs is left to do:
    Prefect deletes waiting runs with their deployment. adopts: another database's end as well.
    Raises StackError.
    """
    try:
        for deployment, name in product(DEPLOYMENTS, list_former_names(installation)):
            flow = deployment.partition("/")[0]
            answer = client.get(f"deployments/name/{flow}/{name}")
            if answer.status_code == httpx.codes.NOT_FOUND:
                continue
            former = answer.raise_for_status().json()
            is_ours = (former["entrypoint"] or "").startswith("flows.")
            others = set(list_owners(former["tags"])) - {str(owner)}
            if not is_ours or (others and not adopts):
                continue
            own = name_deployment(deployment, installation)
            successor = client.get(f"deployments/name/{own}").raise_for_status().json()
            _take_over_schedules(client, former, successor)
            _end_deployment(client, former["id"])
    except httpx.HTTPError as error:
        raise StackError(
            f"The deployments of the former release at {client.base_url} could not be ended "
            f"({error}): run `facepass register` once more, else their schedules go on beside the "
            "new ones."
        ) from error


def _take_over_schedules(
    client: httpx.Client, former: dict[str, Any], successor: dict[str, Any]
) -> None:
    """Pause what a person had paused; the former deployment has no schedules any more then."""
    for old in former["schedules"]:
        if former["paused"] or not old["active"]:
            for new in successor["schedules"]:
                path = f"deployments/{successor['id']}/schedules/{new['id']}"
                client.patch(path, json={"active": False}).raise_for_status()
        path = f"deployments/{former['id']}/schedules/{old['id']}"
        client.delete(path).raise_for_status()


def _end_deployment(client: httpx.Client, deployment_id: str) -> None:
    """Delete a deployment and its triggers; the deployment not while a run of it is unfinished."""
    owned = f"automations/owned-by/prefect.deployment.{deployment_id}"
    client.delete(owned).raise_for_status()
    unfinished = {
        "deployments": {"id": {"any_": [deployment_id]}},
        "flow_runs": {"state": {"type": {"not_any_": ENDED}}},
    }
    runs = client.post("flow_runs/filter", json=unfinished).raise_for_status().json()
    # The server's scheduler may have made some while their schedule was being deleted.
    scheduled = [one for one in runs if one["auto_scheduled"] and one["state_type"] == "SCHEDULED"]
    for run in scheduled:
        client.delete(f"flow_runs/{run['id']}").raise_for_status()
    if len(scheduled) == len(runs):
        client.delete(f"deployments/{deployment_id}").raise_for_status()
