"""`GET /metrics`: what Prometheus scrapes. No event's name, key or token is in it.

Syncs run in other processes, on other machines too: their figures are read from PostgreSQL at the
scrape. Four of them are the guide's: photos processed, seconds a photo, share of success, skipped.
"""

import logging
from collections.abc import Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from models.errors import FacePassError
from models.session import open_session
from models.statistics import Statistics, read_statistics
from models.tables import PhotoStatus

logger = logging.getLogger(__name__)

router = APIRouter(tags=["health"])

READABLE = (PhotoStatus.INDEXED, PhotoStatus.NO_FACE)


@router.get("/metrics", response_class=Response)
def read_metrics(request: Request) -> Response:
    """Figures of all syncs, and of this process, in Prometheus's text form."""
    registry: CollectorRegistry = request.app.state.metrics
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def build_registry() -> CollectorRegistry:
    """An application's own registry: two applications in one process do not share figures."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    # `describe` would ask the database at every start.
    registry.register(SyncCollector())
    return registry


class SyncCollector(Collector):
    """The figures in PostgreSQL; `facepass_up 0` alone where it does not answer."""

    def describe(self) -> Iterator[Metric]:
        """Nothing: what is collected needs the database."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Read the figures anew."""
        try:
            with open_session() as session:
                statistics = read_statistics(session)
        except FacePassError as error:
            logger.warning("No figures of syncs: %s", error)
            yield GaugeMetricFamily("facepass_up", "Whether the database answers.", 0)
            return
        yield GaugeMetricFamily("facepass_up", "Whether the database answers.", 1)
        yield from describe_statistics(statistics)


def describe_statistics(figures: Statistics) -> Iterator[Metric]:
    """The figures as metrics."""
    syncs = GaugeMetricFamily("facepass_syncs", "Syncs by their state.", labels=["state"])
    for state, count in figures.syncs.items():
        syncs.add_metric([state.value], count)
    photos = GaugeMetricFamily("facepass_photos", "Photos by their status.", labels=["status"])
    for status, count in figures.photos.items():
        photos.add_metric([status.value], count)
    yield from (syncs, photos)
    yield GaugeMetricFamily("facepass_faces", "Faces that can be found.", figures.faces)
    yield CounterMetricFamily(
        "facepass_photos_processed", "Photos that syncs have read.", figures.processed
    )
    yield CounterMetricFamily(
        "facepass_photos_skipped", "Photos that syncs knew already.", figures.skipped
    )
    yield CounterMetricFamily(
        "facepass_sync_seconds", "Seconds that finished syncs took.", figures.sync_seconds
    )
    yield CounterMetricFamily(
        "facepass_s3_errors", "Attempts that failed because of S3.", figures.s3_errors
    )
    if figures.seconds_per_photo is not None:
        yield GaugeMetricFamily(
            "facepass_photo_seconds",
            "Seconds a photo took in the latest fifty syncs that read any.",
            figures.seconds_per_photo,
        )
    readable = sum(figures.photos[status] for status in READABLE)
    judged = readable + figures.photos[PhotoStatus.FAILED]
    if judged:
        yield GaugeMetricFamily(
            "facepass_photos_success_ratio",
            "Share of photos that could be read.",
            readable / judged,
        )
