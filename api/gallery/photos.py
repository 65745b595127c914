"""A photo as the page's scripts know it, and the HTTP routes for zips of photos."""

from collections.abc import Generator, Sequence
from enum import StrEnum
from functools import partial
from itertools import zip_longest
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from pydantic import BaseModel, Field, field_validator

from api.bulkheads.downloads import DownloadResponse, hold_place, start_download
from api.bulkheads.searches import run_while_connected
from api.bulkheads.threads import Kind, get_bulkhead, in_threads
from api.gallery.access import build_pass, enter_gallery, require_pass
from api.gallery.archive import MAX_ZIP_PHOTOS, ZipEntry, clean_file_name, open_zip
from api.gallery.rendering import PRIVATE, GalleryRoute, read_language
from api.gallery.texts import tell
from api.security import name_address
from models.errors import PhotoNotFoundError
from models.keys import derive_view_key
from models.queries.photos import EventClock, GalleryPhoto, PageCursor, list_gallery_photos
from models.session import open_session
from models.tables import Event
from models.vocabulary import ViewKind, Visibility
from tasks.s3.bucket import get_guests_bucket
from tasks.s3.links import build_disposition

MAX_ID = 2**63 - 1
router = APIRouter(prefix="/gallery", route_class=GalleryRoute)


class ZipSize(StrEnum):
    """What of each photo a zip holds."""

    ORIGINAL = "original"
    PHONE = "phone"  # the view, as JPEG: what a screen shows, in a tenth of the bytes


class ZipWish(BaseModel):
    """The form of a zip. pass: one for each id, in the same order, where photos need one.

    Both may be sent once, joined by commas: a form has at most a thousand fields.
    """

    photo_ids: list[int] = Field(max_length=MAX_ZIP_PHOTOS)
    passes: list[str] = Field([], alias="pass", max_length=MAX_ZIP_PHOTOS)
    size: ZipSize = ZipSize.ORIGINAL
    # Its number among several zips, for its name.
    part: int = 1
    parts: int = 1

    @field_validator("photo_ids", "passes", mode="before")
    @classmethod
    def _split(cls, given: object) -> object:
        """One value for each photo."""
        if not isinstance(given, list):
            return given
        return [part for value in given for part in str(value).split(",")]


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


@router.get("/{gallery_token}/zip-parts")
@in_threads(Kind.PAGES)
def list_zip_parts(gallery_token: str, request: Request) -> dict[str, Any]:
    """All photos of an event whose guests may take them all at once, in parts of one zip each.

    bytes: of a part by size, null where that is not known of all its photos.
    """
    parts = []
    with open_session() as session:
        event = enter_gallery(session, gallery_token, request)
        if not event.download_all or event.visibility != Visibility.EVERYONE:
            raise PhotoNotFoundError("This gallery's photos cannot be taken all at once.")
        after = PageCursor(EventClock.from_row(event))
        while photos := list_gallery_photos(
            session, event.id or 0, after=after, limit=MAX_ZIP_PHOTOS
        ):
            parts.append(_describe_part(photos))
            after = after.move(photos[-1].id, photos[-1].taken_at)
    return {"photos": sum(len(part["photo_ids"]) for part in parts), "parts": parts}


def _describe_part(photos: Sequence[GalleryPhoto]) -> dict[str, Any]:
    sizes = {
        ZipSize.ORIGINAL: [
            0 if photo.original_missing else photo.original_bytes for photo in photos
        ],
        ZipSize.PHONE: [photo.view_bytes if photo.has_views else None for photo in photos],
    }
    known = {
        size: None if None in found else sum(filter(None, found)) for size, found in sizes.items()
    }
    return {"photo_ids": [photo.id for photo in photos], "bytes": known}


@router.post("/{gallery_token}/zip")
async def download_zip(
    gallery_token: str, request: Request, wish: Annotated[ZipWish, Form()]
) -> DownloadResponse:
    """Photos of this event as one zip; ids of other events' photos are left out."""
    name, entries = await get_bulkhead(Kind.PAGES).run(
        partial(_list_entries, gallery_token, wish, request)
    )
    language = read_language(request)
    if 1 <= wish.part <= wish.parts and wish.parts > 1:
        name = tell(language, "zip_part", name=name, part=wish.part, parts=wish.parts)

    def measure() -> tuple[int, Generator[bytes, None, None]]:
        words = tell(language, "zip_missing_name"), tell(language, "zip_missing")
        return open_zip(get_guests_bucket(), entries, missing=words)

    address = name_address(request)
    # Its place first: who gets none does not have S3 asked about each photo.
    with hold_place(address):
        size, pieces = await run_while_connected(
            request, partial(get_bulkhead(Kind.ZIPS).run, measure)
        )
    headers = {
        **PRIVATE,
        "Content-Type": "application/zip",
        "Content-Disposition": build_disposition(f"{clean_file_name(name)}.zip"),
        "Content-Length": str(size),
    }
    return await start_download(request, address, pieces, headers)


def _list_entries(
    gallery_token: str, wish: ZipWish, request: Request
) -> tuple[str, list[ZipEntry]]:
    """The event's name, and what its zip holds."""
    asked = [number for number in wish.photo_ids if 0 < number <= MAX_ID]
    with open_session() as session:
        event = enter_gallery(session, gallery_token, request)
        if event.visibility != Visibility.EVERYONE:
            for number, given in zip_longest(wish.photo_ids, wish.passes, fillvalue=""):
                require_pass(event, int(number or 0), str(given))
        photos = list_gallery_photos(
            session,
            event.id or 0,
            after=PageCursor(EventClock.from_row(event)),
            limit=MAX_ZIP_PHOTOS,
            photo_ids=asked,
        )
    if not photos:
        raise PhotoNotFoundError("None of these photos is in this gallery.")
    return event.name, [_choose_sources(photo, wish.size, event.folder) for photo in photos]


def _choose_sources(photo: GalleryPhoto, size: ZipSize, folder: str) -> ZipEntry:
    name = photo.original_key.rpartition("/")[2]
    original = (photo.original_key, name)
    if size is ZipSize.ORIGINAL:
        return ZipEntry([original])
    key = derive_view_key(photo.s3_key, folder, ViewKind.VIEW_JPEG)
    views = [(key, f"{PurePosixPath(name).stem}.jpg")] if photo.has_views else []
    return ZipEntry([*views, original, (photo.s3_key, photo.name)])
