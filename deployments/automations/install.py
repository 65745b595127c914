"""The installation of automations on a Prefect server, which respects what a person changed.

`make up` and `facepass register` repeat it. A variable on the server remembers what was installed:
an automation that a person changed, switched off or deleted stays so. FACEPASS_AUTOMATIONS=0
removes those that nobody changed. Installations that share a server have automations of their own,
which hear of nothing but their own runs and events, and a variable of their own.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import yaml

from deployments.names import DEFAULT, list_deployed_names, list_former_names, name_trigger
from models.errors import OrchestratorUnavailableError
from models.keys import label_installation
from models.settings import Settings

FOLDER = Path(__file__).parent
VARIABLE = "facepass_automations"
INSTALLED = ("many_failed", "many_faceless", "resync_silent", "run_late")
WITH_BLOCK = ("sync_failures",)  # says nothing that Prefect's pages do not, unless it is sent
TRIGGERED = "FacePass Sync · sync after an upload"  # prefect.yaml's own
BLOCK = "BLOCK_DOCUMENT_ID"
# What Prefect adds to a definition, and the switch that is a person's.
_NOT_COMPARED = {"id", "created", "updated", "enabled"}


def install_automations(client: httpx.Client, settings: Settings) -> None:
    """Install what is missing and was never there, and renew what nobody changed.

    Raises OrchestratorUnavailableError.
    """
    with _explaining():
        variable = _name_variable(settings.installation)
        known = _read_variable(client, variable)
        found = {str(automation["name"]): automation for automation in _list(client)}
        kept = dict(known)
        try:
            if settings.automations:
                block = _find_block(client, settings.alarm_block)
                for definition in _read_wanted(block, settings.installation):
                    name = str(definition["name"])
                    kept[name] = _settle(client, definition, found.get(name), known.get(name))
            else:
                _remove(client, found, kept)
        finally:  # else what was done before an error would be taken for a person's own
            if kept != known:
                _write_variable(client, variable, kept)


def read_switch(client: httpx.Client, installation: str) -> bool | None:
    """Whether prefect.yaml's trigger is on; None where it is not there or cannot be asked for."""
    try:
        name = name_trigger(TRIGGERED, installation)
        found = [item for item in _list(client) if item["name"] == name]
    except (httpx.HTTPError, KeyError, ValueError):
        return None
    return any(item["enabled"] for item in found) if found else None


def restore_switch(client: httpx.Client, installation: str, enabled: bool | None) -> None:
    """Switch prefect.yaml's trigger as it was: `prefect deploy` makes it anew each time.

    Raises OrchestratorUnavailableError.
    """
    if enabled is None:
        return
    with _explaining():
        name = name_trigger(TRIGGERED, installation)
        for item in _list(client):
            if item["name"] == name and item["enabled"] != enabled:
                path = f"automations/{item['id']}"
                client.patch(path, json={"enabled": enabled}).raise_for_status()


@contextmanager
def _explaining() -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, KeyError, ValueError) as error:
        raise OrchestratorUnavailableError(
            f"The automations could not be installed in Prefect ({error}): run `facepass register` "
            "once more, or set FACEPASS_AUTOMATIONS=0."
        ) from error


def _read_wanted(block: str | None, installation: str) -> list[dict[str, Any]]:
    """The definitions; without a notification block they only show in Prefect's event feed."""
    names = (*INSTALLED, *(WITH_BLOCK if block else ()))
    wanted = []
    for name in names:
        text = (FOLDER / f"{name}.yaml").read_text("utf-8")
        definition: dict[str, Any] = yaml.safe_load(text.replace(BLOCK, block or BLOCK))
        if block is None:
            definition["actions"] = [{"type": "do-nothing"}]
        definition["name"] = name_trigger(definition["name"], installation)
        _narrow(definition["trigger"], installation)
        wanted.append(definition)
    return wanted


def _narrow(trigger: dict[str, Any], installation: str) -> None:
    """Have a trigger hear of one installation alone.

    A run is known by its deployment's name, which holds too where `prefect deploy` made it; runs
    that a former release's deployments left waiting are known by theirs.
    """
    if "match_related" not in trigger:
        trigger["match"] |= label_installation(installation)
        return
    names = [*list_deployed_names(installation), *list_former_names(installation)]
    own = {"prefect.resource.role": "deployment", "prefect.resource.name": names}
    trigger["match_related"] = [trigger["match_related"], own]


def _settle(
    client: httpx.Client,
    definition: dict[str, Any],
    found: dict[str, Any] | None,
    marks: list[str] | None,
) -> list[str]:
    """Install or renew one automation; the marks of what was wanted and of what is there."""
    mark = _mark(definition)
    if marks is None and found is None:
        answer = client.post("automations/", json=definition).raise_for_status()
        return [mark, _mark(answer.json())]
    if marks is None or found is None:
        return marks or [mark, ""]  # a person's own of this name, or deleted by one
    if marks[0] == mark or marks[1] != _mark(found):
        return marks
    path = f"automations/{found['id']}"
    client.put(path, json={**definition, "enabled": found["enabled"]}).raise_for_status()
    return [mark, _mark(client.get(path).raise_for_status().json())]


def _remove(
    client: httpx.Client, found: dict[str, dict[str, Any]], kept: dict[str, list[str]]
) -> None:
    """Delete what was installed and nobody changed, and its marks."""
    for name, marks in list(kept.items()):
        automation = found.get(name)
        if automation is not None and marks[1] == _mark(automation):
            client.delete(f"automations/{automation['id']}").raise_for_status()
            del kept[name]


def _mark(definition: dict[str, Any]) -> str:
    compared = {name: value for name, value in definition.items() if name not in _NOT_COMPARED}
    compared["trigger"] = _drop_ids(compared["trigger"])
    return sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()[:16]


def _drop_ids(trigger: dict[str, Any]) -> dict[str, Any]:
    """A trigger without the id that Prefect draws anew; its sets of words in one order."""
    return {
        name: sorted(value) if name in {"after", "expect", "for_each"} else value
        for name, value in trigger.items()
        if name != "id"
    }


def _find_block(client: httpx.Client, name: str | None) -> str | None:
    if name is None:
        return None
    kind, _, document = name.partition("/")
    answer = client.get(f"block_types/slug/{kind}/block_documents/name/{document}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise OrchestratorUnavailableError(
            f"FACEPASS_ALARM_BLOCK names {name}, and Prefect has no such block: make it in "
            "Prefect's UI (Blocks), or correct the setting."
        )
    return str(answer.raise_for_status().json()["id"])


def _list(client: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        body = {"limit": 200, "offset": len(found)}
        page = client.post("automations/filter", json=body).raise_for_status().json()
        found += page
        if len(page) < body["limit"]:
            return found


def _name_variable(installation: str) -> str:
    """An installation's variable; releases of Prefect allow no dash in its name."""
    return VARIABLE if installation == DEFAULT else f"{VARIABLE}_{installation.replace('-', '_')}"


def _read_variable(client: httpx.Client, variable: str) -> dict[str, list[str]]:
    answer = client.get(f"variables/name/{variable}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return {}
    value = answer.raise_for_status().json()["value"]
    return {str(name): list(marks) for name, marks in dict(value).items()}


def _write_variable(client: httpx.Client, variable: str, value: dict[str, list[str]]) -> None:
    answer = client.patch(f"variables/name/{variable}", json={"value": value})
    if answer.status_code == httpx.codes.NOT_FOUND:
        answer = client.post("variables/", json={"name": variable, "value": value})
    answer.raise_for_status()
