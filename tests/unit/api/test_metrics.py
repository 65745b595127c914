"""Figures as Prometheus reads them."""

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from api.metrics import describe_statistics
from models.statistics import Statistics
from models.tables import PhotoStatus, SyncState


def build_statistics(**photos: int) -> Statistics:
    return Statistics(
        syncs=dict.fromkeys(SyncState, 2),
        photos={status: photos.get(status.value, 0) for status in PhotoStatus},
        faces=311,
        processed=120,
        skipped=30,
        sync_seconds=64.5,
        s3_errors=1,
        seconds_per_photo=0.5 if photos else None,
    )


def write(statistics: Statistics) -> str:
    class Fixed(Collector):
        def collect(self) -> list[Metric]:
            return list(describe_statistics(statistics))

    registry = CollectorRegistry()
    registry.register(Fixed())
    return generate_latest(registry).decode()


def test_the_guides_four_metrics_are_there() -> None:
    figures = write(build_statistics(indexed=6, no_face=1, failed=3))
    assert "facepass_photos_processed_total 120.0" in figures
    assert "facepass_photo_seconds 0.5" in figures
    assert "facepass_photos_success_ratio 0.7" in figures
    assert "facepass_photos_skipped_total 30.0" in figures


def test_every_state_and_status_has_a_figure() -> None:
    figures = write(build_statistics())
    for state in SyncState:
        assert f'facepass_syncs{{state="{state.value}"}} 2.0' in figures
    for status in PhotoStatus:
        assert f'facepass_photos{{status="{status.value}"}} 0.0' in figures


def test_nothing_is_claimed_before_the_first_photo() -> None:
    figures = write(build_statistics())
    assert "success_ratio" not in figures
    assert "photo_seconds" not in figures
