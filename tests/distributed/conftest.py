"""A stack whose servers three machines reach over a network, and nobody else does.

The tests of a Dask cluster use the stack of the integration tests.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg2
import pytest

from deployments.names import RESYNC_DEPLOYMENT, WORK_POOL
from deployments.result_storage import BLOCK_SLUG
from deployments.stack import postgres
from deployments.stack.postgres import PORT, SUPERUSER
from deployments.stack.prefect import WORKER, WORKER_SETTINGS, open_prefect_client
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
from tests.integration.conftest import (  # noqa: F401 (fixtures)
    configure,
    event,
    forget_settings,
    joined_stack,
    make_event,
    prefect,
)
from tests.support.faults import FaultProxy
from tests.support.rest_api import RestApi
from tests.support.waiting import wait_until

MACHINES = 3
LIMIT_S = 240  # for each step; on a quiet machine the longest, a minute without heartbeats, is 70
BATCH_SIZE = 4
PACE = {"batch_size": BATCH_SIZE, "retry_delay_s": 2, "s3_timeout_s": 3, "event_active_days": 0}
PORTS = {"api_port": 0, "prefect_port": 0, "s3_port": 0}


@dataclass
class Servers:
    """One stack, reached at the switch's address."""

    stack: EmbeddedStack
    switch: Switch
    relays: dict[str, FaultProxy]
    folder: Path


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
def servers(namespaces: None, models_root: Path) -> Iterator[Servers]:
    """A stack without a worker; this process is beside it, machines reach it over the switch."""
    if "FACEPASS_DATABASE_URL" in os.environ:
        pytest.fail("Run test_machines.py alone: another test has joined its own stack here.")
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="fp-")))
        own = {"home": folder / "home", "model_root": models_root, "model_pack": "opencv_zoo"}
        switch = Switch()
        exits.callback(switch.close)
        stack = EmbeddedStack(Settings.model_validate({**own, **PORTS, **PACE}))
        exits.enter_context(stack)
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
            exits.enter_context(relay.serve())  # outside again: its own connections start here
        yield Servers(stack, switch, relays, folder)


@pytest.fixture
def site(servers: Servers, tmp_path: Path) -> Iterator[Site]:
    """Three machines, each with a worker, and the servers as others see them."""
    urls = servers.stack.environment
    with (
        httpx.Client(base_url=urls["FACEPASS_API_URL"], timeout=60) as api,
        open_prefect_client(urls, timeout_s=60) as client,
        ExitStack() as exits,
    ):
        # As many runs as there are machines: one that dies must give its place back.
        limit = {"concurrency_limit": MACHINES}
        client.patch(f"/work_pools/{WORK_POOL}", json=limit).raise_for_status()
        # The hourly resync would start syncs of its own.
        resync = client.get(f"/deployments/name/{RESYNC_DEPLOYMENT}").raise_for_status().json()
        paused = client.patch(f"/deployments/{resync['id']}", json={"paused": True})
        paused.raise_for_status()
        numbers = range(1, MACHINES + 1)
        machines = [
            exits.enter_context(closing(Machine(servers.switch, number, tmp_path)))
            for number in numbers
        ]
        make_storage = [sys.executable, "-m", "deployments.result_storage"]
        first = machines[0]
        made = first.start(make_storage, build_environment(servers, first)).wait(LIMIT_S)
        assert made == 0, first.log.read_text()
        for machine in machines:
            machine.start(build_worker(machine), build_environment(servers, machine))
        yield Site(RestApi(api), client, machines)


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

    wait_until(answers, LIMIT_S)


def build_environment(servers: Servers, machine: Machine) -> dict[str, str]:
    """What a machine's worker is configured with: addresses on the switch, folders of its own."""
    shared, relays = servers.stack.plan.child_environment, servers.relays
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
    """One run at a time, so that three runs need three machines; started again when it ends.

    As a service manager would: without Prefect's server for long a worker ends itself.
    """
    start = ("worker", "start", "--pool", WORK_POOL, "--type", "process", "--limit", "1")
    again = 'while :; do "$@"; sleep 1; done'
    return [
        "sh",
        "-c",
        again,
        "sh",
        sys.executable,
        "-m",
        "prefect",
        *start,
        "--name",
        machine.name,
    ]
