"""The stack's Prefect programs: the server, `prefect deploy` and the worker.

HTTP calls to Prefect's API check that they are ready and create the Prefect work pool. The server
answers only who knows the home's password, and pages of its own origin.
"""

import base64
import json
import secrets
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from deployments.command_line.running_stack import LOOPBACK
from deployments.names import WORK_POOL
from deployments.stack.home import write_private
from deployments.stack.process import NotReadyError, Part
from models.errors import StackError

SERVER = "Prefect"
WORKER = "worker"
PREFECT = (sys.executable, "-m", "prefect")
RUN_LIMIT = 2  # flow runs at a time; each loads its own models
LOOPBACK_HOSTS = {LOOPBACK, "localhost", "::1"}
AUTH_VARIABLE = "PREFECT_API_AUTH_STRING"  # the variable by which Prefect's own clients know it
POOL_TEMPLATE = Path(__file__).resolve().parents[1] / "pools" / "process.json"
CHANGES = {"POST", "PUT", "PATCH", "DELETE"}  # Prefect's server wants a token for these
OPEN_TEMPLATE = (
    "The work pool {pool} keeps its own template, by which a run can name another command. "
    "So that none can: prefect work-pool update {pool} "
    "--base-job-template deployments/pools/process.json"
)

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
    # Its newer UI, Prefect's default, hides Retry and Cancel in a menu and asks a tracker in the
    # net for its set-up, analytics or not. This one asks nobody.
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
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
    # glibc keeps a heap for nearly every thread, each with a freed photo or two: two heaps do, and
    # a run needs a third less memory.
    "MALLOC_ARENA_MAX": "2",
}


def load_password(path: Path) -> str:
    """The embedded server's password, made at the home's first start. Raises StackError."""
    try:
        password = path.read_text("utf-8").strip()
    except FileNotFoundError:
        password = f"facepass:{secrets.token_urlsafe(24)}"
        write_private(path, f"{password}\n")
    except (OSError, ValueError) as error:
        raise StackError(f"{path} cannot be read: remove it, and a new one is made.") from error
    if not password:  # Prefect would ask nobody for it
        raise StackError(f"{path} is empty: remove it, and a new one is made.")
    return password


def build_server(
    *,
    port: int,
    api_url: str,
    password: str,
    database_url: str,
    env: Mapping[str, str],
    log: Path,
) -> Part:
    """The API server with its services and UI, on loopback."""
    own = {
        **SERVER_SETTINGS,
        "PREFECT_API_DATABASE_CONNECTION_URL": database_url,
        "PREFECT_SERVER_API_HOST": LOOPBACK,
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_API_AUTH_STRING": password,
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(
            f"http://{host}:{port}" for host in (LOOPBACK, "localhost")
        ),
        "PREFECT_SERVER_UI_API_URL": api_url,
    }
    return Part(
        name=SERVER,
        argv=[*PREFECT, "server", "start", "--host", LOOPBACK, "--port", str(port)],
        env={**env, **own},
        log=log,
        stop_timeout_s=15.0,
    )


def list_deploy_arguments(file: Path) -> list[str]:
    """The command that brings the server up to date with what `write_deployed` wrote."""
    return [*PREFECT, "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]


def build_deploy(*, file: Path, root: Path, env: Mapping[str, str], log: Path) -> Part:
    """Bring the server up to date with `file`; ends by itself."""
    argv = list_deploy_arguments(file)
    return Part("prefect deploy", argv, env, log, cwd=root, ends=True)


def build_worker(*, name: str, pool: str, root: Path, env: Mapping[str, str], log: Path) -> Part:
    """The process worker; each flow run is a process below it, in its environment."""
    return Part(
        name=WORKER,
        argv=[*PREFECT, "worker", "start", "--name", name, "--pool", pool, "--type=process"],
        env={**env, **WORKER_SETTINGS},
        log=log,
        cwd=root,
        ask_descendants=True,
        stop_timeout_s=10.0,
    )


class PrefectAuth(httpx.Auth):
    """The caller's key or password, and Prefect's CSRF token for what changes something."""

    requires_response_body = True

    def __init__(self, base_url: str, environment: Mapping[str, str]) -> None:
        self._token_url = f"{base_url}csrf-token"
        self._credentials: dict[str, str] = {}
        self._token: dict[str, str] | None = None  # None: not asked for yet
        if key := environment.get("PREFECT_API_KEY"):
            self._credentials["Authorization"] = f"Bearer {key}"
        elif password := environment.get(AUTH_VARIABLE):
            basic = base64.b64encode(password.encode()).decode()
            self._credentials["Authorization"] = f"Basic {basic}"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request; once more with a new token where the old one no longer counts."""
        request.headers.update(self._credentials)
        if request.method not in CHANGES:
            yield request
            return
        if self._token is None:
            yield from self._fetch_token(request)
        request.headers.update(self._token or {})
        response = yield request
        if response.status_code == httpx.codes.FORBIDDEN and "CSRF token" in response.text:
            yield from self._fetch_token(request)
            request.headers.update(self._token or {})
            yield request

    def _fetch_token(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        client = str(uuid4())  # a new name each time: threads do not void each other's tokens
        response = yield httpx.Request(
            "GET",
            self._token_url,
            params={"client": client},
            headers=self._credentials,
            extensions=request.extensions,  # its time limits
        )
        # A server without this protection refuses; what else is wrong, the request itself shows.
        token = response.json()["token"] if response.is_success else None
        self._token = {"Prefect-Csrf-Client": client, "Prefect-Csrf-Token": token} if token else {}


def open_prefect_client(environment: Mapping[str, str], timeout_s: float = 15.0) -> httpx.Client:
    """A bare client of the server that PREFECT_API_URL names in this environment.

    Prefect's own would read the user's profile, and takes seconds to import.
    """
    base_url = environment["PREFECT_API_URL"].rstrip("/") + "/"
    # The environment's proxy is for the world, not for loopback.
    trust_env = httpx.URL(base_url).host not in LOOPBACK_HOSTS
    auth = PrefectAuth(base_url, environment)
    return httpx.Client(base_url=base_url, auth=auth, timeout=timeout_s, trust_env=trust_env)


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


def read_pool_template() -> dict[str, Any]:
    """The template of the process pool: the command of every run, which no run can change."""
    template: dict[str, Any] = json.loads(POOL_TEMPLATE.read_text("utf-8"))
    return template


def settle_pool(client: httpx.Client, name: str = WORK_POOL, *, embedded: bool) -> str | None:
    """The work pool of this name, unless it is there; its limit is the number of syncs at a time.

    The embedded server's pool gets the limit if it has none, and the template: homes of earlier
    releases. A pool of somebody else's server stays as it is, and so does a limit that a person
    has set. Gives back what a person should know about such a pool.

    Not the worker's own `--limit`: with it a worker of Prefect 3.8 dies when a run is retried
    while its last process is still ending ("this borrower is already holding one of this
    CapacityLimiter's tokens", PrefectHQ/prefect#10632 and #16806). Raises StackError.
    """
    pool = f"work_pools/{name}"
    wanted = {"concurrency_limit": RUN_LIMIT, "base_job_template": read_pool_template()}
    advice = None
    try:
        response = client.get(pool)
        if response.status_code == httpx.codes.NOT_FOUND:
            body = {"name": name, "type": "process", **wanted}
            response = client.post("work_pools/", json=body)
        elif response.is_success:
            found = response.json()
            if found["concurrency_limit"] is not None:
                del wanted["concurrency_limit"]
            if found.get("base_job_template") == wanted["base_job_template"]:
                del wanted["base_job_template"]
            if embedded and wanted:
                response = client.patch(pool, json=wanted)
            elif "base_job_template" in wanted and found.get("type") == "process":
                advice = OPEN_TEMPLATE.format(pool=name)
    except httpx.TransportError as error:
        raise StackError(
            f"The Prefect server at {client.base_url} stopped answering ({error}): start again."
        ) from error
    # A conflict: another stack on the same server was faster.
    if response.is_error and response.status_code != httpx.codes.CONFLICT:
        raise StackError(
            f"The work pool {name} cannot be set up at {client.base_url}: "
            f"{response.status_code} {response.text[:200]}"
        )
    return advice


def read_heartbeat(client: httpx.Client, pool: str, worker: str) -> str | None:
    """When the server last heard of this worker, if it counts as online."""
    body = {"workers": {"status": {"any_": ["ONLINE"]}}}
    try:
        response = client.post(f"work_pools/{pool}/workers/filter", json=body)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise NotReadyError(str(error)) from error
    beats = {found["name"]: str(found["last_heartbeat_time"]) for found in response.json()}
    return beats.get(worker)


def require_heartbeat(client: httpx.Client, pool: str, worker: str, before: str | None) -> None:
    """Raises NotReadyError until the worker is online with a heartbeat newer than `before`."""
    beat = read_heartbeat(client, pool, worker)
    if beat is None or beat == before:
        raise NotReadyError("the worker has not reported to the server")
