"""What Prefect reads from prefect.toml in this folder, and what it yields to."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from deployments.stack.prefect import CLIENT_SETTINGS, SERVER_SETTINGS, WORKER_SETTINGS

ROOT = Path(__file__).parents[4]
# The names that the stack gives them in its environment.
VARIABLES = {
    "server.analytics_enabled": "PREFECT_SERVER_ANALYTICS_ENABLED",
    "server.ephemeral.enabled": "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE",
    "server.ui.v2_enabled": "PREFECT_SERVER_UI_V2_ENABLED",
    "server.ui.show_promotional_content": "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT",
    "worker.query_seconds": "PREFECT_WORKER_QUERY_SECONDS",
    "flows.heartbeat_frequency": "PREFECT_FLOWS_HEARTBEAT_FREQUENCY",
}
READ = """
import json, sys
from functools import reduce
from prefect.settings import get_current_settings
settings = get_current_settings()
print(json.dumps({name: reduce(getattr, name.split("."), settings) for name in sys.argv[1:]}))
"""


def flatten(table: dict[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{before}{name}.")
        else:
            flat[before + name] = value
    return flat


FILE = flatten(tomllib.loads((ROOT / "prefect.toml").read_text("utf-8")))


def read_settings(folder: Path, home: Path, **given: str) -> dict[str, Any]:
    """The file's settings as a Prefect program has them that starts in `folder`."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    result = subprocess.run(
        [sys.executable, "-c", READ, *FILE],
        cwd=folder,
        env={**own, "PREFECT_HOME": str(home), **given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "unknown" not in result.stderr.lower()
    read: dict[str, Any] = json.loads(result.stdout)
    return read


def test_prefect_reads_it_in_this_folder_and_it_changes_what_prefect_would_do(
    tmp_path: Path,
) -> None:
    assert read_settings(ROOT, tmp_path) == FILE
    elsewhere = read_settings(tmp_path, tmp_path)
    changed = {name for name in FILE if elsewhere[name] != FILE[name]}
    assert changed >= {"server.analytics_enabled", "server.ui.v2_enabled", "worker.query_seconds"}


def test_the_environment_wins(tmp_path: Path) -> None:
    assert {*VARIABLES} == {*FILE}
    other = {n: not v if isinstance(v, bool) else v + 1 for n, v in FILE.items()}
    given = {VARIABLES[name]: str(value).lower() for name, value in other.items()}
    assert read_settings(ROOT, tmp_path, **given) == other


@pytest.mark.parametrize("name", FILE)
def test_it_says_what_the_stack_says(name: str) -> None:
    stack = {**CLIENT_SETTINGS, **SERVER_SETTINGS, **WORKER_SETTINGS}
    value = stack.get(VARIABLES[name])
    assert value is None or value == str(FILE[name]).lower()


def test_it_names_no_server_and_no_password() -> None:
    """It goes before a profile, so that an address here would win over a person's own."""
    assert not [name for name in FILE if name.startswith(("api.", "client.", "server.api"))]
    assert "://" not in (ROOT / "prefect.toml").read_text("utf-8")
