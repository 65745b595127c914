"""OpenTelemetry's spans of the API's calls, where FACEPASS_TRACES asks for them.

A span holds the method, the route's template and the status. OpenTelemetry's own instrumentation
would write the path too, which can hold a guest's token, and the address of the caller.
"""

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.middleware import KNOWN_METHODS, NO_ROUTE, HttpMiddleware, WatchedSend
from models.errors import ConfigurationError
from models.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

SERVICE = "facepass-api"
OTHER_METHOD = "_OTHER"  # OpenTelemetry's word for one that HTTP does not have


def build_tracing(settings: Settings) -> "TracerProvider | None":
    """What makes spans and sends them; None where nobody asks. Raises ConfigurationError.

    OTEL_EXPORTER_OTLP_ENDPOINT and its kin say where to and which. It is not OpenTelemetry's
    global one: Prefect's client would put its own words into it.
    """
    if not settings.traces:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigurationError(
            "FACEPASS_TRACES=1 needs the extra otel, which is not installed: "
            "pip install 'facepass-sync[otel]', or unset FACEPASS_TRACES."
        ) from error
    resource = Resource.create({"service.name": SERVICE})
    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word.
    provider = TracerProvider(resource=resource.merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


class TraceCalls(HttpMiddleware):
    """Middleware: a span for each call, below the caller's own where `traceparent` names it."""

    def __init__(self, app: ASGIApp, provider: "TracerProvider") -> None:
        super().__init__(app)
        self._tracer = provider.get_tracer("facepass")

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on within its span."""
        from opentelemetry.trace import SpanKind, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        watched = WatchedSend(send)
        method = scope["method"] if scope["method"] in KNOWN_METHODS else OTHER_METHOD
        caller = TraceContextTextMapPropagator().extract(dict(Headers(scope=scope)))
        with self._tracer.start_as_current_span(
            method,
            context=caller,
            kind=SpanKind.SERVER,
            # An exception's text may hold a name or an address.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                await self._app(scope, receive, watched)
            finally:
                route = getattr(scope.get("route"), "path", NO_ROUTE)
                span.update_name(f"{method} {route}")
                span.set_attribute("http.request.method", method)
                span.set_attribute("http.route", route)
                span.set_attribute("http.response.status_code", watched.status)
                if watched.status >= 500:
                    span.set_status(StatusCode.ERROR)
