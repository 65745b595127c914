"""What a guest sees where a page cannot be had: a link that does not work, a server away."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.routing import APIRoute

from api.gallery.headers import build_page_headers
from api.gallery.language import choose_language
from api.gallery.plurals import Language
from api.gallery.rendering import render_page
from models.errors import EventNotFoundError, FacePassError, PhotoNotFoundError

_LOST = (EventNotFoundError, PhotoNotFoundError)


class GalleryRoute(APIRoute):
    """A route whose failures are told to a person, in their language; to a script as JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler, with the product's errors as pages."""
        handle = super().get_route_handler()

        async def handle_for_guests(request: Request) -> Response:
            try:
                return await handle(request)
            except FacePassError as error:
                return explain_failure(request, error)

        return handle_for_guests


def explain_failure(request: Request, error: FacePassError) -> Response:
    """404 for what is not there, 503 for what is away; never the operator's sentence."""
    kind, status = ("lost", 404) if isinstance(error, _LOST) else ("away", 503)
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse({"detail": kind}, status, headers={"Cache-Control": "no-store"})
    language = read_language(request)
    page = render_page("failure.html", language, kind=kind, languages=_order(language))
    return HTMLResponse(page, status, headers=build_page_headers(""))


def read_language(request: Request) -> Language:
    """The language of the one who asks."""
    return choose_language(request.query_params.get("lang"), request.headers.get("accept-language"))


def _order(language: Language) -> list[Language]:
    """Both languages, the reader's first: who is lost may not read the first one."""
    return ["ru", "en"] if language == "ru" else ["en", "ru"]
