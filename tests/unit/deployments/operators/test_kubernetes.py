"""The manifests of deployments/kubernetes against the Kubernetes client's models and the images."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_asyncio.client.models as kubernetes_models
import pytest
import yaml

from deployments.names import WORK_POOL
from deployments.stack.plan import API_ONLY
from models.settings import Settings
from tests.unit.deployments.test_images import (
    STAGES,
    list_prefect_names,
    read_environment,
    read_lineage,
)

ROOT = Path(__file__).parents[4]
FOLDER = ROOT / "deployments" / "kubernetes"
FILES = {file.name: list(yaml.safe_load_all(file.read_text("utf-8"))) for file in FOLDER.iterdir()}
MANIFESTS: list[dict[str, Any]] = [manifest for file in FILES.values() for manifest in file]
KINDS = {
    ("v1", "Namespace"): "V1Namespace",
    ("v1", "ConfigMap"): "V1ConfigMap",
    ("v1", "Service"): "V1Service",
    ("apps/v1", "Deployment"): "V1Deployment",
    ("batch/v1", "Job"): "V1Job",
    ("policy/v1", "PodDisruptionBudget"): "V1PodDisruptionBudget",
    ("autoscaling/v2", "HorizontalPodAutoscaler"): "V2HorizontalPodAutoscaler",
}
PRIMITIVES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "bool": bool,
    "object": (str, int),  # a number or a share, as ports and budgets have it
}
SETTINGS = {f"FACEPASS_{name.upper()}" for name in Settings.model_fields}
AWS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}
each_manifest = pytest.mark.parametrize(
    "manifest", MANIFESTS, ids=[f"{m['kind']}-{m['metadata']['name']}" for m in MANIFESTS]
)


def name_model(manifest: dict[str, Any]) -> str:
    return KINDS[manifest["apiVersion"], manifest["kind"]]


def find_wrong(value: Any, kind: str, place: str = "") -> Iterator[str]:
    """What Kubernetes would refuse: unknown fields, other types, missing fields."""
    if inner := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(value, list):
            yield f"{place} is no list"
            return
        for number, item in enumerate(value):
            yield from find_wrong(item, inner[1], f"{place}[{number}]")
    elif inner := re.fullmatch(r"dict\(str, (.+)\)", kind):
        for name, item in value.items():
            yield from find_wrong(item, inner[1], f"{place}.{name}")
    elif kind in PRIMITIVES:
        if not isinstance(value, PRIMITIVES[kind]) or (kind == "int" and isinstance(value, bool)):
            yield f"{place} is no {kind}"
    else:
        yield from find_wrong_fields(value, kind, place)


def find_wrong_fields(value: dict[str, Any], kind: str, place: str) -> Iterator[str]:
    model = getattr(kubernetes_models, kind)
    fields = {outer: name for name, outer in model.attribute_map.items()}
    for outer, item in value.items():
        if outer in fields:
            yield from find_wrong(item, model.openapi_types[fields[outer]], f"{place}.{outer}")
        else:
            yield f"{place}.{outer} is unknown"
    try:
        # It says what is required.
        model(**{fields[outer]: item for outer, item in value.items() if outer in fields})
    except ValueError as error:
        yield f"{place}: {error}"


@each_manifest
def test_kubernetes_knows_every_field(manifest: dict[str, Any]) -> None:
    assert list(find_wrong(manifest, name_model(manifest))) == []


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"replica": 2}, "replica is unknown"),
        ({"replicas": "2"}, "replicas is no int"),
        ({"selector": None}, "selector"),
        ({"template": {"spec": {"containers": [{"image": "x"}]}}}, "`name`"),
    ],
)
def test_what_kubernetes_would_refuse_is_found(change: dict[str, Any], wrong: str) -> None:
    deployment = json.loads(json.dumps(next(m for m in MANIFESTS if m["kind"] == "Deployment")))
    deployment["spec"] |= change
    deployment["spec"] = {k: v for k, v in deployment["spec"].items() if v is not None}
    found = list(find_wrong(deployment, "V1Deployment"))
    assert any(wrong in line for line in found), found


def list_pods() -> list[tuple[str, dict[str, Any]]]:
    """The pods of all manifests, by the names of what makes them."""
    return [
        (m["metadata"]["name"], m["spec"]["template"]["spec"])
        for m in MANIFESTS
        if "template" in m.get("spec", {})
    ]


PODS = list_pods()
CONTAINERS = [
    (f"{name}/{container['name']}", container, pod)
    for name, pod in PODS
    for container in [*pod.get("initContainers", []), *pod["containers"]]
]
each_container = pytest.mark.parametrize(
    ("container", "pod"), [c[1:] for c in CONTAINERS], ids=[c[0] for c in CONTAINERS]
)


def find_stage(container: dict[str, Any]) -> str:
    """The Dockerfile's stage that is this container's image."""
    name, _, _ = container["image"].partition(":")
    return str(name.removeprefix("facepass-sync-"))


def test_the_parts_are_there() -> None:
    assert {name for name, _ in PODS} == {"facepass-api", "facepass-worker", "facepass-release"}
    assert {m["metadata"].get("namespace", "facepass") for m in MANIFESTS} == {"facepass"}
    assert {file.suffix for file in FOLDER.iterdir()} == {".yaml"}


@each_container
def test_a_pod_may_do_no_more_than_it_must(container: dict[str, Any], pod: dict[str, Any]) -> None:
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (user,) = {v for name, v in read_lineage(find_stage(container)) if name == "USER"}
    assert user == "10001:10001"
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    for kind in ("requests", "limits"):
        assert {*container["resources"][kind]} == {"cpu", "memory"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & {*pod}


@each_container
def test_what_the_image_writes_to_is_mounted(
    container: dict[str, Any], pod: dict[str, Any]
) -> None:
    environment = read_environment(find_stage(container))
    mounted = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    written = {environment["HOME"], *(v for v in environment.values() if v.startswith("/var/lib"))}
    jobs = {"migrate", "register"}  # which read no photo
    wanted = {"/tmp"} if container["name"] in jobs else written  # noqa: S108 (a path inside the container)
    assert wanted <= {*mounted}
    sizes = {volume["name"]: volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"]}
    assert {*mounted.values()} <= {*sizes}


@each_container
def test_it_runs_what_its_image_has(container: dict[str, Any], pod: dict[str, Any]) -> None:
    steps = STAGES[find_stage(container)]
    if container["name"] in {"api", "worker"}:
        (command,) = [json.loads(value) for name, value in steps if name == "CMD"]
        assert container["command"] == command
    else:
        compose = yaml.safe_load((ROOT / "deployments" / "compose.yaml").read_text("utf-8"))
        assert container["command"] == compose["services"][container["name"]]["command"]
    for probe in (container.get("startupProbe", {}), container.get("livenessProbe", {})):
        if "exec" in probe:
            (check,) = [v for name, v in steps if name == "HEALTHCHECK"]
            assert probe["exec"]["command"] == json.loads(check.partition("CMD ")[2])


def test_the_api_is_asked_on_routes_and_a_port_that_it_has() -> None:
    from api.app import create_app

    (container,) = dict(PODS)["facepass-api"]["containers"]
    paths = {*create_app().openapi()["paths"]}
    asked = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("liveness", "readiness")}
    assert {kind: probe["path"] for kind, probe in asked.items()} == {
        "liveness": "/health",
        "readiness": "/ready",
    }
    assert {probe["path"] for probe in asked.values()} <= paths
    (port,) = container["ports"]
    assert str(port["containerPort"]) == read_environment("api")["FACEPASS_API_PORT"]
    (service,) = [m for m in MANIFESTS if m["kind"] == "Service"]
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]


def test_selectors_find_the_pods() -> None:
    labels = {
        m["metadata"]["name"]: m["spec"]["template"]["metadata"]["labels"]
        for m in MANIFESTS
        if m["kind"] == "Deployment"
    }
    for manifest in MANIFESTS:
        name, spec = manifest["metadata"]["name"], manifest.get("spec", {})
        if manifest["kind"] in {"Deployment", "PodDisruptionBudget"}:
            assert spec["selector"] == {"matchLabels": labels[name]}
        if manifest["kind"] == "Service":
            assert spec["selector"] == labels[name]
        if manifest["kind"] == "HorizontalPodAutoscaler":
            assert spec["scaleTargetRef"]["name"] in labels
            assert spec["minReplicas"] >= 2


def test_every_variable_is_one_that_somebody_reads_and_no_secret_has_a_value() -> None:
    known = SETTINGS | AWS | {*list_prefect_names()}
    (config,) = [m for m in MANIFESTS if m["kind"] == "ConfigMap"]
    assert {*config["data"]} <= known
    secret = {"FACEPASS_DATABASE_URL", *API_ONLY, "FACEPASS_SMTP_URL", "FACEPASS_WEBHOOK_URL"}
    assert not {*config["data"]} & (secret | {"AWS_SECRET_ACCESS_KEY", "PREFECT_API_AUTH_STRING"})
    for name, container, _ in CONTAINERS:
        assert container["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]
        for variable in container["env"]:
            assert variable["name"] in known, name
            reference = variable["valueFrom"]["secretKeyRef"]
            assert (reference["name"], reference["key"]) == ("facepass", variable["name"])
        given = {variable["name"] for variable in container["env"]}
        assert bool(given & {*API_ONLY}) == (name == "facepass-api/api"), name
    text = "".join(file.read_text("utf-8") for file in FOLDER.iterdir())
    assert re.search(r"//[^/\s]*:[^/\s@]+@", text) is None


def test_services_set_no_variables_of_ours() -> None:
    """Kubernetes tells pods of a Service facepass-api by FACEPASS_API_PORT=tcp://..., a setting."""
    assert "FACEPASS_API_PORT" in SETTINGS
    assert all(pod["enableServiceLinks"] is False for _, pod in PODS)
    profile = json.loads((ROOT / "deployments" / "pools" / "kubernetes.json").read_text("utf-8"))
    job = profile["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    assert job["enableServiceLinks"] is False


def test_the_worker_serves_the_pool_that_is_registered() -> None:
    (container,) = dict(PODS)["facepass-worker"]["containers"]
    command = container["command"]
    assert command[command.index("--pool") + 1] == WORK_POOL


def test_the_page_names_every_file_and_every_secret() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
    assert {*re.findall(r"deployments/kubernetes/([a-z]+\.yaml)", page)} == {*FILES}
    rows = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| (\w+) \|", page, re.MULTILINE))
    told: dict[str, str] = {}
    for _, container, _ in CONTAINERS:
        for variable in container["env"]:
            optional = variable["valueFrom"]["secretKeyRef"].get("optional", False)
            told[variable["name"]] = "no" if optional else "yes"
    assert rows == told
