"""Is the API alive, and could it do its work?"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

import anyio
import anyio.to_thread
from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel
from sqlalchemy import text

from api.deps import OrchestratorDep
from api.errors import describe_errors
from models.errors import FacePassError
from models.session import open_session

logger = logging.getLogger(__name__)

router = APIRouter(tags=["health"])

CHECK_LIMIT_S = 5.0
# Threads that checks may hold: one that hangs longer than its check's limit keeps its thread.
CHECK_THREADS = 8


class Health(BaseModel):
    """The one good answer."""

    status: Literal["ok"] = "ok"


@router.get("/health")
async def read_health() -> Health:
    """The process answers; nothing else is asked."""
    return Health()


@router.get("/ready", responses=describe_errors(503))
async def read_readiness(request: Request, orchestrator: OrchestratorDep) -> Health:
    """PostgreSQL, S3 and Prefect answer, each within seconds; 503 names what does not."""
    state = request.app.state
    if not hasattr(state, "check_threads"):
        state.check_threads = anyio.CapacityLimiter(CHECK_THREADS)
    in_thread = partial(
        anyio.to_thread.run_sync, abandon_on_cancel=True, limiter=state.check_threads
    )
    checks: dict[str, Callable[[], Awaitable[object]]] = {
        "PostgreSQL": lambda: in_thread(check_database),
        "S3": lambda: in_thread(check_storage),
        "Prefect": orchestrator.check_deployment,
    }
    missing = await find_missing(checks)
    if missing:
        raise HTTPException(
            503, f"Not ready: {', '.join(missing)} cannot be used; the API's log says why."
        )
    return Health()


async def find_missing(
    checks: dict[str, Callable[[], Awaitable[object]]], limit_s: float = CHECK_LIMIT_S
) -> list[str]:
    """Names of the parts whose check fails or takes too long; all are asked at the same time."""
    missing: set[str] = set()

    async def check(name: str) -> None:
        with anyio.move_on_after(limit_s) as scope:
            try:
                await checks[name]()
            except FacePassError as error:
                # Open to everybody: what is wrong stands in the log alone.
                logger.warning("Not ready, %s: %s", name, error)
                missing.add(name)
        if scope.cancelled_caught:
            logger.warning("Not ready, %s: no answer within %.0f s", name, limit_s)
            missing.add(name)

    async with anyio.create_task_group() as tasks:
        for name in checks:
            tasks.start_soon(check, name)
    return [name for name in checks if name in missing]


def check_database() -> None:
    """Raises DatabaseUnavailableError or DatabaseOutdatedError."""
    with open_session() as session:
        session.execute(text("SELECT 1 FROM event LIMIT 1"))


def check_storage() -> None:
    """Raises ConfigurationError, S3AccessError or S3DownloadError."""
    from tasks.storage import check_bucket, get_bucket  # boto3: not for the API's start

    check_bucket(get_bucket())
