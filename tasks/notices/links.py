"""Links in guests' notices: each leads to the one page of its subscription, and is signed.

The key is the event's: a new gallery link, or an erasure, ends every such link, together with the
subscriptions. Who has the link may look at the guest's photos, confirm and withdraw; nothing else.
"""

import hmac
from hashlib import sha256
from typing import Any
from urllib.parse import quote
from uuid import UUID

from models.errors import ConfigurationError
from models.settings import get_settings
from models.tables import Event

_DIGITS = 32  # of a signature, and of an id
_DIGIT = frozenset("0123456789abcdef")


def build_notice_url(event: Event, subscription_id: UUID) -> str:
    """The page of a subscription. Raises ConfigurationError without FACEPASS_PUBLIC_URL."""
    base = get_settings().public_url
    if not base:
        raise ConfigurationError(
            "Guests' notices hold links: set FACEPASS_PUBLIC_URL for the API and the workers."
        )
    return f"{base}/gallery/notices/{quote(sign_notice(event, subscription_id))}"


def describe_guest(
    event: Event, subscription_id: UUID, address: str, language: str
) -> dict[str, Any]:
    """What the webhook's receiver needs to pass a message on. Raises ConfigurationError."""
    return {
        "subscription_id": str(subscription_id),
        "address": address,
        "language": language,
        "page_url": build_notice_url(event, subscription_id),
    }


def sign_notice(event: Event, subscription_id: UUID) -> str:
    """The token of a subscription."""
    message = f"facepass notice {subscription_id.hex}".encode()
    signature = hmac.new(event.guest_key.bytes, message, sha256).hexdigest()[:_DIGITS]
    return f"{subscription_id.hex}.{signature}"


def read_notice_id(token: str) -> UUID | None:
    """The subscription that a token names; None for what is no token. Nothing is checked yet."""
    name, _, signature = token.partition(".")
    if {len(name), len(signature)} != {_DIGITS} or not _DIGIT.issuperset(name + signature):
        return None
    return UUID(name)


def fits_notice(event: Event, subscription_id: UUID, token: str) -> bool:
    """Whether a token is the one that was given for this subscription."""
    expected = sign_notice(event, subscription_id)
    return hmac.compare_digest(expected.encode(), token.encode("utf-8", "replace"))
