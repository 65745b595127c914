"""HTTP routes for the gallery's page and its files.

Every unknown gallery token gets the same "not found" answer.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from sqlmodel import Session

from api.bulkheads.threads import Kind, in_threads
from api.errors import ApiError
from api.gallery.access import enter_gallery, may_list, require_pass
from api.gallery.archive import MAX_ZIP_PHOTOS
from api.gallery.looks import ACCENT, build_accent_css, describe_facts, find_focus, find_links
from api.gallery.photos import MAX_ID, describe_photo
from api.gallery.rendering import (
    FOLDER,
    PRIVATE,
    STATIC_FILES,
    GalleryRoute,
    answer_page,
    build_page_headers,
    link_static,
    read_base,
    read_language,
    read_origin,
    render_page,
)
from api.gallery.texts import read_texts
from api.security import count_misses
from models.errors import InvalidCursorError, PhotoNotFoundError
from models.queries.events import read_logo_etag
from models.queries.photos import (
    EventClock,
    GalleryPhoto,
    PageCursor,
    PhotoPlace,
    count_gallery_photos,
    list_face_boxes,
    list_gallery_photos,
    place_gallery_photo,
)
from models.queries.runs import find_active_run
from models.session import open_session
from models.settings import get_settings
from models.tables import Event
from models.vocabulary import ErrorCode, ProfileName
from tasks.notices.channel import choose_channel
from tasks.s3.links import get_link_signer

PAGE_PHOTOS = 60
LISTED, MOST_LISTED = 120, 500  # photos in one answer to a script
_KEPT = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(prefix="/gallery", route_class=GalleryRoute)
asked_router = APIRouter(
    prefix="/gallery", route_class=GalleryRoute
)  # what open pages ask by themselves


@router.get("/static/{version}/{name}")
async def read_static_file(version: str, name: str) -> FileResponse:  # noqa: ARG001 (see link_static)
    """The stylesheet and the scripts."""
    if name not in STATIC_FILES:
        raise ApiError(404, "Not found", ErrorCode.NOT_FOUND)
    return FileResponse(FOLDER / "static" / name, media_type=STATIC_FILES[name], headers=_KEPT)


@router.get("/look/{accent}.css")
async def read_look(accent: str) -> Response:
    """The stylesheet of an event's accent colour."""
    if not ACCENT.fullmatch(accent):
        raise ApiError(404, "Not found", ErrorCode.NOT_FOUND)
    return Response(build_accent_css(accent), media_type="text/css", headers=_KEPT)


@router.get("/{gallery_token}")
@in_threads(Kind.PAGES)
def read_gallery(gallery_token: str, request: Request, after: str = "") -> Response:
    """The page: the event's name, its photos (those behind the cursor `after`), "find me"."""
    with open_session() as session:
        event = enter_gallery(session, gallery_token, request)
        start = PageCursor(EventClock.from_row(event))
        with suppress(InvalidCursorError):  # an old release's, or a shortened link
            start = PageCursor.decode(after)
        return _render_gallery(session, event, request, start)


@router.get("/{gallery_token}/photos/{photo_id}")
@in_threads(Kind.PAGES)
def read_photo_page(gallery_token: str, photo_id: int, request: Request) -> Response:
    """The page of one photo: the gallery with the viewer open; large by itself without a script."""
    with open_session() as session:
        event = enter_gallery(session, gallery_token, request)
        given = request.query_params.get("pass", "")
        require_pass(event, photo_id, given)
        clock = EventClock.from_row(event)
        asked = [photo_id] if 0 < photo_id <= MAX_ID else []
        found = list_gallery_photos(
            session, event.id or 0, after=PageCursor(clock), limit=1, photo_ids=asked
        )
        if not found:
            raise PhotoNotFoundError("This photo is not in this gallery.")
        place, described = None, describe_photo(event, found[0])
        if described["pass"]:
            described["pass"] = given  # a new one would make it last for ever
        if may_list(event):
            place = place_gallery_photo(session, event.id or 0, clock, photo_id)
        opened = OpenedPhoto(described, place or PhotoPlace(1))
        return _render_gallery(session, event, request, PageCursor(clock), opened)


@asked_router.get("/{gallery_token}/photos")
@in_threads(Kind.PAGES)
def list_page_photos(
    gallery_token: str,
    request: Request,
    after: str = "",
    limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = LISTED,
) -> JSONResponse:
    """A part of the list for the page's scripts; nothing where guests see only their own photos."""
    with count_misses(request), open_session() as session:
        event = enter_gallery(session, gallery_token, request)
        start = PageCursor(EventClock.from_row(event))
        try:
            start = PageCursor.decode(after) if after else start
        except InvalidCursorError as error:
            raise ApiError(400, str(error), ErrorCode.INVALID_CURSOR) from error
        total, photos, next_after = _list_page(session, event, start, limit)
        described = [describe_photo(event, photo) for photo in photos]
    return JSONResponse(
        {"photos": described, "next_cursor": next_after, "total": total},
        headers={"Cache-Control": "no-store"},
    )


@router.get("/{gallery_token}/manifest.webmanifest")
@in_threads(Kind.PAGES)
def read_manifest(gallery_token: str, request: Request) -> JSONResponse:
    """What a phone needs to keep the gallery on its home screen."""
    with open_session() as session:
        name = enter_gallery(session, gallery_token, request).name
    base = read_base(request)
    icons = [
        {"src": link_static(base, "icon.svg"), "sizes": "any", "type": "image/svg+xml"},
        {"src": link_static(base, "icon.png"), "sizes": "192x192", "type": "image/png"},
    ]
    manifest = {
        "name": name,
        "short_name": name,
        "start_url": f"{base}/gallery/{gallery_token}",
        "scope": f"{base}/gallery/",
        "display": "standalone",
        "background_color": "#fbfaf8",
        "theme_color": "#fbfaf8",
        "icons": icons,
    }
    return JSONResponse(manifest, headers=PRIVATE, media_type="application/manifest+json")


@dataclass(frozen=True)
class OpenedPhoto:
    """The photo whose page is asked for, as scripts know it, and where it stands."""

    photo: dict[str, Any]
    place: PhotoPlace


def _render_gallery(
    session: Session,
    event: Event,
    request: Request,
    start: PageCursor,
    opened: OpenedPhoto | None = None,
) -> Response:
    language, base, event_id = read_language(request), read_base(request), event.id or 0
    total, photos, next_after = _list_page(session, event, start, PAGE_PHOTOS)
    before = None
    if start.photo_id and may_list(event):  # anyone can write a cursor: it tells the place
        before = place_gallery_photo(session, event_id, start.clock, start.photo_id)
    settings = get_settings()
    page = render_page(
        "gallery.html",
        language,
        base,
        event=event,
        facts=describe_facts(event, language),
        cover=_find_cover(session, event),
        logo=read_logo_etag(session, event_id),
        origin=read_origin(settings.public_url or str(request.base_url)),
        token=event.gallery_token,
        shared=may_list(event),
        total=total,
        syncing=find_active_run(session, event_id) is not None,
        photos=[describe_photo(event, photo) for photo in photos],
        first=before.number + 1 if before else 1,
        # Larger than a thumb, and not much: where previews are made for groups they are too large.
        has_small_previews=event.profile == ProfileName.STANDARD,
        opened=opened,
        next_after=next_after,
        contact=find_links(settings.privacy_contact or ""),
        notices=choose_channel(settings) if event.notices else None,
        notice_contact=settings.notice_contact,
        script_texts=read_texts(language).script,
        zip_limit=MAX_ZIP_PHOTOS,
        upload_limit=settings.max_upload_bytes,
    )
    is_direct = get_settings().photo_delivery == "s3"
    link = get_link_signer().sign_view("any") if is_direct else ""
    return answer_page(request, page, build_page_headers(link))


def _list_page(
    session: Session, event: Event, start: PageCursor, limit: int
) -> tuple[int, list[GalleryPhoto], str | None]:
    """How many photos guests see in the list, those of a part of it, and the next part's cursor."""
    if not may_list(event):
        return 0, [], None
    event_id = event.id or 0
    total = count_gallery_photos(session, event_id)
    found = list_gallery_photos(session, event_id, after=start, limit=limit + 1)
    photos, more = found[:limit], len(found) > limit
    return total, photos, start.move(photos[-1].id, photos[-1].taken_at).encode() if more else None


def _find_cover(session: Session, event: Event) -> dict[str, Any] | None:
    """The event's cover photo and the part of it that no crop may cut off, where all may see it."""
    if event.cover_photo_id is None or not may_list(event):
        return None
    found = list_gallery_photos(
        session, event.id or 0, after=PageCursor(), limit=1, photo_ids=[event.cover_photo_id]
    )
    if not found:
        return None
    focus = find_focus(list_face_boxes(session, found[0].id))
    return {**describe_photo(event, found[0]), "focus": focus}
