"""The gallery's routes. A token that is not an event's gets the same page, whatever was asked."""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, StreamingResponse

from api.gallery.archive import MAX_ZIP_PHOTOS, stream_zip
from api.gallery.failures import GalleryRoute, read_language
from api.gallery.file_names import clean_name
from api.gallery.headers import build_page_headers
from api.gallery.rendering import (
    STATIC_FILES,
    find_static_file,
    read_script_texts,
    render_page,
)
from api.gallery.texts import tell
from models.errors import PhotoNotFoundError
from models.keys import derive_original_key
from models.queries.events import find_gallery
from models.queries.photos import count_gallery_photos, find_gallery_photos, list_gallery_photos
from models.queries.runs import find_active_run
from models.session import open_session
from models.settings import get_settings
from models.tables import Photo
from tasks.s3.bucket import get_bucket
from tasks.s3.links import build_disposition, get_link_signer

router = APIRouter(prefix="/gallery", route_class=GalleryRoute, include_in_schema=False)

PAGE_PHOTOS = 60
MAX_ID = 2**63 - 1
PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


@router.get("/static/{name}")
def read_static_file(name: str) -> FileResponse:
    """The stylesheet and the script."""
    file = find_static_file(name)
    if file is None:
        raise HTTPException(404, "Not found")
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
    }
    return FileResponse(file, media_type=STATIC_FILES[name], headers=headers)


@router.get("/{gallery_token}")
def read_gallery(gallery_token: str, request: Request, after: str = "0") -> HTMLResponse:
    """The page: the event's name, its photos (those after the photo `after`), "find me"."""
    language = read_language(request)
    start = int(after) if after.isascii() and after.isdigit() and int(after) <= MAX_ID else 0
    with open_session() as session:
        event = find_gallery(session, gallery_token)
        event_id, name = event.id or 0, event.name
        total = count_gallery_photos(session, event_id)
        found = list_gallery_photos(session, event_id, after=start, limit=PAGE_PHOTOS + 1)
        syncing = find_active_run(session, event_id) is not None
    photos, more = found[:PAGE_PHOTOS], len(found) > PAGE_PHOTOS
    page = render_page(
        "gallery.html",
        language,
        event_name=name,
        token=gallery_token,
        total=total,
        syncing=syncing,
        photos=[_describe_photo(photo) for photo in photos],
        next_after=photos[-1].id if more else None,
        contact=get_settings().privacy_contact,
        script_texts=read_script_texts(language),
        zip_limit=MAX_ZIP_PHOTOS,
    )
    return HTMLResponse(page, headers=build_page_headers(get_link_signer().sign_view("any")))


@router.get("/{gallery_token}/status")
def read_gallery_status(gallery_token: str, request: Request) -> dict[str, object]:
    """How many photos there are by now, and whether more are being added."""
    with open_session() as session:
        event_id = find_gallery(session, gallery_token).id or 0
        photos = count_gallery_photos(session, event_id)
        syncing = find_active_run(session, event_id) is not None
    words = tell(read_language(request), "photos", photos)
    return {"photos": photos, "photos_text": words, "syncing": syncing}


@router.get("/{gallery_token}/photos/{photo_id}/preview")
def open_preview(gallery_token: str, photo_id: int) -> RedirectResponse:
    """A preview by a fresh link: where the page's own has expired, and without a script."""
    photo = _read_photo(gallery_token, photo_id)
    return RedirectResponse(get_link_signer().sign_view(photo.s3_key), 303, headers=PRIVATE)


@router.get("/{gallery_token}/photos/{photo_id}/original")
def open_original(gallery_token: str, photo_id: int) -> RedirectResponse:
    """An original, from S3, to be saved under its own name."""
    photo = _read_photo(gallery_token, photo_id)
    key = derive_original_key(photo.s3_key, photo.event_id)
    return RedirectResponse(get_link_signer().sign_download(key), 303, headers=PRIVATE)


@router.post("/{gallery_token}/zip")
def download_zip(
    gallery_token: str,
    request: Request,
    photo_ids: Annotated[list[int], Form(max_length=MAX_ZIP_PHOTOS)],
) -> StreamingResponse:
    """Originals of this event as one zip; ids of other events are nobody's here."""
    asked = [number for number in photo_ids if 0 < number <= MAX_ID]
    with open_session() as session:
        event = find_gallery(session, gallery_token)
        photos = find_gallery_photos(session, event.id or 0, asked)
    if not photos:
        raise PhotoNotFoundError("None of these photos is in this gallery.")
    language = read_language(request)
    pieces = stream_zip(
        get_bucket(),
        [derive_original_key(photo.s3_key, photo.event_id) for photo in photos],
        missing_name=tell(language, "zip_missing_name"),
        missing_text=tell(language, "zip_missing"),
    )
    return StreamingResponse(
        _start(pieces),
        media_type="application/zip",
        headers={
            **PRIVATE,
            "Content-Disposition": build_disposition(f"{clean_name(event.name)}.zip"),
        },
    )


def _start(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces, the first one read: where S3 is away, the answer can still say so."""
    return chain([next(pieces)], pieces)


def _read_photo(gallery_token: str, photo_id: int) -> Photo:
    with open_session() as session:
        event = find_gallery(session, gallery_token)
        asked = [photo_id] if 0 < photo_id <= MAX_ID else []
        photos = find_gallery_photos(session, event.id or 0, asked)
    if not photos:
        raise PhotoNotFoundError("This photo is not in this gallery.")
    return photos[0]


def _read_name(photo: Photo) -> str:
    return photo.s3_key.rpartition("/")[2]


def _describe_photo(photo: Photo) -> dict[str, object]:
    return {
        "id": photo.id,
        "name": _read_name(photo),
        "preview": get_link_signer().sign_view(photo.s3_key),
        "original_missing": photo.original_missing,
    }
