"""The installation of automations on a Prefect server, which respects what a person changed.

`make up` and `facepass register` repeat it. A variable on the server remembers what was installed:
an automation that a person changed, switched off or deleted stays so. FACEPASS_AUTOMATIONS=0
removes those that nobody changed.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import yaml

from deployments.names import name_trigger
from models.errors import OrchestratorUnavailableError
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
        block = _find_block(client, settings.alarm_block)
        known = _read_variable(client)
        found = {str(automation["name"]): automation for automation in _list(client)}
        kept = dict(known)
        for definition in _read_wanted(block) if settings.automations else []:
            name = str(definition["name"])
            kept[name] = _settle(client, definition, found.get(name), known.get(name))
        if not settings.automations:
            kept = _remove(client, found, known)
        if kept != known:
            _write_variable(client, kept)


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


def _read_wanted(block: str | None) -> list[dict[str, Any]]:
    """The definitions; without a notification block they only show in Prefect's event feed."""
    names = (*INSTALLED, *(WITH_BLOCK if block else ()))
    wanted = []
    for name in names:
        text = (FOLDER / f"{name}.yaml").read_text("utf-8")
        definition: dict[str, Any] = yaml.safe_load(text.replace(BLOCK, block or BLOCK))
        if block is None:
            definition["actions"] = [{"type": "do-nothing"}]
        wanted.append(definition)
    return wanted


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
    client: httpx.Client, found: dict[str, dict[str, Any]], known: dict[str, list[str]]
) -> dict[str, list[str]]:
    """Delete what was installed and nobody changed; the marks that stay."""
    kept = {}
    for name, marks in known.items():
        automation = found.get(name)
        if automation is None or marks[1] != _mark(automation):
            kept[name] = marks
        else:
            client.delete(f"automations/{automation['id']}").raise_for_status()
    return kept


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


def _read_variable(client: httpx.Client) -> dict[str, list[str]]:
    answer = client.get(f"variables/name/{VARIABLE}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return {}
    value = answer.raise_for_status().json()["value"]
    return {str(name): list(marks) for name, marks in dict(value).items()}


def _write_variable(client: httpx.Client, value: dict[str, list[str]]) -> None:
    path = f"variables/name/{VARIABLE}"
    if client.patch(path, json={"value": value}).status_code == httpx.codes.NOT_FOUND:
        body = {"name": VARIABLE, "value": value}
        client.post("variables/", json=body).raise_for_status()
