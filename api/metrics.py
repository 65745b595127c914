"""The route `/metrics` for Prometheus, and the metrics that it shows.

Figures about syncs are read from PostgreSQL at scrape time, because syncs run in other processes.
HTTP calls are counted in this process, by route template, so no label holds an event's name, an S3
key or a token.
"""

import threading
import time
from collections.abc import Iterable

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from api.bulkheads.threads import Kind, in_threads
from api.security import limit_rate
from models.errors import FacePassError
from models.queries.statistics import Statistics, read_statistics
from models.session import open_session

router = APIRouter(tags=["health"])

# Errors are JSON, though the good answer is plain text.
_JSON = {
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}},
}
FRESH_S = 5.0  # seconds for which one reading of the tables serves everybody
_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    dependencies=[Depends(limit_rate("open"))],
    responses={
        429: {"description": "Too Many Requests", **_JSON},
        503: {"description": "Service Unavailable", **_JSON},
    },
)
@in_threads(Kind.SCRAPES)
def read_metrics(request: Request) -> PlainTextResponse:
    """Metrics in Prometheus's text form."""
    text = generate_latest(request.app.state.registry).decode()
    return PlainTextResponse(text, media_type=CONTENT_TYPE_LATEST)


class HttpMetrics:
    """This process's calls, and how long they took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "facepass_http_requests",
            "HTTP calls of this process",
            ("method", "route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "facepass_http_request_seconds",
            "How long a call took, in seconds",
            ("method", "route"),
            buckets=_BUCKETS_S,
            registry=registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one call."""
        self._calls.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)


class TablesCollector(Collector):
    """The tables' aggregates; only `facepass_database_up 0` where they cannot be read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = 0.0
        self._counts: Statistics | None = None

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not ask the database."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The metrics of one scrape."""
        counts = self._read()
        up = counts is not None
        yield GaugeMetricFamily("facepass_database_up", "Whether PostgreSQL answered", value=up)
        if counts is not None:
            yield from _build_metrics(counts)

    def _read(self) -> Statistics | None:
        with self._lock:
            if time.monotonic() - self._read_at > FRESH_S or self._counts is None:
                try:
                    with open_session() as session:
                        self._counts = read_statistics(session)
                except FacePassError:
                    self._counts = None
                self._read_at = time.monotonic()
            return self._counts


def _build_metrics(counts: Statistics) -> Iterable[Metric]:
    for name, help_text, label, values in (
        ("syncs", "Syncs by outcome (or state, while they last)", "state", counts.syncs),
        (
            "syncs_stopped_by_s3",
            "Syncs that wait or failed because of S3",
            "state",
            counts.stopped_by_s3,
        ),
        ("photos", "Photos by status", "status", counts.photos),
        ("photos_failed", "Failed photos by reason", "reason", counts.failed),
    ):
        family = GaugeMetricFamily(f"facepass_{name}", help_text, labels=[label])
        for word, count in values.items():
            family.add_metric([str(word)], count)
        yield family
    for name, help_text, value in (
        ("faces", "Faces stored", counts.faces),
        ("photos_processed", "Photos processed by all syncs (guide's metric 1)", counts.processed),
        ("photos_success_ratio", "Share of photos read (metric 3)", counts.success_ratio),
        ("photos_skipped", "Photos that syncs knew already (metric 4)", counts.skipped),
        ("webhook_waiting", "Notices of ended syncs not delivered yet", counts.deliveries_waiting),
        ("guest_requests_waiting", "Guests' requests not settled yet", counts.requests_waiting),
        (
            "guest_request_oldest_seconds",
            "How long the oldest of them has waited, in seconds",
            counts.oldest_request_s,
        ),
    ):
        yield GaugeMetricFamily(f"facepass_{name}", help_text, value=value)
    yield SummaryMetricFamily(
        "facepass_photo_seconds",
        "Seconds of completed syncs and their photos: sum / count is the time a photo (metric 2)",
        count_value=counts.timed,
        sum_value=counts.seconds,
    )
