"""HTTP routes for the gallery's page and its files.

Every unknown gallery token gets the same "not found" answer.
"""

from contextlib import suppress

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import FileResponse

from api.bulkheads.threads import Kind, in_threads
from api.gallery.access import enter_gallery, may_list
from api.gallery.archive import MAX_ZIP_PHOTOS
from api.gallery.rendering import (
    FOLDER,
    STATIC_FILES,
    GalleryRoute,
    answer_page,
    build_page_headers,
    read_base,
    read_language,
    render_page,
)
from api.gallery.texts import read_texts
from models.errors import InvalidCursorError
from models.queries.photos import (
    EventClock,
    PageCursor,
    count_gallery_photos,
    list_gallery_photos,
)
from models.queries.runs import find_active_run
from models.session import open_session
from models.settings import get_settings
from tasks.s3.links import get_link_signer

PAGE_PHOTOS = 60

router = APIRouter(route_class=GalleryRoute)


@router.get("/static/{version}/{name}")
async def read_static_file(version: str, name: str) -> FileResponse:  # noqa: ARG001 (see link_static)
    """The stylesheet and the scripts."""
    if name not in STATIC_FILES:
        raise HTTPException(404, "Not found")
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    file = FOLDER / "static" / name
    return FileResponse(file, media_type=STATIC_FILES[name], headers=headers)


@router.get("/{gallery_token}")
@in_threads(Kind.PAGES)
def read_gallery(gallery_token: str, request: Request, after: str = "") -> Response:
    """The page: the event's name, its photos (those behind the cursor `after`), "find me"."""
    language = read_language(request)
    with open_session() as session:
        event = enter_gallery(session, gallery_token, request)
        event_id, name = event.id or 0, event.name
        start = PageCursor(EventClock.from_row(event))
        with suppress(InvalidCursorError):  # an old release's, or a shortened link
            start = PageCursor.decode(after)
        total, found = 0, []
        if may_list(event):
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
        next_after=start.move(photos[-1].id, photos[-1].taken_at).encode() if more else None,
        contact=get_settings().privacy_contact,
        script_texts=read_texts(language).script,
        zip_limit=MAX_ZIP_PHOTOS,
        upload_limit=get_settings().max_upload_bytes,
    )
    is_direct = get_settings().photo_delivery == "s3"
    link = get_link_signer().sign_view("any") if is_direct else ""
    return answer_page(request, page, build_page_headers(link))
