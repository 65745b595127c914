"""The REST route for an event's poster, whose QR code brings guests to its gallery."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from api.bulkheads.threads import Kind, in_threads
from api.deps import EventUuid, build_gallery_url
from api.errors import describe_errors
from api.gallery.texts import Language, choose_language
from api.posters.content import describe_poster
from api.posters.layout import Size, arrange
from api.posters.pdf import draw_pdf
from api.posters.svg import draw_svg
from models.queries.events import find_event
from models.queries.guests.looks import find_logo
from models.session import open_session
from models.settings import get_settings

TYPES = {"svg": "image/svg+xml", "pdf": "application/pdf"}
# What a browser that opens the file may load: the logo, which is within it.
POLICY = "default-src 'none'; img-src data:; base-uri 'none'; frame-ancestors 'none'"

router = APIRouter(prefix="/api/v1/events/{event_uuid}", tags=["events"])


@router.get(
    "/poster.{form}",
    response_class=Response,
    responses={
        200: {"content": {kind: {} for kind in TYPES.values()}},
        **describe_errors(400, 404, 503),
    },
)
@in_threads(Kind.BULK)
def read_poster(
    event_uuid: EventUuid,
    form: Literal["svg", "pdf"],
    request: Request,
    size: Annotated[Size, Query(description="a sheet of A4, or a table card of A6")] = "a4",
    language: Annotated[
        Language | None, Query(description="of the poster; else as Accept-Language asks")
    ] = None,
) -> Response:
    """A poster or a table card: the event's name, the QR code of its gallery, how guests use it.

    It says that faces are searched, and whom to ask for erasure (FACEPASS_PRIVACY_CONTACT).
    """
    chosen = choose_language(language, request.headers.get("accept-language"))
    with open_session() as session:
        event = find_event(session, event_uuid)
        logo = find_logo(session, event.id or 0)
        poster = describe_poster(
            event,
            build_gallery_url(event.gallery_token, request),
            chosen,
            contact=get_settings().privacy_contact,
            logo=logo.content if logo else None,
        )
    layout = arrange(poster, size)
    headers = {"Content-Disposition": f'inline; filename="poster-{size}-{chosen}.{form}"'}
    if form == "pdf":
        return Response(draw_pdf(layout), media_type=TYPES[form], headers=headers)
    headers["Content-Security-Policy"] = POLICY
    return Response(draw_svg(layout), media_type=TYPES[form], headers=headers)
