"""Registering a release: what it asks of the server, runs, and says when that fails."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from deployments import register
from deployments.names import WORK_POOL
from tests.support.http_server import QuietHandler, serve_http

Pools = dict[str, dict[str, Any]]
POOL = b'{"concurrency_limit": null}'


class Prefect(QuietHandler):
    """As much of Prefect's API as the pool needs."""

    pools: Pools

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        known = self.path == "/api/health" or self.path.rsplit("/", 1)[1] in self.pools
        self.answer(200 if known else 404, POOL)

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        pool = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.pools[pool["name"]] = pool
        self.answer(201, POOL)


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pools]:
    """The work pools of the Prefect server that the settings name."""
    pools: Pools = {}
    with serve_http(Prefect, pools=pools) as url:
        monkeypatch.setenv("PREFECT_API_URL", f"{url}/api")
        yield pools


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
    pools: Pools, runs: list[tuple[list[str], Any]]
) -> None:
    assert register.main() == 3  # deploy's own
    assert pools[WORK_POOL]["concurrency_limit"] == 2
    ((command, folder),) = runs
    assert command == [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    assert (folder / "prefect.yaml").is_file()


@pytest.mark.parametrize("code", [0, 3])
def test_automations_follow_a_deploy_that_went_well(
    pools: Pools, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    steps: list[str] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        steps.append("deploy")
        return subprocess.CompletedProcess(command, code)

    def read(_client: object) -> bool:
        steps.append("read the switch")
        return False

    def restore(_client: object, switch: bool | None) -> None:
        steps.append(f"switch {switch}")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(register, "read_switch", read)
    monkeypatch.setattr(register, "restore_switch", restore)
    monkeypatch.setattr(register, "install_automations", lambda *_: steps.append("install"))
    assert register.main() == code
    begin = ["read the switch", "deploy"]
    assert steps == (begin if code else [*begin, "switch False", "install"])


def test_a_pool_that_is_there_stays_as_it_is(
    pools: Pools, runs: list[tuple[list[str], Any]]
) -> None:
    pools[WORK_POOL] = {"mine": True}
    register.main()
    assert pools == {WORK_POOL: {"mine": True}}


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
