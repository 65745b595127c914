"""The delivery of webhooks for ended syncs: at least once, with retries for up to 24 hours.

An API process claims a delivery, sends it outside any transaction, then records the result. If the
process dies, another one takes over what it had claimed. Messages are signed as the Standard
Webhooks specification says.
"""

import base64
import binascii
import json
import logging
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import anyio
import anyio.to_thread
import httpx
from prometheus_client import CollectorRegistry, Counter
from standardwebhooks import Webhook

from api.security import is_loopback
from models.errors import ConfigurationError, FacePassError
from models.queries.webhooks import claim_deliveries, mark_delivered, mark_failed
from models.session import open_session
from models.settings import Settings
from models.tables import WebhookDelivery, utc_now

logger = logging.getLogger(__name__)

SEND_LIMIT_S = 15.0  # for a whole attempt, however slowly an answer trickles in
INTERVAL_S = 2.0
OUTAGE_INTERVAL_S = 15.0  # each round that fails is a line in the log
AT_ONCE = 4  # a process's attempts in flight
LEASE = timedelta(seconds=4 * SEND_LIMIT_S)
FIRST_DELAY_S, LONGEST_DELAY_S = 10.0, 3600.0
GIVEN_UP_AFTER = timedelta(hours=24)
SECRET_PREFIX = "whsec_"  # noqa: S105 (how every secret begins)
SECRET_BYTES = range(24, 65)
_HOW_TO_MAKE_ONE = '`echo "whsec_$(openssl rand -base64 32)"` makes one'


@dataclass(frozen=True)
class Receiver:
    """Where webhooks go; neither the address nor the secret is ever logged."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    limit_s: float = SEND_LIMIT_S


@dataclass(frozen=True)
class Answer:
    """The receiver's answer to an attempt; `error` is None where it took the message."""

    error: str | None = None
    is_gone: bool = False  # it wants no webhooks any more
    retry_after_s: float | None = None


class DeliveryMetrics:
    """Counts of this process's attempts, by their outcome."""

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


def read_receiver(settings: Settings) -> Receiver | None:
    """The receiver that the settings name; None for none. Raises ConfigurationError."""
    if not settings.webhook_url:
        return None
    try:
        url = httpx.URL(settings.webhook_url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(
            "FACEPASS_WEBHOOK_URL is no address: write https://host/path."
        ) from error
    is_local = url.scheme == "http" and is_loopback(url.host)
    if not url.host or not (url.scheme == "https" or is_local):
        raise ConfigurationError(
            "FACEPASS_WEBHOOK_URL must start with https://; http:// is for this machine alone."
        )
    return Receiver(settings.webhook_url, _check_secret(settings.webhook_secret))


async def deliver_webhooks(receiver: Receiver, metrics: DeliveryMetrics) -> None:
    """Deliver what is due again and again, until cancelled; an outage is waited out."""
    async with open_receiver_client(receiver) as client:
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
    """Make one attempt for each of the deliveries longest due; returns how many there were.

    Raises DatabaseUnavailableError.
    """
    deliveries = await anyio.to_thread.run_sync(_claim_due)

    async def deliver(delivery: WebhookDelivery) -> None:
        answer = await send_message(client, receiver, delivery.message_id, delivery.payload)
        try:
            metrics.count(await anyio.to_thread.run_sync(_record_attempt, delivery, answer))
        except FacePassError as error:
            # It is claimed again after the lease: sent twice rather than never.
            logger.warning("A delivery cannot be recorded: %s", error)

    async with anyio.create_task_group() as tasks:
        for delivery in deliveries:
            tasks.start_soon(deliver, delivery)
    return len(deliveries)


def open_receiver_client(receiver: Receiver) -> httpx.AsyncClient:
    """The client that sends to the receiver.

    No redirect is followed: a signed body belongs to the receiver that was named. No proxy is
    taken from the environment: what is set there for other programs must not read webhooks. An
    authority of one's own (SSL_CERT_FILE) is.
    """
    return httpx.AsyncClient(
        timeout=receiver.limit_s,
        follow_redirects=False,
        trust_env=False,
        verify=httpx.create_ssl_context(),
    )


async def send_message(
    client: httpx.AsyncClient, receiver: Receiver, message_id: str, payload: dict[str, Any]
) -> Answer:
    """Make one attempt; the receiver's answer, of which no more than the head is read."""
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    headers = sign_message(receiver.secret, message_id, utc_now(), body)
    headers |= {"content-type": "application/json", "user-agent": "facepass-sync"}
    try:
        with anyio.fail_after(receiver.limit_s):
            async with client.stream(
                "POST", receiver.url, content=body.encode(), headers=headers
            ) as response:
                return judge_answer(response.status_code, response.headers.get("retry-after"))
    except (TimeoutError, httpx.TimeoutException):
        return Answer(f"no answer within {receiver.limit_s:g} s")
    except httpx.HTTPError as error:
        # Its text may hold the address; its kind is enough.
        return Answer(f"the receiver cannot be reached ({type(error).__name__})")


def sign_message(secret: str, message_id: str, sent_at: datetime, body: str) -> dict[str, str]:
    """The headers that prove to a receiver who sent a body, and when; `sent_at` in UTC."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, sent_at, body),
    }


def judge_answer(status: int, retry_after: str | None) -> Answer:
    """Read a status: 2xx took the message, 410 wants no more, anything else is tried again."""
    if 200 <= status < 300:
        return Answer()
    return Answer(
        f"the receiver answered {status}",
        is_gone=status == httpx.codes.GONE,
        retry_after_s=_read_retry_after(retry_after),
    )


def decide_delay(delivery: WebhookDelivery, answer: Answer) -> timedelta | None:
    """When to try again; None for a receiver that wants no more, or has failed for a day."""
    if answer.is_gone or utc_now() - delivery.created_at >= GIVEN_UP_AFTER:
        return None
    chance = random.random()  # noqa: S311 (spreads attempts, hides nothing)
    return timedelta(seconds=compute_delay(delivery.attempts, chance, answer.retry_after_s))


def compute_delay(attempts: int, chance: float, asked_s: float | None = None) -> float:
    """Seconds until the next attempt: 10 s doubling to an hour, less up to half by chance (0..1).

    A receiver may ask for more (`asked_s`), also up to an hour; never for less.
    """
    doubled = FIRST_DELAY_S * 2.0 ** min(attempts - 1, 16)
    delay = min(doubled, LONGEST_DELAY_S) * (1 - chance / 2)
    return max(delay, min(asked_s or 0.0, LONGEST_DELAY_S))


def _check_secret(secret: str | None) -> str:
    if not secret:
        raise ConfigurationError(
            "FACEPASS_WEBHOOK_URL is set without FACEPASS_WEBHOOK_SECRET, which signs what is "
            f"sent there: {_HOW_TO_MAKE_ONE}; the receiver needs the same."
        )
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
        raise ConfigurationError(
            "FACEPASS_WEBHOOK_SECRET must be whsec_ and 24 to 64 random bytes in base64: "
            f"{_HOW_TO_MAKE_ONE}."
        )
    return secret


def _read_retry_after(value: str | None) -> float | None:
    """Seconds, as a number or until a date; None where neither is there."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max((parsedate_to_datetime(value) - utc_now()).total_seconds(), 0.0)
    except (ValueError, TypeError):  # no date, or one without a zone
        return None


def _claim_due() -> list[WebhookDelivery]:
    with open_session() as session:
        return list(claim_deliveries(session, limit=AT_ONCE, lease=LEASE))


def _record_attempt(delivery: WebhookDelivery, answer: Answer) -> str:
    """Record how an attempt ended; returns its outcome in one word."""
    with open_session() as session:
        if answer.error is None:
            mark_delivered(session, delivery)
            return "delivered"
        delay = decide_delay(delivery, answer)
        mark_failed(session, delivery, error=answer.error, delay=delay)
    if delay is None:
        logger.warning("Notice %s is given up: %s", delivery.message_id, answer.error)
        return "given_up"
    logger.info("Notice %s is sent again later: %s", delivery.message_id, answer.error)
    return "retried"
