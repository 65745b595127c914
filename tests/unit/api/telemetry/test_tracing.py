"""Spans of calls, as a collector receives them over HTTP."""

import sys
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from fastapi import FastAPI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from api.app import create_app
from api.middleware import NO_ROUTE
from models.errors import ConfigurationError
from models.settings import Settings
from tests.support.http_server import QuietHandler, serve_http
from tests.support.local_client import open_local_client

Traced = Callable[[], FastAPI]
TRACE = "0af7651916cd43dd8448eb211c80319c"
Calls = list[tuple[str, bytes]]


@pytest.fixture
def create_traced(monkeypatch: pytest.MonkeyPatch) -> Traced:
    """Builds an application that is asked for traces; it has no database."""
    monkeypatch.setattr("api.app.get_settings", lambda: Settings(traces=True))
    return create_app


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Calls]:
    """What a collector was sent, by path."""
    received: Calls = []

    class Collector(QuietHandler):
        def do_POST(self) -> None:  # noqa: N802 - http.server's name
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(200)

    with serve_http(Collector) as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        yield received


def read_spans(received: Calls) -> list[Span]:
    requests = [ExportTraceServiceRequest.FromString(body) for _, body in received]
    return [
        span
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def test_a_call_is_told_by_its_route_and_nothing_of_who_called(
    collector: Calls, create_traced: Traced
) -> None:
    app = create_traced()
    client = open_local_client(app, raise_server_exceptions=False)
    event, token, key = str(uuid4()), "gallery-token-of-a-guest", "the-key-of-a-photographer"
    headers = {"X-API-Key": key, "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    client.get("/health", headers=headers)
    client.get(f"/gallery/{token}?name=Anna", headers={"User-Agent": "a guest's phone"})
    client.get(f"/api/v1/events/{event}", headers=headers)
    client.get(f"/no/such/{token}")
    app.state.tracing.shutdown()

    assert {path for path, _ in collector} == {"/v1/traces"}
    spans = read_spans(collector)
    told = {
        span.name: {
            one.key: one.value.string_value or one.value.int_value for one in span.attributes
        }
        for span in spans
    }
    assert told["GET /health"] == {
        "http.request.method": "GET",
        "http.route": "/health",
        "http.response.status_code": 200,
    }
    names = ["/health", "/gallery/{gallery_token}", "/api/v1/events/{event_uuid}", NO_ROUTE]
    assert [span.name for span in spans] == [f"GET {name}" for name in names]
    assert {*told["GET /gallery/{gallery_token}"]} == {*told["GET /health"]}
    by_name = {span.name: span for span in spans}
    failed = by_name["GET /api/v1/events/{event_uuid}"]
    assert failed.status.code == Status.STATUS_CODE_ERROR  # no database is configured
    assert not any(span.events for span in spans)
    assert by_name["GET /health"].trace_id.hex() == TRACE
    assert by_name["GET /gallery/{gallery_token}"].trace_id.hex() != TRACE
    sent = b"".join(body for _, body in collector)
    assert b"facepass-api" in sent
    for secret in (event, token, key, "Anna", "phone", "testclient", "127.0.0.1"):
        assert secret.encode() not in sent, secret


def test_nothing_is_sent_unasked(collector: Calls) -> None:
    app = create_app()
    open_local_client(app).get("/health")
    assert app.state.tracing is None
    assert collector == []


def test_the_collectors_absence_harms_no_call(
    create_traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    app = create_traced()
    assert open_local_client(app).get("/health").status_code == 200
    app.state.tracing.shutdown()


def test_the_missing_extra_is_named(create_traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigurationError, match="extra otel"):
        create_traced()
