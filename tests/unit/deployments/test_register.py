"""Registering a release: what it asks of the server, runs, and says when that fails."""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from deployments import register
from deployments.names import WORK_POOL


class Prefect(BaseHTTPRequestHandler):
    """As much of Prefect's API as the pool needs."""

    pools: dict[str, dict[str, Any]]

    def do_GET(self) -> None:
        known = self.path == "/api/health" or self.path.rsplit("/", 1)[1] in self.pools
        self._answer(200 if known else 404)

    def do_POST(self) -> None:
        pool = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.pools[pool["name"]] = pool
        self._answer(201)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b'{"concurrency_limit": null}')

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Prefect]]:
    handler = type("Fresh", (Prefect,), {"pools": {}})
    with HTTPServer(("127.0.0.1", 0), handler) as http:
        Thread(target=http.serve_forever, args=[0.02], daemon=True).start()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{http.server_port}/api")
        yield handler
        http.shutdown()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], Any]]:
    """What would have been run; each ends with 3."""
    found: list[tuple[list[str], Any]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        found.append((command, options["cwd"]))
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", run)
    return found


def test_the_pool_is_made_then_all_is_deployed_from_the_projects_folder(
    server: type[Prefect], runs: list[tuple[list[str], Any]]
) -> None:
    assert register.main() == 3  # deploy's own
    assert server.pools[WORK_POOL]["concurrency_limit"] == 2
    ((command, folder),) = runs
    assert command == [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    assert (folder / "prefect.yaml").is_file()


def test_a_pool_that_is_there_stays_as_it_is(
    server: type[Prefect], runs: list[tuple[list[str], Any]]
) -> None:
    server.pools[WORK_POOL] = {"mine": True}
    register.main()
    assert server.pools == {WORK_POOL: {"mine": True}}


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        (None, "No Prefect server is configured: set PREFECT_API_URL"),
        ("http://127.0.0.1:9/api", "The Prefect server at http://127.0.0.1:9/api/ does not answer"),
        ("nowhere", "The Prefect server at nowhere/ does not answer"),
    ],
)
def test_without_a_server_it_says_what_to_do_and_deploys_nothing(
    address: str | None,
    sentence: str,
    runs: list[tuple[list[str], Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if address is None:
        monkeypatch.delenv("PREFECT_API_URL", raising=False)
    else:
        monkeypatch.setenv("PREFECT_API_URL", address)
    assert register.main() == 1
    assert capsys.readouterr().err.startswith(sentence)
    assert runs == []
