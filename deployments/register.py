"""The command `facepass register`, which deploys a release to the Prefect server.

It creates the Prefect work pool if it is missing, deploys all of prefect.yaml, then installs the
automations. It is safe to repeat: a pool limit, a paused schedule or an automation that a person
set in Prefect is not overwritten. Deployments of another database are not taken over.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import httpx

from deployments.automations.install import install_automations, read_switch, restore_switch
from deployments.names import name_pool
from deployments.registration import require_own_deployments, retire_former, write_deployed
from deployments.stack.prefect import (
    list_deploy_arguments,
    open_prefect_client,
    require_outside_server,
    settle_pool,
)
from models.errors import FacePassError, OrchestratorUnavailableError
from models.queries.runs import find_installation
from models.settings import get_settings

ROOT = Path(__file__).resolve().parents[1]  # where prefect.yaml is


def settle_server(installation: str, owner: UUID, *, adopts: bool) -> None:
    """Make sure that the server answers, is not another database's, and has the work pool.

    adopts: deployments of another database are taken over, not refused. Raises
    OrchestratorUnavailableError, or StackError, with what to do.
    """
    try:
        with open_prefect_client(os.environ) as client:
            require_outside_server(client)
            if not adopts:
                require_own_deployments(client, installation, owner)
            if advice := settle_pool(client, name_pool(installation), embedded=False):
                sys.stderr.write(f"{advice}\n")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OrchestratorUnavailableError(
            "The Prefect server went away while the work pool was made: run this once more."
        ) from error


def settle_automations(switch: bool | None, owner: UUID, *, adopts: bool) -> None:
    """End what a former release deployed, and install the automations.

    switch: prefect.yaml's trigger is switched as it was before the deploy. Raises
    OrchestratorUnavailableError and StackError.
    """
    with open_prefect_client(os.environ) as client:
        settings = get_settings()
        retire_former(client, settings.installation, owner, adopts=adopts)
        restore_switch(client, settings.installation, switch)
        install_automations(client, settings)


def main(*, adopts: bool = False) -> int:
    """The pool, then `prefect deploy --all`, then automations; the exit code is the deploy's."""
    try:
        if not os.environ.get("PREFECT_API_URL"):
            raise OrchestratorUnavailableError(
                "No Prefect server is configured: set PREFECT_API_URL, as http://server:4200/api."
            )
        installation, owner = get_settings().installation, find_installation()
        settle_server(installation, owner, adopts=adopts)
        with open_prefect_client(os.environ) as client:
            switch = read_switch(client, installation)
        with TemporaryDirectory(prefix="facepass-") as folder:
            command = list_deploy_arguments(write_deployed(ROOT, Path(folder), installation, owner))
            code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if code == 0:
            settle_automations(switch, owner, adopts=adopts)
    except FacePassError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return code


if __name__ == "__main__":
    from deployments.facepass import run

    run("register")
