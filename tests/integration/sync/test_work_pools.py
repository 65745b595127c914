"""The profiles of deployments/pools, as Prefect's server and the workers' own classes read them.

No Docker, Kubernetes or AWS is there: what would be sent to them is checked with their clients'
own schemas.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import botocore.session
import httpx
import pytest
from botocore.validate import ParamValidator
from prefect.client.orchestration import get_client
from prefect.utilities.templating import find_placeholders
from prefect.workers.base import BaseJobConfiguration

from deployments import names
from deployments.orchestrator import Orchestrator
from deployments.stack.prefect import open_prefect_client
from models.errors import OrchestratorUnavailableError
from models.keys import tag_owner
from tests.support.waiting import wait_until

PROFILES = Path(__file__).parents[3] / "deployments" / "pools"
DATABASE_URL = "postgresql://facepass:very-secret@db.example/facepass"
WORKER_ENVIRONMENT = {
    "FACEPASS_DATABASE_URL": DATABASE_URL,
    "FACEPASS_S3_BUCKET": "свадьбы",
    "AWS_SECRET_ACCESS_KEY": "also-secret",
}
IMAGE = "registry.example/facepass-sync-worker:1.0"
ROLE = "arn:aws:iam::123456789012:role/facepass"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:facepass-database-url"
SITE: dict[str, dict[str, Any]] = {
    "docker": {},
    "kubernetes": {"image": IMAGE},
    "ecs": {
        "image": IMAGE,
        "execution_role_arn": ROLE,
        "task_role_arn": ROLE,
        "database_url_secret_arn": SECRET,
        "subnets": ["subnet-1"],
        "s3_bucket": "weddings",
    },
}
DEPLOYMENTS = sorted(value for name, value in vars(names).items() if name.endswith("_DEPLOYMENT"))
PARAMETERS: dict[str, dict[str, Any]] = {
    names.SYNC_DEPLOYMENT: {"event_id": 1, "s3_prefix": "events/1/previews/"},
    names.ERASE_DEPLOYMENT: {"event_id": 1},
    names.PREVIEWS_DEPLOYMENT: {"event_id": 1},
    names.VIEWS_DEPLOYMENT: {"event_id": 1},
    names.NOTICES_DEPLOYMENT: {"event_id": 1},
    names.REEMBED_DEPLOYMENT: {"event_id": 1},
}
each_deployment = pytest.mark.parametrize("deployment", DEPLOYMENTS)


def read_profile(kind: str, site: dict[str, Any]) -> dict[str, Any]:
    """The profile with a site's own values, as a person would write them into a copy."""
    template: dict[str, Any] = json.loads((PROFILES / f"{kind}.json").read_text("utf-8"))
    for name, value in site.items():
        template["variables"]["properties"][name]["default"] = value
    return template


@dataclass
class Pool:
    """A work pool on the real server, with every deployment of prefect.yaml."""

    name: str
    deployments: dict[str, str]  # FLOW/DEPLOYMENT -> id
    server: httpx.Client

    def create_run(self, deployment: str) -> httpx.Response:
        """Ask for a flow run, as the API does."""
        path = f"/deployments/{self.deployments[deployment]}/create_flow_run"
        return self.server.post(path, json={"parameters": PARAMETERS.get(deployment, {})})

    def resolve(self, deployment: str, kind: type[BaseJobConfiguration]) -> tuple[Any, Any]:
        """A run's job configuration, made by the worker's own class; the run beside it."""
        run_id = self.create_run(deployment).raise_for_status().json()["id"]

        async def ask() -> tuple[Any, Any]:
            async with get_client() as client:
                run = await client.read_flow_run(run_id)
                configuration = await kind.resolve_for_flow_run(
                    run,
                    client=client,
                    work_pool=await client.read_work_pool(self.name),
                    worker_name="worker-1",
                )
                return configuration, run

        return asyncio.run(ask())


def make_pool(server: httpx.Client, kind: str, site: dict[str, Any]) -> Pool:
    """Create a pool from a profile, and deploy to it what `prefect deploy --all` has deployed."""
    pool = Pool(f"{kind}-{uuid4().hex[:8]}", {}, server)
    template = read_profile(kind, site)
    body = {"name": pool.name, "type": kind, "base_job_template": template}
    server.post("/work_pools/", json=body).raise_for_status()
    copied = (
        "flow_id",
        "entrypoint",
        "pull_steps",
        "job_variables",
        "parameter_openapi_schema",
        "enforce_parameter_schema",
    )
    for deployment in DEPLOYMENTS:
        known = server.get(f"/deployments/name/{deployment}").raise_for_status().json()
        own = {"name": pool.name, "work_pool_name": pool.name}
        mine = {field: known[field] for field in copied} | own
        answer = server.post("/deployments/", json=mine).raise_for_status()
        pool.deployments[deployment] = answer.json()["id"]
    return pool


def drop_pool(pool: Pool) -> None:
    """Leave nothing on the session's server."""
    for deployment in pool.deployments.values():
        pool.server.delete(f"/deployments/{deployment}")
    pool.server.delete(f"/work_pools/{pool.name}")


@pytest.fixture(scope="module")
def server(joined_stack: dict[str, str]) -> Iterator[httpx.Client]:
    with open_prefect_client(joined_stack, timeout_s=30) as client:
        yield client


@pytest.fixture(scope="module")
def pools(server: httpx.Client) -> Iterator[dict[str, Pool]]:
    found = {kind: make_pool(server, kind, site) for kind, site in SITE.items()}
    yield found
    for pool in found.values():
        drop_pool(pool)


@pytest.fixture(autouse=True)
def worker_environment(configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker's process has and its runs must get, or must not show.

    `configure` is here for its end: settings that were read meanwhile are forgotten.
    """
    for name, value in WORKER_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def list_texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for item in pair for text in list_texts(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in list_texts(item)]
    return [value] if isinstance(value, str) else []


def require_complete(value: Any) -> None:
    """Nothing is left to be filled in, and nothing was filled in with emptiness."""
    texts = list_texts(value)
    assert [text for text in texts if find_placeholders(text)] == []
    assert [text for text in texts if text in {"", "-", "None-"}] == []


def check_folders(variables: dict[str, str]) -> None:
    """Not the worker's own folders, which Prefect would hand on: they are on another machine."""
    assert variables["PREFECT_HOME"] == "/tmp/prefect"  # noqa: S108 (the container's)
    assert variables["PREFECT_LOCAL_STORAGE_PATH"] == "/tmp/results"  # noqa: S108 (the container's)


def list_variables(entries: list[dict[str, str]]) -> dict[str, str]:
    assert len({entry["name"] for entry in entries}) == len(entries)
    return {entry["name"]: entry["value"] for entry in entries if "value" in entry}


@each_deployment
def test_docker_gets_a_container_that_its_client_can_create(
    pools: dict[str, Pool], server: httpx.Client, deployment: str
) -> None:
    from docker.models.containers import _create_container_args
    from prefect_docker.worker import DockerWorker, DockerWorkerJobConfiguration

    class Engine:
        def version(self) -> dict[str, str]:
            return {"Version": "27.0"}

    pool = pools["docker"]
    configuration, run = pool.resolve(deployment, DockerWorkerJobConfiguration)
    settings = DockerWorker(pool.name)._build_container_settings(Engine(), configuration)
    created = _create_container_args({**settings, "version": "1.45"})  # refuses what it knows not

    host, variables = created["host_config"], settings["environment"]
    assert created["image"] == "facepass-sync-worker:latest"
    assert created["command"] == "python -m prefect.engine"
    assert (host["Memory"], host["NanoCpus"]) == (2 * 1024**3, 2 * 10**9)
    assert host["ReadonlyRootfs"]
    assert host["Tmpfs"] == {"/tmp": "size=512m,mode=1777"}  # noqa: S108 (the container's)
    assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges:true"])
    assert host["Binds"] == ["facepass_models:/var/lib/facepass/models"]
    check_folders(variables)
    assert variables["MALLOC_ARENA_MAX"] == "2"  # the pool's own
    assert settings["network"] == "facepass_inside"
    assert created["healthcheck"] == {"test": ["NONE"]}  # the image's asks a worker
    assert variables["PREFECT__FLOW_RUN_ID"] == str(run.id)
    # The worker's own environment, which Prefect's server never sees.
    assert {name: variables[name] for name in WORKER_ENVIRONMENT} == WORKER_ENVIRONMENT
    stored = server.get(f"/work_pools/{pool.name}").text
    assert DATABASE_URL not in stored
    assert "also-secret" not in stored


@each_deployment
def test_kubernetes_gets_a_job_that_its_client_understands(
    pools: dict[str, Pool], deployment: str
) -> None:
    from kubernetes_asyncio.client import ApiClient
    from prefect_kubernetes.worker import KubernetesWorkerJobConfiguration

    configuration, run = pools["kubernetes"].resolve(deployment, KubernetesWorkerJobConfiguration)
    manifest = configuration.job_manifest
    require_complete(manifest)

    async def understand() -> Any:
        async with ApiClient() as client:
            job = client._ApiClient__deserialize(manifest, "V1Job")
            return client.sanitize_for_serialization(job)

    assert asyncio.run(understand()) == manifest  # a field that it does not know would be lost

    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert manifest["metadata"]["namespace"] == configuration.namespace == "facepass"
    assert container["image"] == IMAGE
    assert container["args"] == ["python", "-m", "prefect.engine"]
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "768Mi"}
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "2Gi"}
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert pod["securityContext"]["runAsNonRoot"]
    variables = list_variables(container["env"])
    check_folders(variables)
    assert variables["MALLOC_ARENA_MAX"] == "2"
    assert variables["PREFECT__FLOW_RUN_ID"] == str(run.id)
    secrets = [entry for entry in container["env"] if "valueFrom" in entry]
    assert secrets[0] == {
        "name": "FACEPASS_DATABASE_URL",
        "valueFrom": {"secretKeyRef": {"name": "facepass", "key": "FACEPASS_DATABASE_URL"}},
    }
    # The worker has it too, and no job may show it.
    assert DATABASE_URL not in list_texts(manifest)


@each_deployment
def test_ecs_gets_a_task_that_its_client_accepts(pools: dict[str, Pool], deployment: str) -> None:
    from prefect_aws.workers.ecs_worker import ECSJobConfiguration, ECSWorker

    pool = pools["ecs"]
    configuration, run = pool.resolve(deployment, ECSJobConfiguration)
    worker = ECSWorker(pool.name)
    definition = worker._prepare_task_definition(configuration, "eu-central-1", run)
    worker._validate_task_definition(definition, configuration)
    request = worker._prepare_task_run_request(configuration, definition, "arn:aws:ecs:x", True)

    model = botocore.session.get_session().get_service_model("ecs")
    for operation, sent in (("RegisterTaskDefinition", definition), ("RunTask", request)):
        require_complete(sent)
        shape = model.operation_model(operation).input_shape
        assert ParamValidator().validate(sent, shape).generate_report() == ""

    (container,) = definition["containerDefinitions"]
    (override,) = request["overrides"]["containerOverrides"]
    assert definition["requiresCompatibilities"] == ["FARGATE"]
    assert (definition["cpu"], definition["memory"]) == ("1024", "2048")
    assert (container["image"], container["name"]) == (IMAGE, override["name"])
    assert container["secrets"] == [{"name": "FACEPASS_DATABASE_URL", "valueFrom": SECRET}]
    assert override["command"] == ["python", "-m", "prefect.engine"]
    assert request["networkConfiguration"]["awsvpcConfiguration"]["subnets"] == ["subnet-1"]
    variables = list_variables(override["environment"])
    check_folders(variables)
    assert variables["MALLOC_ARENA_MAX"] == "2"
    assert variables["PREFECT__FLOW_RUN_ID"] == str(run.id)
    assert DATABASE_URL not in list_texts([definition, request])


@pytest.fixture(params=["kubernetes", "ecs"])
def unfilled(server: httpx.Client, request: pytest.FixtureRequest) -> Iterator[Pool]:
    """A pool of a profile as it lies in the project, without a site's own values."""
    pool = make_pool(server, request.param, {})
    yield pool
    drop_pool(pool)


def test_a_profile_without_a_sites_values_refuses_runs_and_says_why(unfilled: Pool) -> None:
    async def start() -> None:
        async with get_client() as client:
            orchestrator = Orchestrator(client)
            orchestrator._owner_tag = tag_owner(uuid4())  # the configured database is nobody's
            unfilled_id = UUID(unfilled.deployments[names.SYNC_DEPLOYMENT])
            orchestrator._deployment_ids[names.SYNC_DEPLOYMENT] = unfilled_id
            await orchestrator.start_sync(event_id=1, s3_prefix="events/1/previews/", run_name="x")

    answer = unfilled.create_run(names.SYNC_DEPLOYMENT)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert "'image' is a required property" in answer.text
    with pytest.raises(OrchestratorUnavailableError, match="a value that its profile requires"):
        asyncio.run(start())


def test_a_deployment_that_was_made_anew_is_found_again(pools: dict[str, Pool]) -> None:
    """Deleted and deployed again, or on another server, it has another id than the API knows."""
    pool = pools["kubernetes"]
    deployment = f"{names.SYNC_FLOW}/{pool.name}"

    async def start(known: dict[str, UUID]) -> dict[str, UUID]:
        async with get_client() as client:
            orchestrator = Orchestrator(client)
            orchestrator._owner_tag = tag_owner(uuid4())  # the configured database is nobody's
            orchestrator._deployment_ids |= known
            run = await orchestrator._start(deployment, 1, {"event_id": 1, "s3_prefix": "x"}, "x")
            assert (await client.read_flow_run(run)).deployment_id == now
            return orchestrator._deployment_ids

    now = UUID(pool.deployments[names.SYNC_DEPLOYMENT])
    assert asyncio.run(start({deployment: uuid4()})) == {deployment: now}
    assert asyncio.run(start({deployment: now})) == {deployment: now}


# --- the embedded stack's own pool ---

OVERRIDES: list[dict[str, Any]] = [
    {"command": "touch {mark}"},
    {"working_dir": "/"},
    {"env": {"PYTHONSTARTUP": "{mark}", "PREFECT_API_URL": "http://127.0.0.1:9/api"}},
    {"env.LD_PRELOAD": "{mark}"},
]


@pytest.mark.parametrize("variables", OVERRIDES, ids=[next(iter(one)) for one in OVERRIDES])
def test_a_run_that_would_change_how_it_starts_is_refused(
    prefect: httpx.Client, variables: dict[str, Any]
) -> None:
    known = prefect.get(f"deployments/name/{names.PRUNE_DEPLOYMENT}").raise_for_status().json()
    body = {"job_variables": variables}
    answer = prefect.post(f"deployments/{known['id']}/create_flow_run", json=body)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY, answer.text
    assert "Additional properties are not allowed" in answer.text


def test_what_is_not_checked_when_a_run_is_made_changes_nothing_when_it_starts(
    prefect: httpx.Client, tmp_path: Path
) -> None:
    known = prefect.get(f"deployments/name/{names.PRUNE_DEPLOYMENT}").raise_for_status().json()
    mark = tmp_path / "mark"
    body = {
        "flow_id": known["flow_id"],
        "deployment_id": known["id"],
        "work_pool_name": names.WORK_POOL,
        "work_queue_name": "default",
        "state": {"type": "SCHEDULED"},
        "job_variables": {
            "command": f"touch {mark}",
            "working_dir": str(tmp_path / "nowhere"),
            "env": {"PREFECT_API_URL": "http://127.0.0.1:9/api"},
        },
    }
    # The general call to make a run looks at no template: the worker's own reading must do.
    run = prefect.post("flow_runs/", json=body).raise_for_status().json()["id"]

    def read_state() -> str:
        return str(prefect.get(f"flow_runs/{run}").json()["state"]["type"])

    wait_until(lambda: read_state() in {"COMPLETED", "FAILED", "CRASHED"}, 60)
    assert (read_state(), mark.exists()) == ("COMPLETED", False)
