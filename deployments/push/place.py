"""Where to push to: the stack that runs in this folder, or what the environment names."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deployments.demo_event import read_stack
from models.errors import ConfigurationError, StackError
from models.settings import Settings, get_settings

LOOPBACK_NAMES = "127.0.0.1,localhost"


@dataclass(frozen=True)
class Place:
    """The API and its key; the settings lead to S3."""

    api_url: str
    api_key: str | None
    settings: Settings


def find_place() -> Place:
    """Join the running stack, or take the environment as it is.

    Joining changes this process's environment: boto3 reads its credentials there. Raises
    ConfigurationError.
    """
    joined = join_environment(os.environ, get_settings().home)
    for name in os.environ.keys() - joined.keys():
        del os.environ[name]
    os.environ.update(joined)
    get_settings.cache_clear()
    settings = get_settings()
    settings.require_s3_bucket()
    key = os.environ.get("FACEPASS_API_KEY", "").strip()
    return Place(os.environ["FACEPASS_API_URL"].rstrip("/"), key or None, settings)


def join_environment(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """The variables to push with. Raises ConfigurationError where nothing says where to."""
    if environment.get("FACEPASS_API_URL"):
        return dict(environment)
    try:
        stack = read_stack(home)
    except StackError as error:
        raise ConfigurationError(
            "There is nothing to push to: start `make up` in this folder in another terminal, or "
            "set FACEPASS_API_URL, FACEPASS_S3_BUCKET and AWS's credentials."
        ) from error
    kept = dict(environment)
    if "AWS_ACCESS_KEY_ID" in stack:  # a profile or session token beside these keys breaks them
        kept = {name: value for name, value in kept.items() if not name.startswith("AWS_")}
    around = environment.get("NO_PROXY") or environment.get("no_proxy")
    no_proxy = ",".join(filter(None, [around, LOOPBACK_NAMES]))
    return {**kept, **stack, "NO_PROXY": no_proxy, "no_proxy": no_proxy}
