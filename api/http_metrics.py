"""What this process counts of its own calls, by route template: paths hold tokens."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class HttpMetrics:
    """Calls and how long they took."""

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
