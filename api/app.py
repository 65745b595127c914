"""The FastAPI application: its routers, its middleware and its background tasks.

The background tasks load the face engine, close dead runs, deliver webhooks and ask for the syncs
that uploads need. One connection to
Prefect stays open as long as the application runs.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from api import gallery, metrics, notices
from api.errors import describe_errors, install_error_handlers
from api.hooks.sns import SnsReceiver
from api.hooks.uploads import HookMetrics, UploadRequests
from api.metrics import HttpMetrics, TablesCollector
from api.middleware import (
    AccessLog,
    BelowPath,
    BodyLimits,
    CompressText,
    HeadRequests,
    LastResort,
    SecurityHeaders,
    silence_servers,
)
from api.reconcile import reconcile_runs
from api.reference import page as reference
from api.report import pages as report
from api.report.openings import write_openings
from api.routes import erasure, events, guests, health, hooks, posters, runs, search
from api.routes.health import ReadinessCollector, ReadinessProbe
from api.security import LocalOnly, limit_rate, read_api_keys, require_api_key
from api.telemetry.tracing import TraceCalls, build_tracing
from api.webhooks import DeliveryMetrics, deliver_webhooks, read_receiver
from deployments.orchestrator import open_orchestrator
from models.settings import Settings, get_settings
from tasks.notices.mail import read_mail_server

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

DISTRIBUTION = "facepass-sync"
PREFECT_PATIENCE_S = 15.0  # for each answer of Prefect's: people wait for it

DESCRIPTION = (
    "An event's photos from S3 to findable faces. Photographers show their key as `X-API-Key` "
    "where FACEPASS_API_KEYS is set. Every error has a sentence for people, `detail`, and a word "
    "for programs, `code`."
)
TAGS = [
    {"name": "sync", "description": "from a folder in S3 to faces that are found"},
    {"name": "events", "description": "an event, its photos, cameras, links and model"},
    {"name": "previews", "description": "made where a photographer uploads originals alone"},
    {"name": "erasure", "description": "forgetting faces, photos and events"},
    {"name": "guests", "description": "a guest's search, and what guests see and ask for"},
    {"name": "hooks", "description": "what object stores tell of uploads"},
    {"name": "health", "description": "for monitors"},
]


@asynccontextmanager
async def _manage_lifespan(app: FastAPI) -> AsyncIterator[None]:
    silence_servers()
    async with (
        open_orchestrator(PREFECT_PATIENCE_S) as orchestrator,
        anyio.create_task_group() as tasks,
    ):
        app.state.orchestrator = orchestrator
        app.state.readiness = ReadinessProbe(orchestrator)
        parts = ReadinessCollector(app.state.readiness)
        app.state.registry.register(parts)
        tasks.start_soon(reconcile_runs, orchestrator)
        tasks.start_soon(app.state.uploads.run, orchestrator)
        receiver = read_receiver(get_settings())
        if receiver is not None:
            tasks.start_soon(deliver_webhooks, receiver, app.state.delivery_metrics)
        tasks.start_soon(search.warm_engine, app.state)
        tasks.start_soon(write_openings)
        try:
            yield
        finally:
            app.state.registry.unregister(parts)  # its event loop ends
        tasks.cancel_scope.cancel()
    if app.state.tracing is not None:
        await anyio.to_thread.run_sync(app.state.tracing.shutdown)  # sends what waits


def create_app() -> FastAPI:
    """Build the application; uvicorn calls this as a factory. Raises ConfigurationError."""
    settings = get_settings()
    read_api_keys(settings)
    read_receiver(settings)
    read_mail_server(settings)
    # The application's own: two of them in one process do not share counts.
    registry = CollectorRegistry()
    tracing = build_tracing(settings)
    registry.register(TablesCollector())
    app = FastAPI(
        title="FacePass Sync",
        description=DESCRIPTION,
        version=read_version(),
        openapi_tags=TAGS,
        # The functions' names, as clients that are generated have them.
        generate_unique_id_function=name_operation,
        lifespan=_manage_lifespan,
        middleware=_stack_middleware(settings, HttpMetrics(registry), tracing),
        docs_url=None,  # those of FastAPI take their scripts from a CDN: api/reference has ours
        redoc_url=None,
    )
    app.state.registry = registry
    app.state.tracing = tracing
    app.state.delivery_metrics = DeliveryMetrics(registry)
    app.state.uploads = UploadRequests(HookMetrics(registry))
    app.state.sns = SnsReceiver()
    install_error_handlers(app)
    # First: most calls are for pictures, and routes are tried in this order.
    app.include_router(gallery.pictures_router)
    photographers = [Depends(require_api_key), Depends(limit_rate("photographer"))]
    for router in (runs.router, events.router, erasure.router, guests.router, posters.router):
        app.include_router(
            router,
            dependencies=photographers,
            responses=describe_errors(401, 403, 413, 422, 429, 503),
        )
    app.include_router(
        search.router,
        responses=describe_errors(401, 403, 408, 413, 429, 503),
    )
    app.include_router(report.router)
    for router in (notices.router, gallery.router, reference.router):
        app.include_router(router, dependencies=[Depends(limit_rate("guest"))])
    for router in (hooks.router, health.router, metrics.router):
        app.include_router(router)
    return app


def name_operation(route: APIRoute) -> str:
    """The operation's id in OpenAPI: the route's name."""
    return route.name


def read_version() -> str:
    """This release, as it was installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:  # the sources are run from a folder
        return "0+unknown"


def _stack_middleware(
    settings: Settings, http_metrics: HttpMetrics, tracing: "TracerProvider | None"
) -> list[Middleware]:
    """The middleware that every call passes, the outermost first."""
    origins = settings.list_cors_origins()
    cors = Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["X-API-Key", "Content-Type"],
    )
    base = settings.read_public_path()
    return [
        *([Middleware(BelowPath, base=base)] if base else []),
        *([Middleware(TraceCalls, provider=tracing)] if tracing else []),
        Middleware(AccessLog, metrics=http_metrics),
        Middleware(HeadRequests),
        Middleware(CompressText),
        Middleware(SecurityHeaders),
        Middleware(LocalOnly),
        *([cors] if origins else []),
        Middleware(LastResort),
        Middleware(BodyLimits),
    ]
