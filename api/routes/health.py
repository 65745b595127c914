"""The routes `/health` (this process answers) and `/ready` (a sync can be started now).

`/ready` asks PostgreSQL, S3 and Prefect at the same time and waits a few seconds for each. Where
guests' pictures come straight from S3, it opens a link for guests every few minutes too.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import anyio
import anyio.from_thread
from fastapi import APIRouter, Depends, Request
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.errors import RETRY_AFTER, ApiError, describe_errors
from api.schemas import Health
from api.security import limit_rate
from deployments.orchestrator import Orchestrator
from models.errors import FacePassError
from models.session import check_tables
from models.settings import get_settings
from models.vocabulary import ErrorCode

logger = logging.getLogger(__name__)

router = APIRouter(tags=["health"])

PATIENCE_S = 2.5
FRESH_S = 5.0  # seconds for which one scrape's answer serves the next
LINKS = "S3 (links for guests)"
# Threads that hang in a part that does not answer must not take all of the API's.
_THREADS_A_PART = 2


class ReadinessProbe:
    """The three checks, with threads of their own."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._checks: dict[str, Callable[[], Awaitable[None]]] = {
            "PostgreSQL": _build_check("postgresql", partial(check_tables, PATIENCE_S)),
            "S3": _build_check("s3", _check_bucket),
            "Prefect": orchestrator.check_deployment,
        }
        if get_settings().photo_delivery == "s3":  # else guests open none
            self._checks[LINKS] = _build_check("s3-links", _check_links)

    @property
    def parts(self) -> list[str]:
        """Names of the parts that are asked."""
        return [*self._checks]

    async def list_missing(self) -> list[str]:
        """Names of the parts that are away; the reasons may hold addresses and go to the log."""
        missing: set[str] = set()
        async with anyio.create_task_group() as tasks:
            for part, check in self._checks.items():
                tasks.start_soon(self._ask, part, check, missing)
        return [part for part in self._checks if part in missing]

    async def _ask(
        self, part: str, check: Callable[[], Awaitable[None]], missing: set[str]
    ) -> None:
        reason = f"no answer in {PATIENCE_S:.0f} s"
        with anyio.move_on_after(PATIENCE_S) as patience:
            try:
                await check()
            except FacePassError as error:
                reason = str(error)
            except Exception as error:
                reason = f"unexpected {type(error).__name__}"
                logger.exception("The check of %s failed.", part)
            else:
                return
        if part == LINKS and patience.cancelled_caught:
            return  # it goes on for the next call; whether S3 is away is told by S3's own check
        missing.add("S3" if part == LINKS else part)
        logger.warning("Not ready: %s: %s", part, reason)


class ReadinessCollector(Collector):
    """The same checks for /metrics: a gauge a part, asked when Prometheus scrapes."""

    def __init__(self, probe: ReadinessProbe) -> None:
        self._probe = probe
        self._asked_at = 0.0
        self._missing: list[str] | None = None

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must ask nobody."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """The gauge; called in a scrape's thread, while the event loop asks."""
        if self._missing is None or time.monotonic() - self._asked_at > FRESH_S:
            self._missing = anyio.from_thread.run(self._probe.list_missing)
            self._asked_at = time.monotonic()
        family = GaugeMetricFamily(
            "facepass_part_up", "Whether a part answered, as /ready asks it", labels=["part"]
        )
        for part in self._probe.parts:
            family.add_metric([part], part not in self._missing)
        yield family


@router.get("/health")
async def read_health() -> Health:
    """The process answers; nothing else is asked."""
    return Health()


@router.get(
    "/ready",
    dependencies=[Depends(limit_rate("open"))],
    responses=describe_errors(429, 503),
)
async def read_readiness(request: Request) -> Health:
    """PostgreSQL, S3 and Prefect answer, so a sync could be started; 503 says what is missing."""
    probe: ReadinessProbe = request.app.state.readiness
    if missing := await probe.list_missing():
        parts = ", ".join(missing)
        detail = f"Not ready, no answer from: {parts}; the API's log says why."
        raise ApiError(503, detail, ErrorCode.NOT_READY, RETRY_AFTER)
    return Health()


def _check_bucket() -> None:
    """Raise S3AccessError or S3DownloadError unless the bucket can be listed."""
    from tasks.s3.bucket import get_guests_bucket  # boto3 is slow to import: not at the start

    get_guests_bucket().check()


def _check_links() -> None:
    """Raise S3AccessError or S3DownloadError where S3 refuses a link for guests."""
    from tasks.s3.bucket import get_guests_bucket
    from tasks.s3.links import get_link_signer

    get_link_signer().check(get_guests_bucket())


def _build_check(part: str, check: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    # Not anyio's threads: of one that is given up, its limiter would forget that it still hangs.
    threads = ThreadPoolExecutor(_THREADS_A_PART, thread_name_prefix=f"ready-{part}")

    async def ask() -> None:
        await asyncio.wrap_future(threads.submit(check))

    return ask
