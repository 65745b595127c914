"""HTTP routes for what guests tell a gallery and learn from it besides pictures.

They are the PIN, the consent to be searched for, a request about a photo, the live state and the
studio's logo.
"""

from functools import partial
from hashlib import sha256
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, Field

from api.bulkheads.threads import Kind, in_threads
from api.errors import ApiError
from api.gallery.access import (
    enter_gallery,
    find_open_gallery,
    fits_pin,
    keep_pin,
    may_list,
    require_pass,
    sign_consent,
    sign_state,
)
from api.gallery.conditional import is_known
from api.gallery.rendering import PRIVATE, GalleryRoute, ask_for_pin, read_base, read_language
from api.gallery.texts import Language, hash_consent, tell
from api.security import count_misses, count_try, read_wait
from models.errors import PhotoNotFoundError
from models.queries.guests.looks import find_logo
from models.queries.guests.wishes import add_consent, add_request
from models.queries.photos import read_gallery_state
from models.queries.runs import find_active_run
from models.session import open_session
from models.vocabulary import ErrorCode, GuestRequestKind

# Of one address at one event; only wrong PINs count, since a party's guests may share an address.
# Tries of short PINs, of which there are ten thousand, are counted apart: no try fits a PIN of
# another length.
PIN_TRIES = ("30/minute", "300/hour")
LONG_PIN_TRIES = ("60/minute", "600/hour")
_LONG_PIN = 6  # digits
REQUEST_TRIES = ("20/minute", "200/hour")
_LONGEST_PIN = 64

router = APIRouter(prefix="/gallery", route_class=GalleryRoute)
asked_router = APIRouter(
    prefix="/gallery", route_class=GalleryRoute
)  # what open pages ask by themselves


class ConsentForm(BaseModel):
    """A guest's consent: to the text of which version, read in which language."""

    version: str
    language: Language


class RequestForm(BaseModel):
    """A guest's request about a photo, with its pass where photos need one."""

    photo_id: int = Field(ge=1, le=2**63 - 1)
    kind: GuestRequestKind
    pass_: str | None = Field(None, alias="pass")


@router.post("/{gallery_token}/pin")
@in_threads(Kind.PAGES)
def take_pin(
    gallery_token: str, request: Request, pin: Annotated[str, Form(max_length=_LONGEST_PIN)] = ""
) -> Response:
    """A guest's PIN, from the form: the right one leads to the gallery."""
    with open_session() as session:
        event = find_open_gallery(session, gallery_token)
    language = read_language(request)
    pin, what, tries = pin.strip(), f"pin {event.id}", PIN_TRIES
    if len(pin) >= _LONG_PIN:
        what, tries = f"long {what}", LONG_PIN_TRIES
    if event.pin_hash is not None:
        if (wait_s := read_wait(what, tries, request)) is not None:
            return ask_for_pin(request, "slow", wait_s)
        if not fits_pin(pin, event.pin_hash):
            count_try(what, tries, request)
            return ask_for_pin(request, "wrong")
    home = f"{read_base(request)}/gallery/{gallery_token}?lang={language}"
    answer = RedirectResponse(home, 303, headers=PRIVATE)
    if event.pin_hash is not None:
        keep_pin(answer, event, request)
    return answer


@router.post("/{gallery_token}/consents")
@in_threads(Kind.PAGES)
def take_consent(gallery_token: str, request: Request, body: ConsentForm) -> JSONResponse:
    """A consent, recorded; its answer is what the guest's searches show."""
    if body.version != hash_consent():
        raise ApiError(
            422, "The text has changed meanwhile: load the page again.", ErrorCode.TEXT_CHANGED
        )
    with open_session() as session:
        event = enter_gallery(session, gallery_token, request)
        consent_id = add_consent(session, event, version=body.version, language=body.language)
    return JSONResponse({"consent": sign_consent(event, consent_id)}, 201, headers=PRIVATE)


@router.post("/{gallery_token}/requests")
@in_threads(Kind.PAGES)
def take_request(gallery_token: str, request: Request, body: RequestForm) -> JSONResponse:
    """A request about a photo, for the photographer; the same one twice is one."""
    with open_session() as session:
        event = enter_gallery(session, gallery_token, request)
        require_pass(event, body.photo_id, body.pass_ or "")
        what = f"request {event.id}"
        if (wait_s := read_wait(what, REQUEST_TRIES, request)) is not None:
            detail = f"Too many requests: try again in {wait_s} seconds."
            again = {"Retry-After": str(wait_s)}
            raise ApiError(429, detail, ErrorCode.TOO_MANY_CALLS, again)
        count_try(what, REQUEST_TRIES, request)
        is_new = add_request(session, event, body.photo_id, body.kind)
    return JSONResponse({"is_new": is_new}, 201 if is_new else 200, headers=PRIVATE)


@asked_router.get("/{gallery_token}/status")
@in_threads(Kind.PAGES)
def read_status(gallery_token: str, request: Request) -> Response:
    """Whether more photos are being added, and a word that is new with each that was.

    How many there are is told where guests see all of them. 304 where nothing has changed.
    """
    with count_misses(request), open_session() as session:
        event = enter_gallery(session, gallery_token, request)
        state = read_gallery_state(session, event.id or 0)
        syncing = find_active_run(session, event.id or 0) is not None
    status: dict[str, Any] = {"syncing": syncing, "newest": sign_state(event, state)}
    if may_list(event):
        words = partial(tell, read_language(request), "photos")
        status |= {"photos": state.photos, "photos_text": words(state.photos)}
    else:
        status |= {"photos": None, "photos_text": None}
    return _answer_unless_known(request, JSONResponse(status))


@router.get("/{gallery_token}/logo")
@in_threads(Kind.PAGES)
def read_logo(gallery_token: str, request: Request) -> Response:
    """The studio's logo."""
    with open_session() as session:
        event = enter_gallery(session, gallery_token, request)
        logo = find_logo(session, event.id or 0)
    if logo is None:
        raise PhotoNotFoundError("This event has no logo.")
    return _answer_unless_known(request, Response(logo.content, media_type="image/webp"))


def _answer_unless_known(request: Request, answer: Response) -> Response:
    """The answer with its ETag, or 304 for a browser that has it."""
    etag = f'"{sha256(bytes(answer.body)).hexdigest()[:24]}"'
    headers = {
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        "Referrer-Policy": "no-referrer",
    }
    if is_known(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    answer.headers.update(headers)
    return answer
