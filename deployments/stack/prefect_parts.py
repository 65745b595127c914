"""Prefect's programs: the server, `prefect deploy`, the worker."""

import sys
from collections.abc import Mapping
from pathlib import Path

from deployments.names import WORK_POOL
from deployments.stack.parts import Part

SERVER = "Prefect"
WORKER = "worker"

SERVER_SETTINGS = {
    # The default writes task runs one by one: 1000 of them show after 30 s instead of 3.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    # Leases in memory leak a concurrency slot at every restart of the server.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
        "prefect.server.concurrency.lease_storage.filesystem"
    ),
    # With the default of 5, twenty triggers at once open fifteen connections and close them again.
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE": "20",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}

CLIENT_SETTINGS = {
    # Without it a client that lost PREFECT_API_URL starts a private server instead of failing.
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "DO_NOT_TRACK": "1",
    # A log is no terminal: a sentence cut at 80 letters says half.
    "PREFECT_CLI_WRAP_LINES": "false",
}

WORKER_SETTINGS = {
    # Asked again for four minutes (2 + 4 + ... + 128 s) instead of one: a run that cannot tell
    # how it ended would be shown as running for ever, and keep its place in the pool.
    "PREFECT_CLIENT_MAX_RETRIES": "7",
}


def build_server(
    *, port: int, api_url: str, database_url: str, env: Mapping[str, str], log: Path
) -> Part:
    """The API server with its services and UI, on loopback."""
    own = {
        **SERVER_SETTINGS,
        "PREFECT_API_DATABASE_CONNECTION_URL": database_url,
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_UI_API_URL": api_url,
    }
    return Part(
        name=SERVER,
        argv=[*_cli(), "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        env={**env, **own},
        log=log,
        stop_timeout_s=15.0,
    )


def build_deploy(*, root: Path, env: Mapping[str, str], log: Path) -> Part:
    """Bring the server up to date with prefect.yaml; ends by itself."""
    return Part(
        name="prefect deploy",
        argv=[*_cli(), "--no-prompt", "deploy", "--all"],
        env=env,
        log=log,
        cwd=root,
        ends=True,
    )


def build_worker(*, name: str, root: Path, env: Mapping[str, str], log: Path) -> Part:
    """The process worker; each flow run is a process below it, in its environment."""
    return Part(
        name=WORKER,
        argv=[
            *(*_cli(), "worker", "start", "--pool", WORK_POOL, "--type", "process"),
            *("--name", name),
        ],
        env={**env, **WORKER_SETTINGS},
        log=log,
        cwd=root,
        ask_descendants=True,
        stop_timeout_s=10.0,
    )


def _cli() -> tuple[str, ...]:
    return (sys.executable, "-m", "prefect")
