"""Deliveries: notices of ended syncs leave their table for the receiver, at least once each.

Every API process delivers. A notice is claimed in one short transaction, sent outside of any, and
settled in another: a receiver that hangs holds no connection, and a process that dies leaves its
claims to the others.
"""

import logging
import random
from datetime import timedelta

import anyio
import anyio.to_thread
import httpx
from prometheus_client import CollectorRegistry, Counter

from api.receiver import SEND_LIMIT_S, Answer, Receiver, open_client, send_notice
from models.errors import FacePassError
from models.queries.webhooks import claim_notices, mark_delivered, mark_failed
from models.session import open_session
from models.tables import WebhookDelivery, utc_now

logger = logging.getLogger(__name__)

INTERVAL_S = 2.0
OUTAGE_INTERVAL_S = 15.0  # each look that fails is a line in the log
AT_ONCE = 4  # a process's attempts in flight
LEASE = timedelta(seconds=4 * SEND_LIMIT_S)
FIRST_DELAY_S, LONGEST_DELAY_S = 10.0, 3600.0
GIVEN_UP_AFTER = timedelta(hours=24)


class DeliveryMetrics:
    """What this process's attempts came to."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "facepass_webhook_attempts",
            "This process's attempts to deliver a notice of an ended sync",
            ("outcome",),
            registry=registry,
        )
        for outcome in ("delivered", "retried", "given_up"):
            self._attempts.labels(outcome)

    def count(self, outcome: str) -> None:
        """Count one attempt."""
        self._attempts.labels(outcome).inc()


async def deliver_notices(receiver: Receiver, metrics: DeliveryMetrics) -> None:
    """Deliver what is due again and again, until cancelled; an outage is waited out."""
    async with open_client(receiver) as client:
        while True:
            pause_s = OUTAGE_INTERVAL_S
            try:
                found = await deliver_due(client, receiver, metrics)
                pause_s = 0.0 if found == AT_ONCE else INTERVAL_S
            except FacePassError as error:
                logger.warning("Notices cannot be delivered for now: %s", error)
            except Exception:
                logger.exception("A round of deliveries failed; the next one follows.")
            await anyio.sleep(pause_s)


async def deliver_due(
    client: httpx.AsyncClient, receiver: Receiver, metrics: DeliveryMetrics
) -> int:
    """One attempt for each of the notices longest due; how many there were.

    Raises DatabaseUnavailableError.
    """
    notices = await anyio.to_thread.run_sync(_claim)

    async def deliver(notice: WebhookDelivery) -> None:
        answer = await send_notice(client, receiver, notice.message_id, notice.payload)
        try:
            metrics.count(await anyio.to_thread.run_sync(_settle, notice, answer))
        except FacePassError as error:
            # Claimed again after the lease: sent twice rather than never.
            logger.warning("A delivery cannot be recorded: %s", error)

    async with anyio.create_task_group() as tasks:
        for notice in notices:
            tasks.start_soon(deliver, notice)
    return len(notices)


def _claim() -> list[WebhookDelivery]:
    with open_session() as session:
        return list(claim_notices(session, limit=AT_ONCE, lease=LEASE))


def _settle(notice: WebhookDelivery, answer: Answer) -> str:
    """Record what an attempt came to; its outcome in one word."""
    with open_session() as session:
        if answer.error is None:
            mark_delivered(session, notice)
            return "delivered"
        delay = decide_delay(notice, answer)
        mark_failed(session, notice, error=answer.error, delay=delay)
    if delay is None:
        logger.warning("Notice %s is given up: %s", notice.message_id, answer.error)
        return "given_up"
    logger.info("Notice %s is sent again later: %s", notice.message_id, answer.error)
    return "retried"


def decide_delay(notice: WebhookDelivery, answer: Answer) -> timedelta | None:
    """When to try again; None for a receiver that wants no more, or has failed for a day."""
    if answer.is_gone or utc_now() - notice.created_at >= GIVEN_UP_AFTER:
        return None
    chance = random.random()  # noqa: S311 (spreads attempts, hides nothing)
    return timedelta(seconds=compute_delay(notice.attempts, chance, answer.retry_after_s))


def compute_delay(attempts: int, chance: float, asked_s: float | None = None) -> float:
    """Seconds until the next attempt: 10 s doubling to an hour, less up to half by chance (0..1).

    A receiver may ask for more (`asked_s`), also up to an hour; never for less.
    """
    doubled = FIRST_DELAY_S * 2.0 ** min(attempts - 1, 16)
    delay = min(doubled, LONGEST_DELAY_S) * (1 - chance / 2)
    return max(delay, min(asked_s or 0.0, LONGEST_DELAY_S))
