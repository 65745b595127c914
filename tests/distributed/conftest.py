"""A stack whose servers three machines reach over a network, and nobody else does."""

import os
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg2
import pytest

from deployments.names import WORK_POOL
from deployments.result_storage import BLOCK_SLUG
from deployments.stack import postgres
from deployments.stack.postgres_cluster import PORT, SUPERUSER
from deployments.stack.prefect_parts import WORKER, WORKER_SETTINGS
from deployments.stack.stack import EmbeddedStack
from models.settings import Settings
from tests.distributed.network import (
    SUBNET,
    SWITCH_ADDRESS,
    Machine,
    Switch,
    enter_network,
    explain_absence,
)
from tests.faults import FaultProxy
from tests.integration.conftest import forget_settings
from tests.rest_api import RestApi
from tests.waiting import wait_until

MACHINES = 3
BATCH_SIZE = 4
PACE = {"batch_size": BATCH_SIZE, "retry_delay_s": 2, "s3_timeout_s": 3, "event_active_days": 0}
PORTS = {"api_port": 0, "prefect_port": 0, "s3_port": 0}


@dataclass
class Site:
    """What the tests see: the servers' clients and the machines."""

    rest: RestApi
    prefect: httpx.Client
    machines: list[Machine]


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Without root, `ip` or namespaces these tests are skipped, except in CI: there they fail."""
    reason = explain_absence()
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def site(namespaces: None, models_root: Path) -> Iterator[Site]:
    """Three workers on three machines, and this process beside the servers."""
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="fp-")))
        own = {"home": folder / "home", "model_root": models_root, "model_pack": "opencv_zoo"}
        settings = Settings.model_validate({**own, **PORTS, **PACE})
        switch = Switch()
        exits.callback(switch.close)
        stack = exits.enter_context(EmbeddedStack(settings))
        stack.parts[WORKER].stop()  # the machines' workers do the work
        move_database(stack, switch)
        patch = exits.enter_context(pytest.MonkeyPatch.context())
        for name, value in stack.environment.items():
            patch.setenv(name, value)
        forget_settings()
        exits.callback(forget_settings)
        with enter_network(switch.pid):
            relays = {
                name: FaultProxy(stack.environment[name], SWITCH_ADDRESS)
                for name in ("PREFECT_API_URL", "FACEPASS_S3_ENDPOINT_URL")
            }
        for relay in relays.values():
            exits.enter_context(relay)  # outside again: its own connections start here
        machines = [
            exits.enter_context(Machine(switch, number, folder))
            for number in range(1, MACHINES + 1)
        ]
        for machine in machines:
            env = build_environment(stack, relays, machine)
            if machine is machines[0]:
                make_storage = [sys.executable, "-m", "deployments.result_storage"]
                assert machine.start(make_storage, env).wait(120) == 0, machine.log.read_text()
            machine.start(build_worker(machine), env)
        prefect = exits.enter_context(httpx.Client(base_url=stack.environment["PREFECT_API_URL"]))
        # As many as there are machines: what dies with one must give its place back.
        limit = {"concurrency_limit": MACHINES}
        prefect.patch(f"/work_pools/{WORK_POOL}", json=limit).raise_for_status()
        api = httpx.Client(base_url=stack.environment["FACEPASS_API_URL"], timeout=60)
        rest = RestApi(exits.enter_context(api))
        yield Site(rest, prefect, machines)


def move_database(stack: EmbeddedStack, switch: Switch) -> None:
    """PostgreSQL started again on the switch's address as well as on its socket."""
    cluster = stack.plan.cluster
    assert cluster is not None
    with (cluster.data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {SUBNET}.0/24 trust\n")
    part = stack.parts[postgres.NAME]
    part.stop()
    part.argv = [*part.argv, "-c", f"listen_addresses={SWITCH_ADDRESS}"]
    with enter_network(switch.pid):
        part.start()

    def answers() -> bool:
        try:
            where = {"host": str(cluster.sockets), "port": PORT}
            with closing(psycopg2.connect(**where, user=SUPERUSER, dbname="facepass")):
                return True
        except psycopg2.OperationalError:
            return False

    wait_until(answers)


def build_environment(
    stack: EmbeddedStack, relays: dict[str, FaultProxy], machine: Machine
) -> dict[str, str]:
    """What a machine's worker is configured with: addresses on the switch, folders of its own."""
    shared = stack.plan.child_environment
    return {
        **shared,
        **WORKER_SETTINGS,
        "FACEPASS_DATABASE_URL": f"postgresql://{SUPERUSER}@{SWITCH_ADDRESS}:{PORT}/facepass",
        "FACEPASS_S3_ENDPOINT_URL": relays["FACEPASS_S3_ENDPOINT_URL"].url,
        "FACEPASS_RESULT_STORAGE": BLOCK_SLUG,
        "PREFECT_API_URL": f"{relays['PREFECT_API_URL'].url}/api",
        "PREFECT_HOME": str(machine.folder / "prefect"),
        "PREFECT_LOCAL_STORAGE_PATH": str(machine.folder / "results"),
        "TMPDIR": str(machine.folder),
        "NO_PROXY": f"{shared['NO_PROXY']},{SWITCH_ADDRESS}",
        "no_proxy": f"{shared['NO_PROXY']},{SWITCH_ADDRESS}",
    }


def build_worker(machine: Machine) -> list[str]:
    """One run at a time, so that three runs need three machines."""
    start = ("worker", "start", "--pool", WORK_POOL, "--type", "process", "--limit", "1")
    return [sys.executable, "-m", "prefect", *start, "--name", machine.name]


def is_reachable(host: str, port: int) -> bool:
    """Whether this process can connect to an address."""
    try:
        with closing(socket.create_connection((host, port), timeout=2)):
            return True
    except OSError:
        return False
