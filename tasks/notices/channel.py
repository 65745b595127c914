"""The channel that guests' notices go by, as the settings allow, and the addresses it takes."""

import re

from models.errors import AddressRefusedError
from models.settings import Settings
from models.vocabulary import SubscriptionChannel

MOST_LETTERS = 254  # of an address (RFC 5321, 4.5.3.1.3)
_MOST_LOCAL = 64
# Of what RFC 5321 allows in front of the @ only what mailboxes have: no quotes, no routes (% and
# !), nothing that another program could take for an option.
_LOCAL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.+&'=~-]*[A-Za-z0-9_+-])?")
_DOMAIN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]+")


def choose_channel(settings: Settings) -> SubscriptionChannel | None:
    """The channel that guests are offered; None where none is configured.

    Messages hold links, which a worker builds: none without FACEPASS_PUBLIC_URL.
    """
    if not settings.public_url:
        return None
    if settings.smtp_url and settings.mail_from:
        return SubscriptionChannel.EMAIL
    if settings.webhook_url and settings.notice_contact:
        return SubscriptionChannel.WEBHOOK
    return None


def read_address(channel: SubscriptionChannel, given: str) -> str:
    """An address as it is kept. Raises AddressRefusedError, whose text does not repeat it."""
    address = given.strip()
    if channel is SubscriptionChannel.EMAIL:
        return read_mailbox(address)
    if not address or len(address) > MOST_LETTERS or not address.isprintable():
        raise AddressRefusedError("The address is empty, too long, or no text: write it anew.")
    return address


def read_mailbox(address: str) -> str:
    """An e-mail address, its domain as the DNS knows it. Raises AddressRefusedError."""
    local, _, domain = address.rpartition("@")
    try:
        domain = domain.encode("idna").decode().lower()
    except UnicodeError:
        domain = ""
    fits = _LOCAL.fullmatch(local) and ".." not in local and len(local) <= _MOST_LOCAL
    address = f"{local}@{domain}"
    if not fits or not _DOMAIN.fullmatch(domain) or len(address) > MOST_LETTERS:
        raise AddressRefusedError("This is no e-mail address: write it as name@example.com.")
    return address
