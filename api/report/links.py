"""Links to an event's report: signed by the event's own key, valid for an hour.

Whoever has the link may do what the page's buttons do. No cookie opens it, so that no foreign page
can press them.
"""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from time import time
from uuid import UUID

from sqlmodel import Session

from models.errors import EventNotFoundError
from models.queries.events import find_event
from models.tables import Event

LINK_S = 3600


@dataclass(frozen=True)
class ReportLink:
    """What stands in a link, and when it ends."""

    token: str
    expires_at: datetime


def sign_report(event: Event) -> ReportLink:
    """A new link to an event's report; another gallery link or an erasure ends it early."""
    end = int(time()) + LINK_S
    token = f"{event.uuid.hex}.{end}.{_sign(event, end)}"
    return ReportLink(token, datetime.fromtimestamp(end, UTC))


def enter_report(session: Session, token: str) -> Event:
    """The event whose report this link opens. Raises EventNotFoundError for any other link."""
    name, _, rest = token.partition(".")
    end, _, signature = rest.partition(".")
    try:
        event = find_event(session, UUID(name))
        is_open = int(end) > time()
    except ValueError as error:
        raise EventNotFoundError("Event not found") from error
    signed = _sign(event, int(end)).encode()
    if not hmac.compare_digest(signed, signature.encode("utf-8", "replace")) or not is_open:
        raise EventNotFoundError("Event not found")
    return event


def _sign(event: Event, end: int) -> str:
    message = f"report until {end}"
    return hmac.new(event.guest_key.bytes, message.encode(), sha256).hexdigest()
