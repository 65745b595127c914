"""The command `facepass register`, which deploys a release to the Prefect server.

It creates the Prefect work pool if it is missing, then deploys everything in prefect.yaml. It is
safe to repeat: a pool limit or a paused schedule that a person set in Prefect is not overwritten.
"""

import os
import subprocess
import sys
from pathlib import Path

import httpx

from deployments.stack.prefect import open_prefect_client, require_outside_server, settle_pool
from models.errors import FacePassError, OrchestratorUnavailableError

ROOT = Path(__file__).resolve().parents[1]  # where prefect.yaml is


def settle_server() -> None:
    """Make sure that the server answers and has the work pool.

    Raises OrchestratorUnavailableError, or StackError, with what to do.
    """
    if not os.environ.get("PREFECT_API_URL"):
        raise OrchestratorUnavailableError(
            "No Prefect server is configured: set PREFECT_API_URL, as http://server:4200/api."
        )
    try:
        with open_prefect_client(os.environ) as client:
            require_outside_server(client)
            if advice := settle_pool(client, embedded=False):
                sys.stderr.write(f"{advice}\n")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OrchestratorUnavailableError(
            "The Prefect server went away while the work pool was made: run this once more."
        ) from error


def main() -> int:
    """The pool, then `prefect deploy --all`; the exit code is the latter's."""
    try:
        settle_server()
    except FacePassError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    from deployments.facepass import run

    run("register")
