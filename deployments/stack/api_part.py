"""The product's own REST API as a part of the stack."""

import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from deployments.stack.parts import Part
from deployments.stack.waiting import NotReadyError

NAME = "API"


def build_api(*, root: Path, env: Mapping[str, str], log: Path) -> Part:
    """The product's own REST API; it reads its address from the environment."""
    return Part(
        name=NAME,
        argv=[sys.executable, "-m", "api"],
        env=env,
        log=log,
        cwd=root,
    )


def require_api(url: str) -> None:
    """Raises NotReadyError until it answers."""
    try:
        httpx.get(f"{url}/health", timeout=5.0, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise NotReadyError(str(error)) from error
