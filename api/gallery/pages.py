"""HTTP routes for the gallery's pages, photos and downloads, with their headers and error pages.

Pages run no inline scripts or styles; only photos come from another host. Every unknown gallery
token gets the same "not found" answer.
"""

from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
)
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.bulkheads.downloads import Download, DownloadResponse
from api.bulkheads.searches import run_while_connected
from api.bulkheads.threads import Kind, get_bulkhead, in_threads
from api.errors import RETRY_AFTER
from api.gallery.archive import MAX_ZIP_PHOTOS, clean_file_name, stream_zip
from api.gallery.texts import Language, choose_language, read_texts, tell
from api.security import name_address
from models.errors import (
    EventNotFoundError,
    FacePassError,
    InvalidCursorError,
    PhotoNotFoundError,
    TooBusyError,
)
from models.queries.events import find_gallery
from models.queries.photos import (
    EventClock,
    GalleryPhoto,
    PageCursor,
    count_gallery_photos,
    list_gallery_photos,
)
from models.queries.runs import find_active_run
from models.session import open_session
from models.settings import get_settings
from tasks.s3.bucket import get_guests_bucket
from tasks.s3.links import build_disposition, get_link_signer

PAGE_PHOTOS = 60
MAX_ID = 2**63 - 1
PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
STATIC_FILES = {"gallery.css": "text/css", "gallery.js": "text/javascript"}
_FOLDER = Path(__file__).parent
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


router = APIRouter(prefix="/gallery", route_class=GalleryRoute, include_in_schema=False)


@router.get("/static/{name}")
async def read_static_file(name: str) -> FileResponse:
    """The stylesheet and the script."""
    if name not in STATIC_FILES:
        raise HTTPException(404, "Not found")
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    file = _FOLDER / "static" / name
    return FileResponse(file, media_type=STATIC_FILES[name], headers=headers)


@router.get("/{gallery_token}")
@in_threads(Kind.PAGES)
def read_gallery(gallery_token: str, request: Request, after: str = "") -> HTMLResponse:
    """The page: the event's name, its photos (those behind the cursor `after`), "find me"."""
    language = read_language(request)
    with open_session() as session:
        event = find_gallery(session, gallery_token)
        event_id, name = event.id or 0, event.name
        start = PageCursor(EventClock.from_row(event))
        with suppress(InvalidCursorError):  # an old release's, or a shortened link
            start = PageCursor.decode(after)
        total = count_gallery_photos(session, event_id)
        found = list_gallery_photos(session, event_id, after=start, limit=PAGE_PHOTOS + 1)
        syncing = find_active_run(session, event_id) is not None
    photos, more = found[:PAGE_PHOTOS], len(found) > PAGE_PHOTOS
    page = render_page(
        "gallery.html",
        language,
        read_base(request),
        event_name=name,
        token=gallery_token,
        total=total,
        syncing=syncing,
        photos=photos,
        sign_view=get_link_signer().sign_view,
        next_after=start.move(photos[-1].id, photos[-1].taken_at).encode() if more else None,
        contact=get_settings().privacy_contact,
        script_texts=read_texts(language).script,
        zip_limit=MAX_ZIP_PHOTOS,
        upload_limit=get_settings().max_upload_bytes,
    )
    return HTMLResponse(page, headers=build_page_headers(get_link_signer().sign_view("any")))


@router.get("/{gallery_token}/status")
@in_threads(Kind.PAGES)
def read_gallery_status(gallery_token: str, request: Request) -> dict[str, object]:
    """How many photos there are by now, and whether more are being added."""
    with open_session() as session:
        event_id = find_gallery(session, gallery_token).id or 0
        photos = count_gallery_photos(session, event_id)
        syncing = find_active_run(session, event_id) is not None
    words = tell(read_language(request), "photos", photos)
    return {"photos": photos, "photos_text": words, "syncing": syncing}


@router.get("/{gallery_token}/photos/{photo_id}/preview")
@in_threads(Kind.PAGES)
def redirect_to_preview(gallery_token: str, photo_id: int) -> RedirectResponse:
    """A preview by a fresh link: where the page's own has expired, and without a script."""
    photo = _find_gallery_photo(gallery_token, photo_id)
    return RedirectResponse(get_link_signer().sign_view(photo.s3_key), 303, headers=PRIVATE)


@router.get("/{gallery_token}/photos/{photo_id}/original")
@in_threads(Kind.PAGES)
def redirect_to_original(gallery_token: str, photo_id: int) -> RedirectResponse:
    """An original, from S3, to be saved under its own name."""
    photo = _find_gallery_photo(gallery_token, photo_id)
    link = get_link_signer().sign_download(photo.original_key)
    return RedirectResponse(link, 303, headers=PRIVATE)


@router.post("/{gallery_token}/zip")
async def download_zip(
    gallery_token: str,
    request: Request,
    photo_ids: Annotated[list[int], Form(max_length=MAX_ZIP_PHOTOS)],
) -> DownloadResponse:
    """Originals of this event as one zip; ids of other events' photos are left out."""
    name, pieces = await get_bulkhead(Kind.PAGES).run(
        partial(_open_zip, gallery_token, photo_ids, read_language(request))
    )
    download = Download(name_address(request), pieces)
    try:
        # The first piece is read here: where S3 is away, the answer can still say so.
        first = await run_while_connected(request, download.read)
    except BaseException:
        download.close()
        raise
    disposition = build_disposition(f"{clean_file_name(name)}.zip")
    return DownloadResponse(download, first, {**PRIVATE, "Content-Disposition": disposition})


def _open_zip(
    gallery_token: str, photo_ids: list[int], language: Language
) -> tuple[str, Generator[bytes, None, None]]:
    """The event's name, and the zip, of which nothing is read yet."""
    asked = [number for number in photo_ids if 0 < number <= MAX_ID]
    with open_session() as session:
        event = find_gallery(session, gallery_token)
        photos = list_gallery_photos(
            session,
            event.id or 0,
            after=PageCursor(EventClock.from_row(event)),
            limit=MAX_ZIP_PHOTOS,
            photo_ids=asked,
        )
    if not photos:
        raise PhotoNotFoundError("None of these photos is in this gallery.")
    return event.name, stream_zip(
        get_guests_bucket(),
        [photo.original_key for photo in photos],
        missing_name=tell(language, "zip_missing_name"),
        missing_text=tell(language, "zip_missing"),
    )


def _find_gallery_photo(gallery_token: str, photo_id: int) -> GalleryPhoto:
    with open_session() as session:
        event = find_gallery(session, gallery_token)
        asked = [photo_id] if 0 < photo_id <= MAX_ID else []
        photos = list_gallery_photos(
            session, event.id or 0, after=PageCursor(), limit=1, photo_ids=asked
        )
    if not photos:
        raise PhotoNotFoundError("This photo is not in this gallery.")
    return photos[0]


def explain_failure(request: Request, error: FacePassError) -> Response:
    """404 for what is not there, 503 for what is away; never the operator's sentence."""
    kind, status = ("lost", 404) if isinstance(error, _LOST) else ("away", 503)
    if isinstance(error, TooBusyError):
        kind = "busy"
    again = RETRY_AFTER if status == 503 else {}
    if "text/html" not in request.headers.get("accept", ""):
        return JSONResponse(
            {"detail": kind}, status, headers={"Cache-Control": "no-store", **again}
        )
    language = read_language(request)
    # The reader's first: somebody who is lost may read only the other one.
    languages = ["ru", "en"] if language == "ru" else ["en", "ru"]
    base = read_base(request)
    page = render_page("failure.html", language, base, kind=kind, languages=languages)
    return HTMLResponse(page, status, headers={**build_page_headers(""), **again})


def read_language(request: Request) -> Language:
    """The language of the one who asks."""
    return choose_language(request.query_params.get("lang"), request.headers.get("accept-language"))


def read_base(request: Request) -> str:
    """The path that the API is served below, which its pages' addresses begin with."""
    return quote(request.scope.get("root_path", ""))


def build_page_headers(photo_link: str) -> dict[str, str]:
    """Headers of a page whose pictures come from where `photo_link` points."""
    return {
        "Content-Security-Policy": build_policy(read_origin(photo_link)),
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex, nofollow",
        "X-Content-Type-Options": "nosniff",
        # The links in it die soon: a page from a cache would show broken pictures.
        "Cache-Control": "no-store",
    }


def build_policy(photo_origin: str) -> str:
    """The Content-Security-Policy; blob: is the guest's own selfie, drawn to choose a face."""
    rules = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": f"'self' blob: data: {photo_origin}".rstrip(),
        "connect-src": "'self'",
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
            **values,
        )
    )


def link_static(base: str, name: str) -> str:
    """A file's address, new with its content: browsers may keep it for ever."""
    return f"{base}/gallery/static/{name}?v={_hash_static(name)}"


@lru_cache(maxsize=len(STATIC_FILES))
def _hash_static(name: str) -> str:
    return sha256((_FOLDER / "static" / name).read_bytes()).hexdigest()[:12]


@lru_cache(maxsize=1)
def _open_templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Cyrillic as it is: half the bytes. What could end the script element stays escaped.
    templates.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    return templates
