"""The profiles of deployments/pools against Prefect's own templates of those pools."""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.server.schemas.actions import validate_base_job_template

from models.settings import Settings

ROOT = Path(__file__).parents[3]
PROFILES = sorted((ROOT / "deployments" / "pools").glob("*.json"))
each_profile = pytest.mark.parametrize("profile", PROFILES, ids=[file.stem for file in PROFILES])


@lru_cache(maxsize=8)
def read(profile: Path) -> dict[str, Any]:
    template: dict[str, Any] = json.loads(profile.read_text("utf-8"))
    return template


def build_original(kind: str) -> tuple[dict[str, Any], set[str]]:
    """Prefect's own template of a pool type, and what its worker can be told."""
    from prefect.workers.process import ProcessWorker
    from prefect_aws.workers.ecs_worker import ECSWorker
    from prefect_docker.worker import DockerWorker
    from prefect_kubernetes.worker import KubernetesWorker

    workers: dict[str, Any] = {
        "process": ProcessWorker,
        "docker": DockerWorker,
        "kubernetes": KubernetesWorker,
        "ecs": ECSWorker,
    }
    worker = workers[kind]
    fields = set(worker.job_configuration.model_fields)
    return worker.get_default_base_job_template(), fields


def test_there_is_a_profile_for_each_pool_that_the_docs_name() -> None:
    text = (ROOT / "docs" / "scaling.md").read_text("utf-8")
    named = set(re.findall(r"deployments/pools/(\w+)\.json", text))
    assert named == {file.stem for file in PROFILES} == {"docker", "ecs", "kubernetes", "process"}


@each_profile
def test_prefects_server_accepts_it(profile: Path) -> None:
    assert validate_base_job_template(read(profile)) == read(profile)


@each_profile
def test_every_variable_is_used_and_explained(profile: Path) -> None:
    template = read(profile)
    used = json.dumps(template["job_configuration"])
    for name, variable in template["variables"]["properties"].items():
        assert f"{{{{ {name} }}}}" in used, name
        assert variable["title"], name
        assert variable["description"].endswith("."), name


@each_profile
def test_its_worker_knows_what_it_is_told(profile: Path) -> None:
    _, fields = build_original(profile.stem)
    assert set(read(profile)["job_configuration"]) <= fields


@each_profile
def test_a_variable_that_prefect_has_too_means_the_same(profile: Path) -> None:
    original, _ = build_original(profile.stem)
    known = original["variables"]["properties"]
    mine = read(profile)["variables"]["properties"]
    shared = set(known) & set(mine)
    assert shared or profile.stem == "process"
    for name in shared:
        accepted = {item.get("type") for item in known[name].get("anyOf", [known[name]])}
        assert mine[name]["type"] in accepted, name


@each_profile
def test_a_run_cannot_name_its_command_or_its_variables(profile: Path) -> None:
    template = read(profile)
    assert template["variables"]["additionalProperties"] is False
    assert not {"command", "env", "working_dir"} & set(template["variables"]["properties"])
    assert template["job_configuration"]["command"] == "python -m prefect.engine"


def test_the_deployments_of_prefect_yaml_leave_it_all_to_the_pool() -> None:
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text("utf-8"))["deployments"]
    assert {tuple(deployment["work_pool"]) for deployment in deployments} == {("name",)}


@each_profile
def test_its_settings_are_the_products_and_no_secret_has_a_value(profile: Path) -> None:
    text = profile.read_text("utf-8")
    named = set(re.findall(r"FACEPASS_([A-Z0-9_]+)", text))
    assert {name.lower() for name in named} <= set(Settings.model_fields)
    properties = read(profile)["variables"]["properties"]
    for name in properties:
        if re.search(r"SECRET|KEY|DATABASE_URL|secret_arn", name):
            assert "default" not in properties[name], name


def test_the_docker_profile_fits_what_compose_brings() -> None:
    compose = yaml.safe_load((ROOT / "deployments" / "compose.yaml").read_text("utf-8"))
    project = compose["name"]
    variables = read(ROOT / "deployments" / "pools" / "docker.json")["variables"]["properties"]
    assert variables["image"]["default"] == f"{compose['services']['worker']['image']}:latest"
    assert variables["networks"]["default"] == [f"{project}_{name}" for name in compose["networks"]]
    named = [volume.split(":")[0] for volume in variables["volumes"]["default"]]
    assert set(named) <= {f"{project}_{name}" for name in compose["volumes"]}


@pytest.mark.parametrize(("given", "limits"), [({"gpus": "1"}, {"nvidia.com/gpu": "1"}), ({}, {})])
def test_a_job_gets_a_card_only_where_the_pool_asks_for_one(
    given: dict[str, str], limits: dict[str, str]
) -> None:
    from prefect.utilities.templating import apply_values

    template = read(ROOT / "deployments" / "pools" / "kubernetes.json")
    properties = template["variables"]["properties"]
    values = {name: item["default"] for name, item in properties.items() if "default" in item}
    made: dict[str, Any] = apply_values(template["job_configuration"], {**values, **given})
    [container] = made["job_manifest"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "2Gi", **limits}
