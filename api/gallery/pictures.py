"""HTTP routes for a photo's pictures and its original, from the page's own origin.

Whether a guest may see a photo is asked of the database at each request; what is kept in memory or
by a browser is its bytes alone. Guests' calls are not counted here, but those that find nothing.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TypeVar

from anyio.lowlevel import RunVar
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from api.bulkheads.batches import Batches
from api.bulkheads.downloads import HEAD_ONLY, PICTURES, start_download
from api.bulkheads.threads import Kind, get_bulkhead
from api.gallery.access import admit_guest, require_pass
from api.gallery.conditional import is_known, read_range
from api.gallery.rendering import GalleryRoute
from api.report.openings import get_openings
from api.security import count_misses, limit_rate, name_address
from models.errors import EventNotFoundError, PhotoNotFoundError, PhotoUnavailableError
from models.keys import derive_view_key
from models.queries.photos import GalleryPhoto, find_gallery_photos
from models.session import open_session
from models.settings import get_settings
from models.tables import Event
from models.vocabulary import ViewKind
from tasks.s3.bucket import (
    PIECE_BYTES,
    ObjectStream,
    get_guests_bucket,
    measure_original,
    open_original_stream,
    open_picture_stream,
)
from tasks.s3.links import build_disposition, get_link_signer, name_image_type

MAX_ID = 2**63 - 1
MAX_KEPT_BYTES = 64 * 1024 * 1024  # of pictures in memory: some thousand thumbs
MAX_KEPT_PICTURE = 64 * 1024
# A browser asks again for what may change, and is answered without its bytes.
_FOR_EVER, _ASK_AGAIN = "private, max-age=31536000, immutable", "private, no-cache"

PREVIEW = "preview"
_KINDS = {PREVIEW, *ViewKind}

T = TypeVar("T")
router = APIRouter(prefix="/gallery", route_class=GalleryRoute)


@dataclass(frozen=True)
class Picture:
    """What is shown for an address, and the preview that stands in where that is not in S3."""

    key: str
    preview_key: str
    version: str  # of the photo
    etag: str


class KeptPictures:
    """Small pictures' bytes, the latest asked for; used by the event loop alone."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def get(self, key: str, version: str) -> bytes | None:
        """The bytes of this version, if they are here."""
        content = self._kept.get((key, version))
        if content is not None:
            self._kept.move_to_end((key, version))
        return content

    def put(self, key: str, version: str, content: bytes) -> None:
        """Keep these instead of those that nobody has asked for longest."""
        self._bytes += len(content) - len(self._kept.pop((key, version), b""))
        self._kept[key, version] = content
        while self._bytes > self._most_bytes:
            self._bytes -= len(self._kept.popitem(last=False)[1])


@lru_cache(maxsize=1)
def get_kept_pictures() -> KeptPictures:
    """This process's."""
    return KeptPictures(MAX_KEPT_BYTES)


@router.get(
    "/{gallery_token}/photos/{photo_id}/original", dependencies=[Depends(limit_rate("guest"))]
)
async def send_original(gallery_token: str, photo_id: int, request: Request) -> Response:
    """An original, or a range of one, to be saved under its own name."""
    photo, _ = await _find_photo(gallery_token, photo_id, request)
    answer = await _answer_original(request, photo.original_key)
    if _begins_file(request, answer):
        get_openings().note(photo.id)
    return answer


def _comes_from_s3(request: Request) -> bool:
    """Whether a redirect to S3 answers; a script that reads the bytes asks for `through=api`.

    S3 is another origin, whose answers a page may show, but not read.
    """
    return get_settings().photo_delivery == "s3" and request.query_params.get("through") != "api"


async def _answer_original(request: Request, key: str) -> Response:
    if _comes_from_s3(request):
        return await _redirect(lambda: get_link_signer().sign_download(key))
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": _ASK_AGAIN,
        "Content-Disposition": build_disposition(key.rpartition("/")[2]),
        "Content-Type": name_image_type(key),
    }
    send = _send_part if {"range", "if-none-match"} & set(request.headers) else _send_whole
    return await send(request, key, headers)


def _begins_file(request: Request, answer: Response) -> bool:
    """Whether a file's first bytes go out: what is resumed, or known, was opened before."""
    if HEAD_ONLY in request.scope or answer.status_code not in {200, 206, 303}:
        return False
    if answer.status_code == 206:
        return answer.headers["Content-Range"].startswith("bytes 0-")
    part = read_range(request.headers.get("range"), None, "", MAX_ID)  # S3 will be asked for it
    return answer.status_code == 200 or not part or part.start == 0


@router.post("/{gallery_token}/photos/{photo_id}/opened")
async def note_opening(gallery_token: str, photo_id: int, request: Request) -> Response:
    """Count that a guest looks at a photo; a view may be fetched ahead, and tells nothing."""
    with count_misses(request):
        photo, _ = await _find_photo(gallery_token, photo_id, request)
    get_openings().note(photo.id)
    return Response(None, 204)


@router.get("/{gallery_token}/photos/{photo_id}/{kind}")
async def send_picture(gallery_token: str, photo_id: int, kind: str, request: Request) -> Response:
    """A photo's thumb, view or preview."""
    with count_misses(request):
        picture = await _find_picture(gallery_token, photo_id, kind, request)
    if _comes_from_s3(request):
        return await _redirect(lambda: get_link_signer().sign_view(picture.key))
    is_current = request.query_params.get("v") == picture.version
    headers = {
        "Cache-Control": _FOR_EVER if is_current else _ASK_AGAIN,
        "Content-Type": name_image_type(picture.key),
        "ETag": picture.etag,
        "Vary": "Accept",
    }
    if is_known(request.headers.get("if-none-match"), picture.etag):
        return Response(None, 304, headers)
    content = get_kept_pictures().get(picture.key, picture.version)
    if content is not None:
        return Response(content, 200, headers)
    return await _send_picture(request, picture, headers)


async def _send_picture(request: Request, picture: Picture, headers: dict[str, str]) -> Response:
    """A picture from S3, or its preview where it is not there; a large one in pieces."""
    found = await _fetch(partial(_read_picture, picture.key, picture.preview_key))
    if found.key != picture.key:
        # It will be made again: what stands in for it has neither its address nor its ETag.
        headers |= {"Cache-Control": _ASK_AGAIN, "Content-Type": name_image_type(found.key)}
        del headers["ETag"]
    if found.stream is None:
        if found.key == picture.key and len(found.content) <= MAX_KEPT_PICTURE:
            get_kept_pictures().put(picture.key, picture.version, found.content)
        return Response(found.content, 200, headers)
    if found.stream.size is not None:
        headers["Content-Length"] = str(found.stream.size)
    address = name_address(request)
    return await start_download(request, address, found.stream, headers, limits=PICTURES)


@dataclass(frozen=True)
class FoundPicture:
    """What S3 has: the bytes of a small picture, or those of a large one to be read."""

    key: str
    content: bytes = b""
    stream: ObjectStream | None = None


def _read_picture(*keys: str) -> FoundPicture:
    """The first of these that S3 has. Raises PhotoNotFoundError, and what reading raises."""
    for key in keys:
        with suppress(PhotoUnavailableError):
            stream = open_picture_stream(get_guests_bucket(), key)
            if stream.size is None or stream.size > PIECE_BYTES:
                return FoundPicture(key, stream=stream)
            with closing(stream):
                return FoundPicture(key, b"".join(stream))
    raise PhotoNotFoundError("This photo is not in the storage.")


async def _send_whole(request: Request, key: str, headers: dict[str, str]) -> Response:
    stream = await _fetch(lambda: open_original_stream(get_guests_bucket(), key))
    headers |= {"ETag": f'"{stream.etag}"', "Content-Length": str(stream.size)}
    return await start_download(request, name_address(request), stream, headers)


async def _send_part(request: Request, key: str, headers: dict[str, str]) -> Response:
    """What the caller lacks of an original: nothing, a range, or all of it."""
    size, etag = await _fetch(lambda: measure_original(get_guests_bucket(), key))
    headers["ETag"] = f'"{etag}"'
    if is_known(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(None, 304, headers)
    wanted, unless = request.headers.get("range"), request.headers.get("if-range")
    part = read_range(wanted, unless, headers["ETag"], size)
    if part is None:
        return await _send_whole(request, key, headers)
    if not part:
        return Response(None, 416, {**headers, "Content-Range": f"bytes */{size}"})
    stream = await _fetch(lambda: open_original_stream(get_guests_bucket(), key, part))
    if (stream.size, stream.etag) != (len(part), etag):
        # Replaced in this moment, or its store gives no ranges: all of it is right as well.
        stream.close()
        return await _send_whole(request, key, headers)
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    headers["Content-Length"] = str(stream.size)
    return await start_download(request, name_address(request), stream, headers, status=206)


async def _redirect(sign: Callable[[], str]) -> Response:
    """To S3 itself. A link's address stays the same for half of its life, and so may this."""
    link = await _fetch(sign)
    headers = {"Cache-Control": f"private, max-age={get_settings().link_lifetime_s // 2}"}
    return RedirectResponse(link, 303, headers)


async def _fetch(work: Callable[[], T]) -> T:
    """What S3 answers. Raises PhotoNotFoundError where it does not give the object."""
    try:
        return await get_bulkhead(Kind.FETCHES).run(work)
    except PhotoUnavailableError as error:
        raise PhotoNotFoundError("This photo is not in the storage.") from error


async def _find_picture(gallery_token: str, photo_id: int, kind: str, request: Request) -> Picture:
    """What this guest is shown. Raises EventNotFoundError or PhotoNotFoundError."""
    if kind not in _KINDS:
        raise PhotoNotFoundError("A photo has no picture of this name.")
    photo, folder = await _find_photo(gallery_token, photo_id, request)
    accepted = request.headers.get("accept", "")
    takes_webp = "image/" not in accepted or "image/webp" in accepted
    key, shown = photo.s3_key, PREVIEW
    if kind != PREVIEW and photo.has_views:
        view = ViewKind.VIEW_JPEG if kind == ViewKind.VIEW and not takes_webp else ViewKind(kind)
        if takes_webp or view is ViewKind.VIEW_JPEG:  # a thumb has no JPEG but its preview
            key, shown = derive_view_key(photo.s3_key, folder, view), view
    return Picture(key, photo.s3_key, photo.version, f'"{photo.version}-{shown}"')


async def _find_photo(
    gallery_token: str, photo_id: int, request: Request
) -> tuple[GalleryPhoto, str]:
    """A photo that this guest may see, and its event's folder.

    Raises EventNotFoundError, PhotoNotFoundError, GalleryClosedError, PinRequiredError.
    """
    asked = (gallery_token, photo_id if 0 < photo_id <= MAX_ID else 0)
    found = await _get_lookups().ask(asked)
    if found.event is None:
        raise EventNotFoundError("Event not found")
    event = admit_guest(found.event, request)
    require_pass(event, photo_id, request.query_params.get("pass", ""))
    if found.photo is None:
        raise PhotoNotFoundError("This photo is not in this gallery.")
    return found.photo, event.folder


@dataclass(frozen=True)
class FoundPhoto:
    """What the database has for a gallery's token and a photo's id."""

    event: Event | None = None
    photo: GalleryPhoto | None = None


def _look_up(asked: Sequence[tuple[str, int]]) -> list[FoundPhoto]:
    with open_session() as session:
        found = find_gallery_photos(session, set(asked))
    return [FoundPhoto(*found.get(one, (None, None))) for one in asked]


_lookups: RunVar[Batches[tuple[str, int], FoundPhoto]] = RunVar("picture_lookups")


def _get_lookups() -> Batches[tuple[str, int], FoundPhoto]:
    """The event loop's."""
    try:
        return _lookups.get()
    except LookupError:
        _lookups.set(Batches(get_bulkhead(Kind.PICTURES), _look_up))
        return _lookups.get()
