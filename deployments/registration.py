"""The registration of a release: what is deployed to a Prefect server, and in whose name.

Deployments carry the id of the database whose runs they start. Those of another database are not
taken over: its schedules and forms would start runs in this one.
"""

from pathlib import Path
from uuid import UUID

import httpx
import yaml

from deployments.names import name_deployment, name_pool, name_trigger, name_wish
from models.errors import StackError
from models.keys import list_owners, tag_owner

DEPLOYED = "prefect.yaml"


def require_own_deployments(client: httpx.Client, installation: str, owner: UUID) -> None:
    """Raises StackError where deployments of these names belong to another database.

    installation: FACEPASS_INSTALLATION; owner: the database's id.
    """
    wanted = {"name": {"any_": [installation]}, "tags": {"all_": ["facepass"]}}
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
            f"The deployments of the Prefect server at {client.base_url} that are named "
            f"{installation} belong to another database (installation {', '.join(sorted(others))}; "
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
