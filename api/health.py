"""Is the API alive, and could it do its work?"""

from typing import Literal

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel

from api.errors import describe_errors
from api.rate_limits import limit_rate
from api.readiness import ReadinessProbe

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The one good answer."""

    status: Literal["ok"] = "ok"


@router.get("/health")
async def read_health() -> Health:
    """The process answers; nothing else is asked."""
    return Health()


@router.get(
    "/ready",
    dependencies=[Depends(limit_rate("open"))],
    responses=describe_errors(429, 503),
)
async def read_readiness(request: Request) -> Health:
    """PostgreSQL, S3 and Prefect answer, so a sync could be started; 503 says what is missing."""
    probe: ReadinessProbe = request.app.state.readiness
    if missing := await probe.list_missing():
        parts = ", ".join(missing)
        raise HTTPException(503, f"Not ready, no answer from: {parts}; the API's log says why.")
    return Health()
