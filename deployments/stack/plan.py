"""The plan of a start: every address, key and variable, decided before anything starts.

A server that the settings name is used, and the stack starts every other one itself. Child
processes, and processes that attach to a running stack, get their variables from the plan.
"""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from deployments.command_line.running_stack import LOOPBACK, spare_loopback
from deployments.names import name_pool
from deployments.stack.home import StackHome
from deployments.stack.lan import API_KEY, build_lan_url, open_to_lan
from deployments.stack.ports import PublicPort, settle_ports
from deployments.stack.postgres import PostgresCluster, locate_cluster
from deployments.stack.prefect import AUTH_VARIABLE, CLIENT_SETTINGS, load_password
from deployments.stack.process import MARK
from deployments.stack.s3 import (
    BUCKET,
    REGION,
    Keys,
    S3Server,
    load_keys,
    settle_internal_ports,
)
from models.errors import StackError
from models.settings import Settings

# How the embedded Prefect works, not which server it is or who may use it.
HARMLESS = ("PREFECT_LOGGING_", "PREFECT_SERVER_SERVICES_", "PREFECT_SERVER_EVENTS_")
# The API's own: a flow run needs neither.
API_ONLY = (
    "FACEPASS_API_KEYS",
    "FACEPASS_WEBHOOK_SECRET",
    "FACEPASS_HOOK_SECRET",
    "FACEPASS_HOOK_TOPICS",
)
OFFLINE_PACK = "opencv_zoo"  # comes with the installed packages: nothing to download at a start


def build_base_environment(*, embeds_s3: bool, embeds_prefect: bool) -> dict[str, str]:
    """The caller's environment without what would lead a child to other servers."""
    dropped: tuple[str, ...] = ("PREFECT_PROFILE", "PREFECT__", "PG", "FACEPASS_STACK_")
    if embeds_prefect:
        dropped += ("PREFECT_",)  # keys, database, profile of some other server
    if embeds_s3:
        dropped += ("AWS_",)  # a session token or profile beside our keys breaks them
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(dropped) or key.startswith(HARMLESS)
    }
    # The worker starts `python` by name: it must be this one.
    programs = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])
    return {**environment, **spare_loopback(environment), "PYTHONUNBUFFERED": "1"}


def keep_bytecode(home: Path) -> dict[str, str]:
    """Where nothing may be written beside the sources, compiled ones go into the home.

    Else each of the many processes would compile Prefect anew: 29 s for a start instead of 15 s,
    and seconds more for every flow run.
    """
    if not sys.dont_write_bytecode or "PYTHONPYCACHEPREFIX" in os.environ:
        return {}
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(home / "pycache")}


def describe_s3(settings: Settings, server: S3Server | None, keys: Keys | None) -> dict[str, str]:
    """Where the photos are; keys only if the store is the embedded one."""
    if server is None or keys is None:
        # The keys stay where the user has them: AWS's usual chain finds them there.
        outside = {"FACEPASS_S3_BUCKET": settings.require_s3_bucket()}
        if settings.s3_endpoint_url:
            outside["FACEPASS_S3_ENDPOINT_URL"] = settings.s3_endpoint_url
            outside["FACEPASS_S3_ADDRESSING"] = settings.s3_addressing
        return outside
    return {
        "FACEPASS_S3_ENDPOINT_URL": server.endpoint_url,
        "FACEPASS_S3_BUCKET": BUCKET,
        "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        "AWS_DEFAULT_REGION": REGION,
    }


def describe_model(settings: Settings, home: Path) -> dict[str, str]:
    """The model pack: what is set, or the one that needs no network and no acceptance."""
    chosen = settings.model_fields_set
    pack = settings.model_pack if "model_pack" in chosen else OFFLINE_PACK
    root = settings.model_root.expanduser().resolve() if "model_root" in chosen else home
    if os.sep in pack or Path(pack).is_dir():
        pack = str(Path(pack).expanduser().resolve())  # children work in another folder
    model = {"FACEPASS_MODEL_PACK": pack, "FACEPASS_MODEL_ROOT": str(root)}
    return model | ({"FACEPASS_ACCEPT_NONCOMMERCIAL": "1"} if settings.accept_noncommercial else {})


def export_settings(settings: Settings) -> dict[str, str]:
    """What the caller set, be it in the environment or in Python."""
    values = {name: getattr(settings, name) for name in settings.model_fields_set}
    return {f"FACEPASS_{name.upper()}": str(v) for name, v in values.items() if v is not None}


@dataclass(frozen=True)
class StackPlan:
    """Every address, key and variable of one start."""

    settings: Settings  # the caller's, with this stack's home and model
    root: Path
    worker_name: str
    api_url: str
    public_url: str  # where guests' links lead
    prefect_api_url: str
    prefect_port: int | None  # None: the server is somebody else's
    s3: S3Server | None  # None: the store is somebody else's
    cluster: PostgresCluster | None
    environment: dict[str, str]  # what others need to join: stack.env
    push_environment: dict[str, str]  # what uploaders need: push.env
    child_environment: dict[str, str]

    @property
    def pool(self) -> str:
        """The Prefect work pool of this installation."""
        return name_pool(self.settings.installation)

    @property
    def worker_environment(self) -> dict[str, str]:
        """What flow runs get: not the API's secrets."""
        return {k: v for k, v in self.child_environment.items() if k not in API_ONLY}

    @property
    def prefect_environment(self) -> dict[str, str]:
        """What Prefect's server gets: it reads no photo, face or row of the product."""
        environment = self.child_environment.items()
        return {
            k: v for k, v in environment if not k.startswith(("FACEPASS_", "AWS_")) or k == MARK
        }


def plan_stack(settings: Settings, home: StackHome, *, lan: bool = False) -> StackPlan:
    """Settle ports, keys and addresses; `lan`: phones of the same network reach the API.

    Raises StackError for a port that is taken.
    """
    key: dict[str, str] = {}
    if lan:
        settings, key[API_KEY] = open_to_lan(settings, home.path)
    external_prefect = os.environ.get("PREFECT_API_URL")
    embeds_s3 = not settings.s3_bucket
    wanted = [PublicPort("API", "FACEPASS_API_PORT", settings.api_host, settings.api_port)]
    if not external_prefect:
        port = settings.prefect_port
        wanted.append(PublicPort("Prefect", "FACEPASS_PREFECT_PORT", LOOPBACK, port))
    if embeds_s3:
        wanted.append(PublicPort("S3", "FACEPASS_S3_PORT", LOOPBACK, settings.s3_port))
    ports = settle_ports(wanted)
    prefect_port = ports.get("FACEPASS_PREFECT_PORT")
    needs_postgres = not settings.database_url or not external_prefect
    cluster = locate_cluster(home.path) if needs_postgres else None
    s3 = None
    if embeds_s3:
        internal = settle_internal_ports(home.path / "s3-ports.json", list(ports.values()))
        s3 = S3Server(
            ports["FACEPASS_S3_PORT"],
            internal,
            load_keys(home.path / "s3-keys.json"),
            load_keys(home.path / "s3-upload-keys.json"),
        )
    api_url = f"http://{_name_local_host(settings.api_host)}:{ports['FACEPASS_API_PORT']}"
    if lan:
        public_url = build_lan_url(settings, ports["FACEPASS_API_PORT"])
        settings = settings.model_copy(update={"public_url": public_url})
    prefect_api_url = external_prefect or f"http://{LOOPBACK}:{prefect_port}/api"
    environment = {
        "FACEPASS_HOME": str(home.path),
        "FACEPASS_API_URL": api_url,
        "FACEPASS_DATABASE_URL": settings.database_url or (cluster.database_url if cluster else ""),
        **describe_s3(settings, s3, s3.keys if s3 else None),
        "PREFECT_API_URL": prefect_api_url,
        "FACEPASS_INSTALLATION": settings.installation,
        **(
            {}
            if external_prefect
            else {AUTH_VARIABLE: load_password(home.path / "prefect-password")}
        ),
        "PREFECT_LOCAL_STORAGE_PATH": str(home.path / "results"),
        **describe_model(settings, home.path),
    }
    return StackPlan(
        settings=settings.model_copy(
            update={
                "home": home.path,
                "model_pack": environment["FACEPASS_MODEL_PACK"],
                "model_root": Path(environment["FACEPASS_MODEL_ROOT"]),
            }
        ),
        root=find_root(),
        worker_name=f"facepass-{hashlib.sha256(os.fsencode(home.path)).hexdigest()[:8]}",
        api_url=api_url,
        public_url=settings.public_url or api_url,
        prefect_api_url=prefect_api_url,
        prefect_port=prefect_port,
        s3=s3,
        cluster=cluster,
        environment={**environment, **key},
        push_environment={
            "FACEPASS_API_URL": api_url,
            **key,
            **describe_s3(settings, s3, s3.upload_keys if s3 else None),
        },
        child_environment={
            **build_base_environment(embeds_s3=embeds_s3, embeds_prefect=not external_prefect),
            **export_settings(settings),
            **CLIENT_SETTINGS,
            **environment,
            "FACEPASS_API_HOST": settings.api_host,
            "FACEPASS_API_PORT": str(ports["FACEPASS_API_PORT"]),
            # Prefect's own folder: the profile in the user's home must not matter.
            "PREFECT_HOME": str(home.path / "prefect"),
            **keep_bytecode(home.path),
            MARK: home.mark,
        },
    )


def find_root() -> Path:
    """The project's folder, where prefect.yaml is."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "prefect.yaml").is_file():
        raise StackError(f"prefect.yaml is not in {root}: start the stack from a checkout.")
    return root


def _name_local_host(host: str) -> str:
    """How this machine reaches a server that listens on `host`."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not bound
        return LOOPBACK
    return f"[{host}]" if ":" in host else host
