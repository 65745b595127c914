"""The receiver of notices: where it is, how a notice is signed for it, and what it answers.

Signed as the Standard Webhooks specification says, so that its libraries can verify it.
"""

import base64
import binascii
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import anyio
import httpx
from standardwebhooks import Webhook

from api.local_only import is_loopback
from models.errors import ConfigurationError
from models.settings import Settings
from models.tables import utc_now

SEND_LIMIT_S = 15.0  # for all of one attempt: a receiver that dribbles is one that hangs
SECRET_PREFIX = "whsec_"  # noqa: S105 (how every secret begins)
SECRET_BYTES = range(24, 65)
_HOW_TO_MAKE_ONE = '`echo "whsec_$(openssl rand -base64 32)"` makes one'


@dataclass(frozen=True)
class Receiver:
    """Where notices go; neither of the two is ever logged."""

    url: str = field(repr=False)
    secret: str = field(repr=False)
    limit_s: float = SEND_LIMIT_S


@dataclass(frozen=True)
class Answer:
    """What became of an attempt; `error` is None where the receiver took the notice."""

    error: str | None = None
    is_gone: bool = False  # wants no notices any more
    retry_after_s: float | None = None


def read_receiver(settings: Settings) -> Receiver | None:
    """Who is told of ended syncs; None for nobody. Raises ConfigurationError."""
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


def sign_notice(secret: str, message_id: str, sent_at: datetime, body: str) -> dict[str, str]:
    """The headers that tell a receiver who sent a body, and when; `sent_at` in UTC."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(sent_at.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, sent_at, body),
    }


@asynccontextmanager
async def open_client(receiver: Receiver) -> AsyncIterator[httpx.AsyncClient]:
    """The client that delivers.

    No redirect is followed: a signed body belongs to the receiver that was named. No proxy is
    taken from the environment: what stands there for other programs must not read notices. An
    authority of one's own (SSL_CERT_FILE) is.
    """
    async with httpx.AsyncClient(
        timeout=receiver.limit_s,
        follow_redirects=False,
        trust_env=False,
        verify=httpx.create_ssl_context(),
    ) as client:
        yield client


async def send_notice(
    client: httpx.AsyncClient, receiver: Receiver, message_id: str, payload: dict[str, Any]
) -> Answer:
    """Make one attempt; the receiver's answer, of which no more than the head is read."""
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    headers = sign_notice(receiver.secret, message_id, utc_now(), body)
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


def judge_answer(status: int, retry_after: str | None) -> Answer:
    """What a status means: 2xx took the notice, 410 wants no more, anything else is tried again."""
    if 200 <= status < 300:
        return Answer()
    return Answer(
        f"the receiver answered {status}",
        is_gone=status == httpx.codes.GONE,
        retry_after_s=_read_retry_after(retry_after),
    )


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
