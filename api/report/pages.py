"""HTTP routes of the photographer's report: its page, its pictures and its buttons.

A wrong or expired link is answered as an unknown gallery is, and counted, so that guessing is slow.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse, Response

from api.bulkheads.downloads import PICTURES, start_download
from api.bulkheads.threads import Kind, get_bulkhead, in_threads
from api.gallery.looks import describe_facts
from api.gallery.rendering import (
    PRIVATE,
    GalleryRoute,
    build_page_headers,
    read_base,
    read_language,
    render_page,
)
from api.gallery.texts import tell
from api.report.links import enter_report
from api.security import count_misses, name_address
from models.errors import PhotoNotFoundError, PhotoUnavailableError
from models.keys import derive_view_key
from models.queries.guests.openings import list_openings
from models.queries.guests.wishes import list_requests, settle_request
from models.queries.photos import (
    EventClock,
    GalleryPhoto,
    PageCursor,
    count_faces,
    count_photos,
    list_gallery_photos,
    list_photos,
    requeue_photos,
)
from models.queries.runs import find_last_run
from models.session import open_session
from models.tables import Photo
from models.vocabulary import PhotoStatus, ViewKind
from tasks.results.erasure import erase_photo_faces
from tasks.s3.bucket import ObjectStream, get_guests_bucket, open_picture_stream
from tasks.s3.links import name_image_type

MOST_SHOWN = 200  # photos in each part of the page; the lists of names have all

_AWAY = (PhotoStatus.GONE, PhotoStatus.ERASED)  # whose originals nobody waits for

router = APIRouter(prefix="/report", route_class=GalleryRoute, include_in_schema=False)
PhotoId = Annotated[int, Path(ge=1, le=2**63 - 1)]
RequestId = Annotated[int, Path(ge=1, le=2**63 - 1)]


@dataclass(frozen=True)
class Part:
    """A part of the page: some photos of one kind, and how many there are."""

    name: str
    photos: Sequence[Photo | GalleryPhoto]
    total: int


@router.get("/{report_token}")
@in_threads(Kind.PAGES)
def read_report(report_token: str, request: Request) -> Response:
    """The page: what became of the photos, with buttons, and names for other programs."""
    language, base = read_language(request), read_base(request)
    with count_misses(request), open_session() as session:
        event = enter_report(session, report_token)
        event_id, after = event.id or 0, PageCursor(EventClock.from_row(event))
        openings = list_openings(session, event)
        unopened = [opening.photo_id for opening in openings if not opening.opened]
        left = list_gallery_photos(
            session, event_id, after=after, limit=MOST_SHOWN, photo_ids=unopened[:MOST_SHOWN]
        )
        counts, run = count_photos(session, event_id), find_last_run(session, event_id)
        find = partial(
            list_photos, session, event_id, status=None, after=after, limit=sum(counts.values())
        )
        failed = [row[0] for row in find(status=PhotoStatus.FAILED)]
        missing = [row[0] for row in find(original_missing=True) if row[0].status not in _AWAY]
        page = render_page(
            "report.html",
            language,
            base,
            event=event,
            facts=describe_facts(event, language),
            home=f"{base}/report/{report_token}",
            counts=counts,
            faces=count_faces(session, event_id),
            requests=list_requests(session, event_id, settled=False, after=0, limit=MOST_SHOWN),
            parts=[
                Part("failed", failed[:MOST_SHOWN], counts[PhotoStatus.FAILED]),
                Part("missing", missing[:MOST_SHOWN], len(missing)),
                Part("unopened", left, len(unopened)),
            ],
            left_out=((run.result if run else None) or {}).get("ignored", {}),
            lists={
                "found": _list_names(o.original_key for o in openings if o.opened),
                "unopened": _list_names(o.original_key for o in openings if not o.opened),
                "failed": _list_names(photo.s3_key for photo in failed),
            },
        )
    return Response(page, media_type="text/html", headers=build_page_headers())


def _list_names(keys: Iterable[str]) -> str:
    """Files' names without their suffixes: the RAW beside a JPEG is called so too."""
    stems = (PurePosixPath(key).stem for key in keys)
    return ", ".join(dict.fromkeys(stems))


@router.get("/{report_token}/photos/{photo_id}")
async def send_thumb(report_token: str, photo_id: PhotoId, request: Request) -> Response:
    """A photo's thumb, or its preview: of failed photos too, as far as these can be shown."""
    with count_misses(request):
        keys = await get_bulkhead(Kind.PAGES).run(partial(_find_keys, report_token, photo_id))
    stream, key = await get_bulkhead(Kind.FETCHES).run(partial(_open_picture, keys))
    headers = {**PRIVATE, "Content-Type": name_image_type(key)}
    return await start_download(request, name_address(request), stream, headers, limits=PICTURES)


def _find_keys(report_token: str, photo_id: int) -> list[str]:
    with open_session() as session:
        event = enter_report(session, report_token)
        photo = session.get(Photo, photo_id)
        if photo is None or photo.event_id != event.id:
            raise PhotoNotFoundError("Photo not found")
        thumb = derive_view_key(photo.s3_key, event.folder, ViewKind.THUMB)
        return [thumb, photo.s3_key] if photo.views_etag == photo.etag else [photo.s3_key]


def _open_picture(keys: list[str]) -> tuple[ObjectStream, str]:
    for key in keys:
        try:
            return open_picture_stream(get_guests_bucket(), key), key
        except PhotoUnavailableError:
            continue
    raise PhotoNotFoundError("This photo is not in the storage.")


@router.post("/{report_token}/requeue")
@in_threads(Kind.BULK)
def requeue_all(report_token: str, request: Request) -> JSONResponse:
    """Have the next sync read all failed photos again."""
    return _requeue(report_token, request, None)


@router.post("/{report_token}/photos/{photo_id}/requeue")
@in_threads(Kind.BULK)
def requeue_one(report_token: str, photo_id: PhotoId, request: Request) -> JSONResponse:
    """Have the next sync read one failed photo again."""
    return _requeue(report_token, request, photo_id)


def _requeue(report_token: str, request: Request, photo_id: int | None) -> JSONResponse:
    with count_misses(request), open_session() as session:
        event = enter_report(session, report_token)
        requeued = requeue_photos(session, event.id or 0, reason=None, photo_id=photo_id)
    words = tell(read_language(request), "report_requeued", requeued)
    return JSONResponse({"message": words}, headers=PRIVATE)


@router.post("/{report_token}/photos/{photo_id}/erase")
@in_threads(Kind.BULK)
def erase_one(report_token: str, photo_id: PhotoId, request: Request) -> JSONResponse:
    """Erase one photo's faces, for good, and take it out of the gallery."""
    with count_misses(request), open_session() as session:
        event_id = enter_report(session, report_token).id or 0
    receipt = erase_photo_faces(event_id, photo_id)
    words = tell(read_language(request), "report_erased", receipt.faces_erased)
    return JSONResponse({"message": words}, headers=PRIVATE)


@router.post("/{report_token}/requests/{request_id}/settle")
@in_threads(Kind.PAGES)
def settle_one(report_token: str, request_id: RequestId, request: Request) -> JSONResponse:
    """Note that a guest's request is dealt with."""
    with count_misses(request), open_session() as session:
        event = enter_report(session, report_token)
        settle_request(session, event.id or 0, request_id)
    return JSONResponse(
        {"message": tell(read_language(request), "report_settled")}, headers=PRIVATE
    )
