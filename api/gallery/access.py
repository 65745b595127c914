"""Access of a guest to an event's gallery: who comes in, and which photos they see.

A pass is a signature over a photo's id by the event's own key; a search gives one with each photo
it found. Where an event shows its guests only their own photos, nothing else opens a picture.
"""

import hmac
from hashlib import sha256
from time import time

from fastapi import Request
from sqlmodel import Session

from models.errors import PhotoNotFoundError
from models.queries.events import find_gallery
from models.tables import Event
from models.vocabulary import Visibility

PASS_S = 12 * 3600  # seconds for which a pass opens its photo
_STEP_S = 3600  # passes end at whole hours: a photo's address stays the same meanwhile


def enter_gallery(session: Session, gallery_token: str, request: Request) -> Event:  # noqa: ARG001
    """The event whose guest this is. Raises EventNotFoundError."""
    return find_gallery(session, gallery_token)


def build_pass(event: Event, photo_id: int) -> str | None:
    """What opens a photo for the guest whose selfie found it; None where no photo needs any."""
    if event.visibility != Visibility.OWN:
        return None
    end = (int(time()) // _STEP_S) * _STEP_S + PASS_S
    return f"{end}.{_sign(event, photo_id, end)}"


def require_pass(event: Event, photo_id: int, given: str) -> None:
    """Raise PhotoNotFoundError unless a guest with this pass may see the photo."""
    if event.visibility != Visibility.OWN:
        return
    end, _, signature = given.partition(".")
    is_number = end.isascii() and end.isdecimal() and len(end) < 12
    if is_number and int(end) > time():
        expected = _sign(event, photo_id, int(end))
        if hmac.compare_digest(expected.encode(), signature.encode()):
            return
    raise PhotoNotFoundError("This photo is not in this gallery.")


def _sign(event: Event, photo_id: int, end: int) -> str:
    message = f"photo {photo_id} until {end}".encode()
    return hmac.new(event.guest_key.bytes, message, sha256).hexdigest()[:32]
