"""The variables of the stack: what the children get, and what others need to join it."""

import os
import sys
from pathlib import Path

from deployments.stack.s3 import BUCKET, REGION, Keys
from models.settings import Settings

LOOPBACK = "127.0.0.1"
# How the embedded Prefect works, not which server it is or who may use it.
HARMLESS = ("PREFECT_LOGGING_", "PREFECT_SERVER_SERVICES_", "PREFECT_SERVER_EVENTS_")
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
    around = environment.get("NO_PROXY") or environment.get("no_proxy")
    no_proxy = ",".join(filter(None, [around, LOOPBACK, "localhost"]))
    return {**environment, "NO_PROXY": no_proxy, "no_proxy": no_proxy, "PYTHONUNBUFFERED": "1"}


def keep_bytecode(home: Path) -> dict[str, str]:
    """Where nothing may be written beside the sources, compiled ones go into the home.

    Else each of the many processes would compile Prefect anew: 29 s for a start instead of 15 s,
    and seconds more for every flow run.
    """
    if not sys.dont_write_bytecode or "PYTHONPYCACHEPREFIX" in os.environ:
        return {}
    return {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(home / "pycache")}


def describe_s3(settings: Settings, port: int | None, keys: Keys | None) -> dict[str, str]:
    """Where the photos are; `keys` only if the store is the embedded one."""
    if keys is None:
        # The keys stay where the user has them: AWS's usual chain finds them there.
        outside = {"FACEPASS_S3_BUCKET": settings.require_s3_bucket()}
        if settings.s3_endpoint_url:
            outside["FACEPASS_S3_ENDPOINT_URL"] = settings.s3_endpoint_url
        return outside
    return {
        "FACEPASS_S3_ENDPOINT_URL": f"http://{LOOPBACK}:{port}",
        "FACEPASS_S3_BUCKET": BUCKET,
        "AWS_ACCESS_KEY_ID": keys.access,
        "AWS_SECRET_ACCESS_KEY": keys.secret,
        "AWS_DEFAULT_REGION": REGION,
    }


def describe_model(settings: Settings, home: Path) -> dict[str, str]:
    """The model pack: what is set, or the one that needs no network."""
    chosen = settings.model_fields_set
    pack = settings.model_pack if "model_pack" in chosen else OFFLINE_PACK
    root = settings.model_root.expanduser().resolve() if "model_root" in chosen else home
    if os.sep in pack or Path(pack).is_dir():
        pack = str(Path(pack).expanduser().resolve())  # children work in another folder
    return {"FACEPASS_MODEL_PACK": pack, "FACEPASS_MODEL_ROOT": str(root)}


def export_settings(settings: Settings) -> dict[str, str]:
    """What the caller set, be it in the environment or in Python."""
    values = {name: getattr(settings, name) for name in settings.model_fields_set}
    return {f"FACEPASS_{name.upper()}": str(v) for name, v in values.items() if v is not None}
