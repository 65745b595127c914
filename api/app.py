"""The application: one connection to Prefect for its whole life, a watch over runs, the routers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import Depends, FastAPI

from api import events, gallery, health, search, sync
from api.deps import require_api_key
from api.errors import describe_errors, install_error_handlers
from api.watch import watch_runs
from deployments.orchestrator import open_orchestrator


@asynccontextmanager
async def _hold_orchestrator(app: FastAPI) -> AsyncIterator[None]:
    async with open_orchestrator() as orchestrator, anyio.create_task_group() as tasks:
        app.state.orchestrator = orchestrator
        tasks.start_soon(watch_runs, orchestrator)
        yield
        tasks.cancel_scope.cancel()


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
    app.include_router(search.router)
    app.include_router(health.router)
    app.include_router(gallery.router)
    return app
