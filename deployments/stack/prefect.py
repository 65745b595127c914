"""The stack's Prefect programs: the server, `prefect deploy` and the worker.

HTTP calls to Prefect's API check that they are ready and create the Prefect work pool.
"""

import base64
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from deployments.names import WORK_POOL
from deployments.stack.process import NotReadyError, Part
from models.errors import StackError

SERVER = "Prefect"
WORKER = "worker"
PREFECT = (sys.executable, "-m", "prefect")
RUN_LIMIT = 2  # flow runs at a time; each loads its own models
LOOPBACK_HOSTS = {"127.0.0.1", "localhost", "::1"}

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
        argv=[*PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        env={**env, **own},
        log=log,
        stop_timeout_s=15.0,
    )


def build_deploy(*, root: Path, env: Mapping[str, str], log: Path) -> Part:
    """Bring the server up to date with prefect.yaml; ends by itself."""
    argv = [*PREFECT, "--no-prompt", "deploy", "--all"]
    return Part("prefect deploy", argv, env, log, cwd=root, ends=True)


def build_worker(*, name: str, root: Path, env: Mapping[str, str], log: Path) -> Part:
    """The process worker; each flow run is a process below it, in its environment."""
    return Part(
        name=WORKER,
        argv=[*PREFECT, "worker", "start", "--name", name, "--pool", WORK_POOL, "--type=process"],
        env={**env, **WORKER_SETTINGS},
        log=log,
        cwd=root,
        ask_descendants=True,
        stop_timeout_s=10.0,
    )


def open_prefect_client(api_url: str) -> httpx.Client:
    """A bare client: Prefect's own would read the user's profile, and takes seconds to import."""
    headers = {}
    key, basic = os.environ.get("PREFECT_API_KEY"), os.environ.get("PREFECT_API_AUTH_STRING")
    if key:
        headers["Authorization"] = f"Bearer {key}"
    elif basic:
        headers["Authorization"] = f"Basic {base64.b64encode(basic.encode()).decode()}"
    # The environment's proxy is for the world, not for loopback.
    trust_env = httpx.URL(api_url).host not in LOOPBACK_HOSTS
    base_url = api_url.rstrip("/") + "/"
    return httpx.Client(base_url=base_url, headers=headers, timeout=15.0, trust_env=trust_env)


def require_health(client: httpx.Client) -> None:
    """Raises NotReadyError until the server answers."""
    try:
        client.get("health").raise_for_status()
    except httpx.HTTPError as error:
        raise NotReadyError(str(error)) from error


def require_outside_server(client: httpx.Client) -> None:
    """Raises StackError, with what to do, if the configured server does not answer."""
    try:
        require_health(client)
    except NotReadyError as error:
        raise StackError(
            f"The Prefect server at {client.base_url} does not answer ({error}): "
            "start it, or unset PREFECT_API_URL to use the embedded one."
        ) from error


def settle_pool(client: httpx.Client, *, embedded: bool) -> None:
    """The work pool, unless it is there; its limit is the number of syncs at a time.

    The embedded server's pool gets the limit if it has none: homes from before the limit. A pool
    of somebody else's server stays as it is, and so does a limit that a person has set.

    Not the worker's own `--limit`: with it a worker of Prefect 3.8 dies when a run is retried
    while its last process is still ending ("this borrower is already holding one of this
    CapacityLimiter's tokens", PrefectHQ/prefect#10632 and #16806). Raises StackError.
    """
    pool = f"work_pools/{WORK_POOL}"
    limit = {"concurrency_limit": RUN_LIMIT}
    try:
        response = client.get(pool)
        if response.status_code == httpx.codes.NOT_FOUND:
            body = {"name": WORK_POOL, "type": "process", **limit}
            response = client.post("work_pools/", json=body)
        elif embedded and response.is_success and response.json()["concurrency_limit"] is None:
            response = client.patch(pool, json=limit)
    except httpx.TransportError as error:
        raise StackError(
            f"The Prefect server at {client.base_url} stopped answering ({error}): start again."
        ) from error
    # A conflict: another stack on the same server was faster.
    if response.is_error and response.status_code != httpx.codes.CONFLICT:
        raise StackError(
            f"The work pool {WORK_POOL} cannot be set up at {client.base_url}: "
            f"{response.status_code} {response.text[:200]}"
        )


def read_heartbeat(client: httpx.Client, worker: str) -> str | None:
    """When the server last heard of this worker, if it counts as online."""
    body = {"workers": {"status": {"any_": ["ONLINE"]}}}
    try:
        response = client.post(f"work_pools/{WORK_POOL}/workers/filter", json=body)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise NotReadyError(str(error)) from error
    beats = {found["name"]: str(found["last_heartbeat_time"]) for found in response.json()}
    return beats.get(worker)


def require_heartbeat(client: httpx.Client, worker: str, before: str | None) -> None:
    """Raises NotReadyError until the worker is online with a heartbeat newer than `before`."""
    beat = read_heartbeat(client, worker)
    if beat is None or beat == before:
        raise NotReadyError("the worker has not reported to the server")
