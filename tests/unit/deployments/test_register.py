"""Registering a release: what it asks of the server, runs, and says when that fails."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml

from deployments import register
from deployments.names import WORK_POOL
from models.settings import get_settings
from tests.support.http_server import QuietHandler, serve_http

Pools = dict[str, dict[str, Any]]
OWNER, OTHER = UUID(int=1), UUID(int=2)
POOL = b'{"concurrency_limit": null}'


class Prefect(QuietHandler):
    """As much of Prefect's API as registering needs."""

    pools: Pools
    deployments: list[dict[str, Any]]
    asked: list[dict[str, Any]]

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        known = self.path == "/api/health" or self.path.rsplit("/", 1)[1] in self.pools
        self.answer(200 if known else 404, POOL)

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/api/deployments/filter":
            self.asked.append(body["deployments"])
            self.answer(200, json.dumps(self.deployments).encode())
            return
        self.pools[body["name"]] = body
        self.answer(201, POOL)


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A database with an id, and settings that are read anew."""
    monkeypatch.setattr(register, "find_installation", lambda: OWNER)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.fixture
def deployments() -> list[dict[str, Any]]:
    """The deployments that the Prefect server has under the installation's name."""
    return []


@pytest.fixture
def asked() -> list[dict[str, Any]]:
    """The filters by which they were asked for."""
    return []


@pytest.fixture
def pools(
    deployments: list[dict[str, Any]],
    asked: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Pools]:
    """The work pools of the Prefect server that the settings name."""
    pools: Pools = {}
    with serve_http(Prefect, pools=pools, deployments=deployments, asked=asked) as url:
        monkeypatch.setenv("PREFECT_API_URL", f"{url}/api")
        yield pools


@dataclass
class Run:
    """A command, the folder it was run in, and the plan that it deploys."""

    command: list[str]
    folder: Path
    plan: dict[str, Any]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """What would have been run; each ends with 3."""
    found: list[Run] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        plan = yaml.safe_load(Path(command[-1]).read_text("utf-8"))
        found.append(Run(command, options["cwd"], plan))
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(subprocess, "run", run)
    return found


def test_the_pool_is_made_then_all_is_deployed_from_the_projects_folder(
    pools: Pools, runs: list[Run], asked: list[dict[str, Any]]
) -> None:
    assert register.main() == 3  # deploy's own
    assert pools[WORK_POOL]["concurrency_limit"] == 2
    assert [one["tags"] for one in asked] == [{"all_": ["facepass"]}]
    assert {"sync", "resync", "default"} <= {*asked[0]["name"]["any_"]}
    (run,) = runs
    deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file"]
    assert run.command[:-1] == deploy
    assert not Path(run.command[-1]).exists()  # gone again
    written = yaml.safe_load((run.folder / "prefect.yaml").read_text("utf-8"))
    for deployment in written["deployments"]:
        deployment["tags"].append(f"installation:{OWNER}")
    assert run.plan == written


@pytest.mark.parametrize("code", [0, 3])
def test_automations_follow_a_deploy_that_went_well(
    pools: Pools, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    steps: list[str] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        steps.append("deploy")
        return subprocess.CompletedProcess(command, code)

    def read(_client: object, _installation: str) -> bool:
        steps.append("read the switch")
        return False

    def restore(_client: object, _installation: str, switch: bool | None) -> None:
        steps.append(f"switch {switch}")

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(register, "read_switch", read)
    monkeypatch.setattr(register, "restore_switch", restore)
    monkeypatch.setattr(register, "install_automations", lambda *_: steps.append("install"))
    monkeypatch.setattr(register, "retire_former", lambda *_, **__: steps.append("retire"))
    assert register.main() == code
    begin = ["read the switch", "deploy"]
    assert steps == (begin if code else [*begin, "retire", "switch False", "install"])


def test_a_named_installation_has_a_pool_and_deployments_of_its_own(
    pools: Pools, runs: list[Run], asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEPASS_INSTALLATION", "studio-b")
    assert register.main() == 3
    assert list(pools) == ["facepass-studio-b"]
    assert {"sync@studio-b", "studio-b"} <= {*asked[0]["name"]["any_"]}
    assert {"sync", "default"} & {*asked[0]["name"]["any_"]} == set()
    found = runs[0].plan["deployments"]
    assert {one["name"].partition("@")[2] for one in found} == {"studio-b"}
    assert {one["work_pool"]["name"] for one in found} == {"facepass-studio-b"}
    # Another installation's uploads are told on the same server, of events of the same numbers.
    [trigger] = found[0]["triggers"]
    assert trigger["name"] == "FacePass Sync · sync after an upload (studio-b)"
    assert trigger["match"]["facepass.sync"] == "wanted studio-b"


@pytest.mark.parametrize(
    ("tags", "is_taken"),
    [
        (["facepass"], True),  # of an earlier release
        (["facepass", f"installation:{OWNER}"], True),
        (["facepass", f"installation:{OTHER}"], False),
        (["facepass", f"installation:{OWNER}", f"installation:{OTHER}"], False),
    ],
)
def test_deployments_of_another_database_are_not_taken_over_unless_that_is_asked_for(
    tags: list[str],
    is_taken: bool,
    pools: Pools,
    deployments: list[dict[str, Any]],
    runs: list[Run],
    capsys: pytest.CaptureFixture[str],
) -> None:
    deployments += [{"tags": ["facepass"]}, {"tags": tags}]
    assert register.main() == (3 if is_taken else 1)
    assert (bool(pools), bool(runs)) == (is_taken, is_taken)
    if not is_taken:
        told = capsys.readouterr().err
        assert str(OTHER) in told
        assert "FACEPASS_INSTALLATION=" in told
        assert "--adopt" in told
        assert register.main(adopts=True) == 3


def test_a_pool_that_is_there_stays_as_it_is(pools: Pools, runs: list[Run]) -> None:
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
    runs: list[Run],
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
