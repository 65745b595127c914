"""HTTP routes for the gallery's pictures and downloads."""

from collections.abc import Generator
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse

from api.bulkheads.downloads import Download, DownloadResponse
from api.bulkheads.searches import run_while_connected
from api.bulkheads.threads import Kind, get_bulkhead, in_threads
from api.gallery.access import build_pass, enter_gallery, require_pass
from api.gallery.archive import MAX_ZIP_PHOTOS, clean_file_name, stream_zip
from api.gallery.rendering import PRIVATE, GalleryRoute, read_language
from api.gallery.texts import tell
from api.security import name_address
from models.errors import PhotoNotFoundError
from models.keys import derive_view_key
from models.queries.photos import EventClock, GalleryPhoto, PageCursor, list_gallery_photos
from models.session import open_session
from models.tables import Event
from models.vocabulary import ViewKind
from tasks.s3.bucket import get_guests_bucket
from tasks.s3.links import build_disposition, get_link_signer

MAX_ID = 2**63 - 1
router = APIRouter(route_class=GalleryRoute)


def describe_photo(event: Event, photo: GalleryPhoto) -> dict[str, Any]:
    """A photo as the page's scripts know it (static/page.js)."""
    return {
        "id": photo.id,
        "version": photo.version,
        "pass": build_pass(event, photo.id),
        "name": photo.name,
        "width": photo.width,
        "height": photo.height,
        "colour": photo.colour,
        "has_original": not photo.original_missing,
        "original_bytes": photo.original_bytes,
        "view_bytes": photo.view_bytes,
        "taken_at": photo.taken_at and photo.taken_at.isoformat(),
    }


@router.get("/{gallery_token}/photos/{photo_id}/preview")
@in_threads(Kind.PAGES)
def redirect_to_preview(gallery_token: str, photo_id: int, request: Request) -> RedirectResponse:
    """A preview by a fresh link: where the page's own has expired, and without a script."""
    photo = _find_gallery_photo(gallery_token, photo_id, request)
    return RedirectResponse(get_link_signer().sign_view(photo.s3_key), 303, headers=PRIVATE)


@router.get("/{gallery_token}/photos/{photo_id}/thumb")
@router.get("/{gallery_token}/photos/{photo_id}/view")
@router.get("/{gallery_token}/photos/{photo_id}/view.jpg")
@in_threads(Kind.PAGES)
def redirect_to_view(gallery_token: str, photo_id: int, request: Request) -> RedirectResponse:
    """A view, or the preview until it is made."""
    photo = _find_gallery_photo(gallery_token, photo_id, request)
    with open_session() as session:
        folder = enter_gallery(session, gallery_token, request).folder
    kind = ViewKind(request.url.path.rpartition("/")[2])
    key = derive_view_key(photo.s3_key, folder, kind) if photo.has_views else photo.s3_key
    headers = {"Cache-Control": "private, max-age=600", "Referrer-Policy": "no-referrer"}
    return RedirectResponse(get_link_signer().sign_view(key), 303, headers=headers)


@router.get("/{gallery_token}/photos/{photo_id}/original")
@in_threads(Kind.PAGES)
def redirect_to_original(gallery_token: str, photo_id: int, request: Request) -> RedirectResponse:
    """An original, from S3, to be saved under its own name."""
    photo = _find_gallery_photo(gallery_token, photo_id, request)
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
        partial(_open_zip, gallery_token, photo_ids, request)
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
    gallery_token: str, photo_ids: list[int], request: Request
) -> tuple[str, Generator[bytes, None, None]]:
    """The event's name, and the zip, of which nothing is read yet."""
    asked = [number for number in photo_ids if 0 < number <= MAX_ID]
    with open_session() as session:
        event = enter_gallery(session, gallery_token, request)
        photos = list_gallery_photos(
            session,
            event.id or 0,
            after=PageCursor(EventClock.from_row(event)),
            limit=MAX_ZIP_PHOTOS,
            photo_ids=asked,
        )
    if not photos:
        raise PhotoNotFoundError("None of these photos is in this gallery.")
    language = read_language(request)
    return event.name, stream_zip(
        get_guests_bucket(),
        [photo.original_key for photo in photos],
        missing_name=tell(language, "zip_missing_name"),
        missing_text=tell(language, "zip_missing"),
    )


def _find_gallery_photo(gallery_token: str, photo_id: int, request: Request) -> GalleryPhoto:
    with open_session() as session:
        event = enter_gallery(session, gallery_token, request)
        require_pass(event, photo_id, request.query_params.get("pass", ""))
        asked = [photo_id] if 0 < photo_id <= MAX_ID else []
        photos = list_gallery_photos(
            session, event.id or 0, after=PageCursor(), limit=1, photo_ids=asked
        )
    if not photos:
        raise PhotoNotFoundError("This photo is not in this gallery.")
    return photos[0]
