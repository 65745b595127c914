"""The gallery's answers: pages from templates, their headers, and failures told to a person.

Pages run no inline scripts or styles; only photos may come from another host.
"""

from collections.abc import Callable, Coroutine, Mapping
from functools import lru_cache, partial
from hashlib import sha256
from math import log2
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.errors import RETRY_AFTER, build_refusal, judge_error
from api.gallery.conditional import is_known
from api.gallery.texts import Language, choose_language, hash_consent, tell
from models.errors import (
    EventNotFoundError,
    FacePassError,
    GalleryClosedError,
    PhotoNotFoundError,
    PinRequiredError,
    TooBusyError,
)
from models.vocabulary import ErrorCode

PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
MODULES = (
    "page.js", "grid.js", "viewer.js", "take.js", "results.js", "selfie.js", "find.js", "live.js",
    "notices.js", "report.js",
)  # fmt: skip
STATIC_FILES = {
    **dict.fromkeys(("gallery.css", "find.css"), "text/css"),
    **dict.fromkeys(("gallery.js", "board.js", *MODULES), "text/javascript"),
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(("icon.png", "card.png"), "image/png"),
}
FOLDER = Path(__file__).parent
_PIN_CODES = {
    "asked": ErrorCode.PIN_NEEDED,
    "wrong": ErrorCode.PIN_WRONG,
    "slow": ErrorCode.TOO_MANY_CALLS,
}
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
    if isinstance(error, PinRequiredError):
        return ask_for_pin(request, "asked")
    kind, status = _judge(error)
    again = RETRY_AFTER if status == 503 else {}
    if not _is_page(request):
        return _answer_shortly(kind, _choose_code(error, status), status, again)
    language = read_language(request)
    # The reader's first: somebody who is lost may read only the other one.
    languages = ["ru", "en"] if language == "ru" else ["en", "ru"]
    closed_at = error.closed_at if isinstance(error, GalleryClosedError) else None
    since = closed_at.strftime("%d.%m.%Y") if closed_at else ""
    page = render_page(
        "failure.html",
        language,
        read_base(request),
        kind=kind,
        languages=languages,
        since=since,
    )
    return HTMLResponse(page, status, headers={**build_page_headers(), **again})


def ask_for_pin(
    request: Request, state: Literal["asked", "wrong", "slow"], wait_s: int = 0
) -> Response:
    """The page with the PIN's form, which says nothing of the event; 429 after too many tries."""
    status = 429 if state == "slow" else 403
    again = {"Retry-After": str(wait_s)} if state == "slow" else {}
    if not _is_page(request):
        kind = "pin" if state == "asked" else f"pin_{state}"
        return _answer_shortly(kind, _PIN_CODES[state], status, again)
    language, base = read_language(request), read_base(request)
    token = request.path_params["gallery_token"]
    action = f"{base}/gallery/{quote(token, safe='')}/pin?lang={language}"
    page = render_page("pin.html", language, base, action=action, state=state, wait_s=wait_s)
    return HTMLResponse(page, status, headers={**build_page_headers(), **again})


def _judge(error: FacePassError) -> tuple[str, int]:
    """The word for a failure, and its status."""
    if isinstance(error, GalleryClosedError):
        return "closed", 410
    if isinstance(error, TooBusyError):
        return "busy", 503
    return ("lost", 404) if isinstance(error, _LOST) else ("away", 503)


def _is_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _choose_code(error: FacePassError, status: int) -> ErrorCode:
    """The code of REST's answers; none that tells a guest which of the operator's parts fails."""
    hidden = status == 503 and not isinstance(error, TooBusyError)
    return ErrorCode.UNAVAILABLE if hidden else judge_error(error).code


def _answer_shortly(
    kind: str, code: ErrorCode, status: int, headers: Mapping[str, str]
) -> Response:
    return build_refusal(status, kind, code, {"Cache-Control": "no-store", **headers})


def read_language(request: Request) -> Language:
    """The language of the one who asks."""
    return choose_language(request.query_params.get("lang"), request.headers.get("accept-language"))


def read_base(request: Request) -> str:
    """The path that the API is served below, which its pages' addresses begin with."""
    return quote(request.scope.get("root_path", ""))


def build_page_headers(photo_link: str = "") -> dict[str, str]:
    """Headers of a page whose pictures come from its own origin, or from where this link points."""
    return {
        "Content-Security-Policy": build_policy(read_origin(photo_link)),
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex, nofollow",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }


def answer_page(request: Request, page: str, headers: Mapping[str, str]) -> Response:
    """A page, or 304 to a browser that has it: it asks each time, and is rarely sent it again."""
    etag = f'W/"{sha256(page.encode()).hexdigest()[:16]}"'  # weak: of the text, compressed or not
    headers = {**headers, "Cache-Control": "private, no-cache", "ETag": etag}
    if is_known(request.headers.get("if-none-match"), etag):
        return Response(None, 304, headers)
    return HTMLResponse(page, headers=headers)


def build_policy(photo_origin: str) -> str:
    """The Content-Security-Policy; blob: is the guest's own selfie, drawn to choose a face."""
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' blob: data: {photo_origin}".rstrip(),
        "connect-src": "'self'",
        "manifest-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def read_origin(link: str) -> str:
    """Scheme, host and port of a link; empty where it has none."""
    parts = urlsplit(link)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else ""


def render_page(template: str, language: Language, base: str, **values: object) -> str:
    """A page in one language, its addresses below `base`; everything filled in is escaped."""
    return (
        _open_templates()
        .get_template(template)
        .render(
            language=language,
            tell=partial(tell, language),
            tell_in=tell,
            base=base,
            link_static=partial(link_static, base),
            bucket=sort_by_shape,
            modules=MODULES,
            consent_version=hash_consent(),
            notice_version=hash_consent("notice_consent"),
            **values,
        )
    )


def sort_by_shape(photo: dict[str, Any]) -> int:
    """The class of a photo's shape, 0 (twice as high as wide) to 24 (over 2.6 to 1).

    Rows are justified by these classes (static/gallery.css, grid.js): a policy without inline
    styles leaves no other way without a script, and one with it would have to shift the page.
    """
    if not photo["width"] or not photo["height"]:
        return 10  # a square, in which neither shape loses much
    return min(24, max(0, round(10 * log2(photo["width"] / photo["height"])) + 10))


def link_static(base: str, name: str) -> str:
    """A file's address, new with any of them: browsers keep it, and modules name each other."""
    return f"{base}/gallery/static/{hash_static()}/{name}"


@lru_cache(maxsize=1)
def hash_static() -> str:
    """The content of all static files, in twelve digits."""
    content = b"".join((FOLDER / "static" / name).read_bytes() for name in sorted(STATIC_FILES))
    return sha256(content).hexdigest()[:12]


@lru_cache(maxsize=1)
def _open_templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Cyrillic as it is: half the bytes. What could end the script element stays escaped.
    templates.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    return templates
