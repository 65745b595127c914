"""Access of a guest to an event's gallery: who comes in, and which photos they see.

What guests hold is signed by the event's own key: a pass opens a photo, a cookie shows that the PIN
is known, a consent's id that it was given. Where an event shows its guests only their own photos,
nothing but a pass, which a search gives with each photo it found, opens a picture.
"""

import hmac
import secrets
from hashlib import scrypt, sha256
from time import time
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Request, Response
from sqlmodel import Session

from api.gallery.texts import hash_consent
from models.errors import (
    GalleryClosedError,
    PhotoNotFoundError,
    PinRequiredError,
    SelfieError,
)
from models.queries.events import find_gallery
from models.settings import get_settings
from models.tables import Event, utc_now
from models.vocabulary import SelfieCode, Visibility

PASS_S = 12 * 3600  # seconds for which a pass opens its photo
_STEP_S = 3600  # passes end at whole hours: a photo's address stays the same meanwhile
_SALT_BYTES = 16


# --- who comes in ---


def enter_gallery(session: Session, gallery_token: str, request: Request) -> Event:
    """The event whose guest this is.

    Raises EventNotFoundError, GalleryClosedError, and PinRequiredError for a guest who has not
    told the PIN.
    """
    return admit_guest(find_gallery(session, gallery_token), request)


def admit_guest(event: Event, request: Request) -> Event:
    """The event, where its guest may come in. Raises GalleryClosedError and PinRequiredError."""
    require_open(event)
    if event.pin_hash is not None:
        shown = request.cookies.get(_name_cookie(event), "")
        if not _are_same(_build_cookie(event), shown):
            raise PinRequiredError("This gallery asks its guests for a PIN.")
    return event


def find_open_gallery(session: Session, gallery_token: str) -> Event:
    """The event with this link, its PIN not asked.

    Raises EventNotFoundError and GalleryClosedError.
    """
    event = find_gallery(session, gallery_token)
    require_open(event)
    return event


def require_open(event: Event) -> None:
    """Raise GalleryClosedError where the gallery has been closed."""
    if event.closes_at is not None and event.closes_at <= utc_now():
        raise GalleryClosedError("This gallery is closed: ask the photographer.", event.closes_at)


def hash_pin(pin: str) -> str:
    """What is stored of a PIN: its salt and its scrypt hash."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"{salt.hex()}.{_stretch(pin, salt)}"


def fits_pin(pin: str, stored: str) -> bool:
    """Whether this is the PIN that was hashed."""
    salt, _, digest = stored.partition(".")
    return _are_same(digest, _stretch(pin, bytes.fromhex(salt)))


def keep_pin(response: Response, event: Event, request: Request) -> None:
    """Have the guest's browser remember that the PIN is known, until it is closed.

    For all paths, since the search is not the gallery's. Another PIN or link ends it.
    """
    response.set_cookie(
        _name_cookie(event),
        _build_cookie(event),
        path=request.scope.get("root_path", "") or "/",
        httponly=True,
        samesite="lax",
        secure=_is_encrypted(request),
    )


def _name_cookie(event: Event) -> str:
    return f"facepass_pin_{event.id}"


def _build_cookie(event: Event) -> str:
    return _sign(event, f"pin {event.pin_hash}")


def _is_encrypted(request: Request) -> bool:
    """Whether the guest's browser speaks https, perhaps to a proxy that does not say so."""
    public = urlsplit(get_settings().public_url or "")
    by_proxy = public.scheme == "https" and public.netloc == request.headers.get("host")
    return request.url.scheme == "https" or by_proxy


def _stretch(pin: str, salt: bytes) -> str:
    return scrypt(pin.encode("utf-8", "replace"), salt=salt, n=2**14, r=8, p=1, dklen=32).hex()


# --- which photos they see ---


def may_list(event: Event) -> bool:
    """Whether guests see photos, counts and names of files that no search of theirs has found."""
    return event.visibility != Visibility.OWN  # the database gives its word alone


def build_pass(event: Event, photo_id: int) -> str | None:
    """What opens a photo for the guest whose selfie found it; None where no photo needs any."""
    if may_list(event):
        return None
    end = (int(time()) // _STEP_S) * _STEP_S + PASS_S
    return f"{end}.{_sign_pass(event, photo_id, end)}"


def require_pass(event: Event, photo_id: int, given: str) -> None:
    """Raise PhotoNotFoundError unless a guest with this pass may see the photo."""
    if may_list(event):
        return
    end, _, signature = given.partition(".")
    is_number = end.isascii() and end.isdecimal() and len(end) < 12
    fits = is_number and _are_same(_sign_pass(event, photo_id, int(end)), signature)
    if not fits or int(end) <= time():
        raise PhotoNotFoundError("This photo is not in this gallery.")


def _sign_pass(event: Event, photo_id: int, end: int) -> str:
    return _sign(event, f"photo {photo_id} until {end}")


# --- consents ---


def sign_consent(event: Event, consent_id: UUID) -> str:
    """The id of a consent as its guest shows it with a search."""
    signature = _sign(event, f"consent {consent_id.hex} to {hash_consent()}")
    return f"{consent_id.hex}.{signature}"


def require_consent(event: Event, given: str) -> None:
    """Raise SelfieError unless this is a consent to the text as it is now, given for this event."""
    consent_id, _, signature = given.partition(".")
    if not _are_same(_sign(event, f"consent {consent_id} to {hash_consent()}"), signature):
        raise SelfieError(
            "A guest's search needs their consent: send as `consent` what "
            "POST /gallery/{gallery_token}/consents answers.",
            SelfieCode.CONSENT_NEEDED,
        )


def sign_state(event: Event, state: object) -> str:
    """A word that is new with the state, and tells nothing of it."""
    return _sign(event, f"state {state}")[:16]


def _sign(event: Event, message: str) -> str:
    return hmac.new(event.guest_key.bytes, message.encode(), sha256).hexdigest()[:32]


def _are_same(expected: str, shown: str) -> bool:
    return hmac.compare_digest(expected.encode(), shown.encode("utf-8", "replace"))
