"""The HTTP route by which a guest asks to be told of new photos: address, consent, face token.

The answer is the same whether an address is known, new, or asked too often: it names nobody.
"""

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.bulkheads.threads import Kind, get_bulkhead
from api.errors import ApiError
from api.gallery.access import enter_gallery
from api.gallery.face_tokens import open_face
from api.gallery.rendering import PRIVATE
from api.gallery.texts import Language, hash_consent
from api.routes.search import get_queue
from api.security import count_try, name_address, read_wait
from models.errors import FacePassError, MailUnavailableError
from models.queries.events import read_event
from models.queries.guests.subscriptions import (
    Wish,
    add_subscription,
    lock_event_key,
    mark_told,
    withdraw_subscription,
)
from models.queries.webhooks import add_guest_delivery
from models.session import open_session
from models.settings import get_settings
from models.vocabulary import ErrorCode, SubscriptionChannel
from tasks.notices.channel import choose_channel, read_address
from tasks.notices.letters import Letter, write_letter
from tasks.notices.links import build_notice_url, describe_guest
from tasks.notices.mail import open_mail_server, read_mail_server, send_mail

if TYPE_CHECKING:
    from models.tables import Event

logger = logging.getLogger(__name__)

# Of one caller, in all events: a party's guests may share an address, and each asks once.
TRIES = ("15/minute", "60/hour")
CONSENT = "notice_consent"  # the text that is agreed to
_LONGEST = 320  # letters of what is given as an address
_OFF = "This gallery sends no notices."
_NOT_SENT = "The message could not be sent: look at the address, or try again later."

router = APIRouter(prefix="/gallery")


class NoticeForm(BaseModel):
    """A guest's wish: the consent's version and language, where to, and whom to look for."""

    version: str
    language: Language
    address: str = Field(max_length=_LONGEST)
    face_token: str


@dataclass(frozen=True)
class Asked:
    """A wish that may be kept, before the guest's photos are looked for."""

    event: "Event"
    channel: SubscriptionChannel
    address: str
    pack: str
    embedding: Any


@router.post("/{gallery_token}/notices")
async def take_wish(gallery_token: str, request: Request, body: NoticeForm) -> JSONResponse:
    """Keep a wish, and ask the address whether it is its owner's; 202 whoever owns it.

    What the guest's selfie finds now counts as told.
    """
    asked = await get_bulkhead(Kind.PAGES).run(partial(_read_wish, gallery_token, request, body))
    queue = get_queue(request.app.state)
    photos, pack_id = await queue.compute(name_address(request), partial(_look, asked))
    wish = Wish(
        asked.channel,
        asked.address,
        pack_id,
        asked.embedding,
        hash_consent(CONSENT),
        body.language,
    )
    subscription_id = await get_bulkhead(Kind.PAGES).run(partial(_keep, asked, wish, photos))
    if subscription_id is not None and asked.channel is SubscriptionChannel.EMAIL:
        try:
            await get_bulkhead(Kind.NOTICES).run(
                partial(_ask_by_mail, asked, wish, subscription_id)
            )
        except FacePassError as error:
            logger.warning("A guest's address could not be asked: %s", error)
            await get_bulkhead(Kind.PAGES).run(partial(_forget, subscription_id))
            raise ApiError(503, _NOT_SENT, ErrorCode.MAIL_UNAVAILABLE) from error
    logger.info("Event %d: a guest asks for notices", asked.event.id)
    return JSONResponse({"channel": asked.channel}, 202, headers=PRIVATE)


def _read_wish(gallery_token: str, request: Request, body: NoticeForm) -> Asked:
    """The wish, checked. Raises ApiError, AddressRefusedError, SelfieError."""
    with open_session() as session:
        event = enter_gallery(session, gallery_token, request)
    channel = choose_channel(get_settings())
    if channel is None or not event.notices or event.erased_at is not None:
        raise ApiError(404, _OFF, ErrorCode.NOTICES_OFF)
    if body.version != hash_consent(CONSENT):
        raise ApiError(
            409, "The text has changed meanwhile: load the page again.", ErrorCode.TEXT_CHANGED
        )
    if (wait_s := read_wait("notice", TRIES, request)) is not None:
        detail = f"Too many requests: try again in {wait_s} seconds."
        again = {"Retry-After": str(wait_s)}
        raise ApiError(429, detail, ErrorCode.TOO_MANY_CALLS, again)
    count_try("notice", TRIES, request)
    address = read_address(channel, body.address)
    pack, _, embedding = open_face(event, body.face_token)
    return Asked(event, channel, address, pack, embedding)


def _look(asked: Asked) -> tuple[list[int], int]:
    """The photos that the guest has found, and the number of the vector's pack."""
    from tasks.notices.find import find_sure_photos, register_vectors

    photos = find_sure_photos(asked.event, asked.pack, asked.embedding)
    return photos, register_vectors(asked.event, asked.pack)


def _keep(asked: Asked, wish: Wish, photos: list[int]) -> UUID | None:
    with open_session() as session:
        lock_event_key(session, asked.event.id or 0)
        # Erased, switched off or given a new link while the photos were looked for: this vector
        # would outlive the erasure's receipt.
        event = read_event(session, asked.event.id or 0)
        if not event.notices or event.guest_key != asked.event.guest_key:
            raise ApiError(404, _OFF, ErrorCode.NOTICES_OFF)
        subscription_id = add_subscription(session, asked.event, wish)
        if subscription_id is None:
            return None
        mark_told(session, subscription_id, photos)
        if asked.channel is SubscriptionChannel.WEBHOOK:
            guest = subscription_id, asked.address, wish.language
            about = describe_guest(asked.event, *guest)
            add_guest_delivery(session, asked.event, "asked", about)
    return subscription_id


def _ask_by_mail(asked: Asked, wish: Wish, subscription_id: UUID) -> None:
    """Ask an address whether it is its owner's wish.

    Raises AddressRefusedError and MailUnavailableError.
    """
    server = read_mail_server(get_settings())
    if server is None:
        raise MailUnavailableError("No mail server is configured: set FACEPASS_SMTP_URL.")
    link = build_notice_url(asked.event, subscription_id)
    letter = Letter("ask", wish.address, wish.language, asked.event.name, link)
    with open_mail_server(server) as connection:
        send_mail(connection, write_letter(letter, server.sender))


def _forget(subscription_id: UUID) -> None:
    """Delete what could not be asked about."""
    with open_session() as session:
        withdraw_subscription(session, subscription_id)
