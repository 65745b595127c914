"""Is the API alive, and could it do its work?"""

from typing import Literal

import anyio.from_thread
from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import text

from api.deps import OrchestratorDep
from api.errors import describe_errors
from models.session import open_session

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The one good answer."""

    status: Literal["ok"] = "ok"


@router.get("/health")
def read_health() -> Health:
    """The process answers; nothing else is asked."""
    return Health()


@router.get("/ready", responses=describe_errors(503))
def read_readiness(orchestrator: OrchestratorDep) -> Health:
    """The database answers and a sync could be started; 503 says which part is missing."""
    with open_session() as session:
        session.execute(text("SELECT 1 FROM event LIMIT 1"))
    anyio.from_thread.run(orchestrator.check_deployment)
    return Health()
