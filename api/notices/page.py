"""HTTP routes for the page of a subscription, to which every message leads.

There a guest confirms, looks at their photos and withdraws. Opening it changes nothing, since mail
programs open links by themselves; a withdrawal by one press follows RFC 8058.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import anyio.from_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from api.bulkheads.threads import Kind, get_bulkhead, in_threads
from api.gallery.access import admit_guest
from api.gallery.photos import describe_photo
from api.gallery.rendering import (
    PRIVATE,
    GalleryRoute,
    build_page_headers,
    read_base,
    read_language,
    render_page,
)
from api.routes.search import get_queue
from api.security import name_address
from models.errors import FacePassError, GalleryClosedError, PinRequiredError, SelfieError
from models.keys import build_notices_name
from models.queries.guests.subscriptions import (
    Withdrawal,
    confirm_subscription,
    find_subscription,
    read_person,
    withdraw_address,
)
from models.queries.photos import EventClock, PageCursor, list_gallery_photos
from models.session import open_session
from models.settings import get_settings
from models.tables import utc_now
from tasks.notices.links import fits_notice, read_notice_id
from tasks.s3.links import get_link_signer

if TYPE_CHECKING:
    from models.tables import Event

logger = logging.getLogger(__name__)

MOST_SHOWN = 1_000  # photos on the page

router = APIRouter(prefix="/gallery/notices", route_class=GalleryRoute)


@dataclass(frozen=True)
class Kept:
    """What is kept under a link. person: the pack's identity, and the vector."""

    subscription_id: UUID
    event: "Event"
    is_confirmed: bool
    person: tuple[str, Any]


@router.get("/{token}")
async def read_page(token: str, request: Request) -> Response:
    """The page: what is kept, the guest's photos once the address has answered, and the way out."""
    kept = await get_bulkhead(Kind.PAGES).run(partial(_find, token))
    if kept is None:
        return _render(request, 404, "gone")
    if not kept.is_confirmed:
        return _render(request, 200, "asked", kept)
    try:
        admit_guest(kept.event, request)
        work = partial(_list_photos, kept)
        photos = await get_queue(request.app.state).compute(name_address(request), work)
    except (PinRequiredError, GalleryClosedError) as error:
        return _render(request, 200, "pin" if isinstance(error, PinRequiredError) else "over", kept)
    except SelfieError:  # the event's model is being changed, or was
        return _render(request, 200, "away", kept)
    return _render(request, 200, "photos", kept, photos)


@router.get("/{token}/withdraw")
async def lead_back(token: str, request: Request) -> Response:
    """The page: who opens the link of a mail's header by hand has pressed nothing yet."""
    return await read_page(token, request)


@router.post("/{token}/confirm")
@in_threads(Kind.PAGES)
def confirm(token: str, request: Request) -> Response:
    """Record that the address is its owner's wish; photos since then are told of soon."""
    kept = _find(token)
    if kept is None:
        return _render(request, 404, "gone")
    with open_session() as session:
        is_new = confirm_subscription(session, kept.subscription_id)
    if is_new:
        logger.info("Event %d: a guest has confirmed to be told", kept.event.id)
        _tell_soon(kept.event, request)
    home = f"{read_base(request)}/gallery/notices/{token}?lang={read_language(request)}"
    return RedirectResponse(home, 303, headers=PRIVATE)


@router.post("/{token}/withdraw")
@in_threads(Kind.PAGES)
def withdraw(token: str, request: Request) -> Response:
    """Delete all that is kept of an address; the receipt counts it. Doing it twice is harmless."""
    kept = _find(token)
    receipt = Withdrawal(0, 0, utc_now())
    if kept is not None:
        with open_session() as session:
            receipt = withdraw_address(session, kept.subscription_id)
        logger.info("Event %d: a guest has withdrawn from notices", kept.event.id)
    if "text/html" in request.headers.get("accept", ""):
        return _render(request, 200, "withdrawn", receipt=receipt)
    answer = asdict(receipt) | {"erased_at": receipt.erased_at.isoformat()}
    return JSONResponse(answer, headers=PRIVATE)


def _find(token: str) -> Kept | None:
    subscription_id = read_notice_id(token)
    if subscription_id is None:
        return None
    with open_session() as session:
        found = find_subscription(session, subscription_id)
        if found is None or not fits_notice(found[1], subscription_id, token):
            return None
        subscription, event = found
        person = read_person(session, subscription)
    return Kept(subscription_id, event, subscription.confirmed_at is not None, person)


def _list_photos(kept: Kept) -> list[dict[str, Any]]:
    """The photos that surely show the guest now, as pages know them, in the gallery's order."""
    from tasks.notices.find import find_sure_photos

    event = kept.event
    found = find_sure_photos(event, *kept.person)[:MOST_SHOWN]
    with open_session() as session:
        photos = list_gallery_photos(
            session,
            event.id or 0,
            after=PageCursor(EventClock.from_row(event)),
            limit=len(found),
            photo_ids=found,
        )
    return [describe_photo(event, photo) for photo in photos]


def _tell_soon(event: "Event", request: Request) -> None:
    """Have the guest told of photos that came since they asked."""
    start = partial(
        request.app.state.orchestrator.start_notices,
        event_id=event.id or 0,
        run_name=build_notices_name(event.name),
        delay_s=get_settings().notice_delay_s,
    )
    try:
        anyio.from_thread.run(start)
    except FacePassError as error:
        logger.warning("Guests of event %d are told after the next sync: %s", event.id, error)


def _render(
    request: Request,
    status: int,
    state: str,
    kept: Kept | None = None,
    photos: Sequence[dict[str, Any]] = (),
    receipt: Withdrawal | None = None,
) -> Response:
    language, base = read_language(request), read_base(request)
    page = render_page(
        "notices.html",
        language,
        base,
        state=state,
        event=kept and kept.event,
        photos=photos,
        receipt=receipt,
        here=f"{base}/gallery/notices/{request.path_params['token']}",
    )
    is_direct = get_settings().photo_delivery == "s3"
    link = get_link_signer().sign_view("any") if is_direct and photos else ""
    return HTMLResponse(page, status, headers=build_page_headers(link))
