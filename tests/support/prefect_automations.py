"""As much of Prefect's API as the installation of automations needs, in memory."""

import json
from typing import Any
from uuid import uuid4

import httpx

BLOCK_ID = "6f4ff09f-6f0a-4b4b-8d6a-9a1f2c1a0a11"


class PrefectAutomations:
    """Automations, variables and one notification block, slack-webhook/alarms."""

    def __init__(self) -> None:
        self.automations: dict[str, dict[str, Any]] = {}
        self.variables: dict[str, Any] = {}
        self.changes: list[str] = []
        self.broken = False
        self.refused = ""  # the name of an automation that is not taken

    def open(self) -> httpx.Client:
        """A client of it."""
        transport = httpx.MockTransport(self._answer)
        return httpx.Client(base_url="http://prefect.test/api/", transport=transport)

    def find(self, name: str) -> dict[str, Any]:
        """The automation of a name."""
        [found] = [item for item in self.automations.values() if item["name"] == name]
        return found

    @property
    def names(self) -> list[str]:
        """The names of all of them."""
        return sorted(str(item["name"]) for item in self.automations.values())

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/").strip("/").split("/")
        body = json.loads(request.content) if request.content else {}
        if self.broken or (self.refused and body.get("name") == self.refused):
            return httpx.Response(500)
        if request.method in {"PUT", "PATCH", "DELETE"} or path == ["automations"]:
            self.changes.append(f"{request.method} {path[0]}")
        if path[0] == "automations":
            return self._answer_automation(request.method, path[-1], body)
        if path[0] == "variables":
            return self._answer_variable(request.method, body.get("name", path[-1]), body)
        known = path[2::3] == ["slack-webhook", "alarms"]  # block_types/slug/…/name/…
        return httpx.Response(200 if known else 404, json={"id": BLOCK_ID})

    def _answer_automation(self, method: str, found: str, body: Any) -> httpx.Response:
        if found == "filter":
            page = list(self.automations.values())[body["offset"] :][: body["limit"]]
            return httpx.Response(200, json=page)
        if method == "POST":
            found = str(uuid4())
            self.automations[found] = {"enabled": True, "id": found, "created": "today"}
        if method == "DELETE":
            del self.automations[found]
            return httpx.Response(204)
        if method != "GET":
            trigger = body.get("trigger", self.automations[found].get("trigger"))
            self.automations[found] |= {**body, "trigger": {**trigger, "id": str(uuid4())}}
        return httpx.Response(200, json=self.automations[found])

    def _answer_variable(self, method: str, name: str, body: Any) -> httpx.Response:
        if method != "POST" and name not in self.variables:
            return httpx.Response(404)
        if method != "GET":
            self.variables[name] = body["value"]
        return httpx.Response(200, json={"name": name, "value": self.variables[name]})
