"""The application: one connection to Prefect for its whole life, a watch over runs, the routers."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from api import erasure, events, gallery, health, metrics, search, sync, upkeep
from api.body_limits import BodyLimit
from api.deps import require_api_key
from api.errors import describe_errors, install_error_handlers
from api.observing import RequestMetrics, RequestObserver
from api.security_headers import SecurityHeaders
from api.watch import watch_runs
from deployments.orchestrator import open_orchestrator
from models.settings import get_settings


@asynccontextmanager
async def _hold_orchestrator(app: FastAPI) -> AsyncIterator[None]:
    # Whoever serves the application: uvicorn's access log prints paths, a gallery's token in them.
    logging.getLogger("uvicorn.access").disabled = True
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
    for router in (sync.router, events.router, upkeep.router, erasure.router):
        app.include_router(
            router, dependencies=photographers, responses=describe_errors(401, 403, 413, 429)
        )
    for open_router in (search.router, health.router, metrics.router, gallery.router):
        app.include_router(open_router)
    _add_middleware(app)
    return app


def _add_middleware(app: FastAPI) -> None:
    """From the inside out: the last one added sees a request first."""
    app.state.metrics = metrics.build_registry()
    app.add_middleware(BodyLimit)
    origins = [one.strip() for one in (get_settings().cors_origins or "").split(",") if one.strip()]
    if origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=origins, allow_methods=["*"], allow_headers=["X-API-Key"]
        )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestObserver, metrics=RequestMetrics(app.state.metrics))
