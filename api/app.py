"""The application: one connection to Prefect for its whole life, and the routers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from api import events, health, sync
from api.deps import require_api_key
from api.errors import describe_errors, install_error_handlers
from deployments.orchestrator import open_orchestrator


@asynccontextmanager
async def _hold_orchestrator(app: FastAPI) -> AsyncIterator[None]:
    async with open_orchestrator() as orchestrator:
        app.state.orchestrator = orchestrator
        yield


def create_app() -> FastAPI:
    """Build the application; uvicorn calls this as a factory."""
    app = FastAPI(
        title="FacePass Sync",
        description="An event's photos from S3 to findable faces.",
        lifespan=_hold_orchestrator,
    )
    install_error_handlers(app)
    photographers = [Depends(require_api_key)]
    for router in (sync.router, events.router):
        app.include_router(router, dependencies=photographers, responses=describe_errors(401))
    app.include_router(health.router)
    return app
