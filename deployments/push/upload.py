"""The upload of photos to S3: for each photo the original, then its preview.

Several photos are sent at the same time, and what S3 already has is not sent again. A photo that
changes during its upload is tried again.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Semaphore
from typing import TypeVar

from deployments.push.folder import LocalFile
from deployments.push.mirror import SourceKeys, Stored
from models.errors import PhotoChangedError, PhotoUnavailableError, S3DownloadError
from models.keys import FileKind, judge_kind
from models.vocabulary import PhotoReason, Taking, ViewKind
from tasks.faces.limits import PixelBudget, count_cores
from tasks.images.preview import PreviewRecipe, make_preview
from tasks.images.taking import read_taking
from tasks.images.views import VIEWS_RECIPE, Views, make_preview_and_views
from tasks.s3.bucket import Bucket
from tasks.s3.objects import (
    MD5,
    ORIGINAL,
    REASON,
    RECIPE,
    delete_object,
    describe_taking,
    hash_file_md5,
    hash_md5,
    put_object,
    read_metadata,
)
from tasks.s3.views import (
    StoredViews,
    ViewNotes,
    delete_views,
    find_notes,
    has_foreign,
    put_views,
    read_views,
)

PIXELS_AT_A_TIME = 40_000_000  # decoded by all threads together: at most 800 MB
AT_A_TIME = 8
WAITING = 4 * AT_A_TIME  # handed to the threads, so that none is idle
ROUNDS = 3
PAUSE_S = 2.0  # for a file that is being copied
CHANGING = "it changed while it was sent"
# Of a RAW file there is no type that a browser knows: it is kept on the guest's disk as it is.
_TYPES = {
    FileKind.PHOTO: "image/jpeg",
    FileKind.HEIC: "image/heic",
    FileKind.AVIF: "image/avif",
    FileKind.TIFF: "image/tiff",
}
_OTHER_TYPES = {".png": "image/png", ".webp": "image/webp"}

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class NamedPhoto:
    """A file and its name below the source."""

    file: LocalFile
    name: str


@dataclass
class UploadResult:
    """What was done for a photo."""

    photo: NamedPhoto
    stamp: tuple[int, int] | None = None  # the file's size and time when it was read
    original_sent: bool = False
    preview_sent: bool = False
    views_sent: bool = False
    bytes_sent: int = 0
    reason: str | None = None  # why no preview can be made of it, from the list of the sync
    not_sent: str | None = None  # why it is not in S3 as it is on disk

    @property
    def size(self) -> int:
        """Bytes of the file when it was read."""
        return self.stamp[0] if self.stamp else 0

    @property
    def shown_name(self) -> str:
        """The file's path, without what could steer a terminal or is no text."""
        return "".join(c if c.isprintable() else "\ufffd" for c in self.photo.file.relative)

    def is_current(self) -> bool:
        """Whether the file is still the one that was sent."""
        return self.not_sent is None and self.stamp == read_stamp(self.photo.file.path)


def read_stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of change; None where the file is gone."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


@dataclass(frozen=True)
class Pictures:
    """What was made of an original, and when it was taken."""

    preview: bytes
    views: Views | None
    taking: Taking | None


@dataclass(frozen=True)
class PhotoSender:
    """Sends photos to one source, from any number of threads; what S3 has stays."""

    bucket: Bucket
    keys: SourceKeys
    stored: Stored
    recipe: PreviewRecipe
    max_photo_bytes: int
    max_original_bytes: int  # a larger file is sent, but no preview is made of it
    makes_views: bool = False
    # Few are decoded at a time.
    _turn: Semaphore = field(default_factory=lambda: Semaphore(count_cores()))
    _pixels: PixelBudget = field(default_factory=lambda: PixelBudget(PIXELS_AT_A_TIME))

    def send(self, photo: NamedPhoto) -> UploadResult:
        """Bring S3 up to date with one file. Raises S3AccessError or S3DownloadError."""
        path = photo.file.path
        result = UploadResult(photo, read_stamp(path))
        try:
            digest = hash_file_md5(path)
            if result.stamp is None or read_stamp(path) != result.stamp:
                raise PhotoChangedError
            etag = self._send_original(result, digest)
            self._send_pictures(result, digest, etag)
        except PhotoChangedError:
            result.not_sent = CHANGING
        except OSError as error:
            result.not_sent = f"it cannot be read ({error.strerror})"
        except MemoryError:
            result.not_sent = "this machine has too little memory for it"
        except S3DownloadError:
            # Its digest went ahead of it, so S3 takes no file that changes on the way.
            if read_stamp(path) == result.stamp:
                raise
            result.not_sent = CHANGING
        return result

    def _send_original(self, result: UploadResult, digest: str) -> str:
        """The original's ETag in S3, sent or found there."""
        name = result.photo.name
        key, listed = self.keys.original(name), self.stored.originals.get(name)
        if listed is not None and listed.size == result.size:
            # An ETag is the MD5, except with some encryptions: then the metadata has it.
            if listed.etag == digest:
                return listed.etag
            if (read_metadata(self.bucket, key) or {}).get(MD5) == digest:
                return listed.etag
        etag = self._put_file(result, key, digest, {})
        result.original_sent = True
        return etag

    def _send_pictures(self, result: UploadResult, digest: str, etag: str) -> None:
        """The preview where S3 lacks it, then the views.

        Views without their preview are make_views's: only it knows which photos were erased.
        """
        key = self.keys.preview(result.photo.name)
        tags = {ORIGINAL: etag, RECIPE: str(self.recipe)}
        found: Mapping[str, str] = {}
        if result.photo.name in self.stored.previews:
            found = read_metadata(self.bucket, key) or {}
        if tags.items() <= found.items():
            result.reason = found.get(REASON)
            return
        views = self._find_views(result.photo.name, etag)
        try:
            pictures = self._make_pictures(result, digest, with_views=views is not None)
            put_object(
                self.bucket,
                key,
                pictures.preview,
                hash_md5(pictures.preview),
                content_type="image/jpeg",
                metadata={**tags, **describe_taking(pictures.taking)},
            )
            result.bytes_sent += len(pictures.preview)
            result.preview_sent = True
            if pictures.views is not None and views is not None:
                self._put_views(result, pictures.views, views, etag)
            return
        except PhotoUnavailableError as error:
            result.reason = str(error.reason)
            if result.size > self.max_photo_bytes:
                delete_object(self.bucket, key)  # one of an earlier file
                return
            # Its own bytes stand in, so that the sync says of it why it cannot be read.
            self._put_file(result, key, digest, {**tags, REASON: result.reason})
        result.preview_sent = True

    def _find_views(self, name: str, etag: str) -> StoredViews | None:
        """What lies where a photo's views belong; None where none are to be sent.

        Where all are listed one tells of all. Somebody else's files are left alone.
        """
        keys = self.keys.views(name) if self.makes_views else {}
        listed = {kind: key for kind, key in keys.items() if key in self.stored.views}
        if not keys:
            return None
        if len(listed) == len(keys):
            jpeg = {ViewKind.VIEW_JPEG: keys[ViewKind.VIEW_JPEG]}
            if find_notes(read_views(self.bucket, jpeg), etag, VIEWS_RECIPE):
                return None
        stored = {**dict.fromkeys(keys), **read_views(self.bucket, listed)}
        return None if has_foreign(stored) else stored

    def _put_views(
        self, result: UploadResult, views: Views, stored: StoredViews, etag: str
    ) -> None:
        keys = self.keys.views(result.photo.name)
        notes = ViewNotes(etag, VIEWS_RECIPE, views.look)
        for _ in range(ROUNDS):
            try:
                result.bytes_sent += put_views(self.bucket, keys, views.contents, notes, stored)
                result.views_sent = True
            except PhotoChangedError:
                # Put since the listing: by a round before this one, or by make_views.
                stored = read_views(self.bucket, keys)
            if result.views_sent or has_foreign(stored) or find_notes(stored, etag, VIEWS_RECIPE):
                return

    def _make_pictures(self, result: UploadResult, digest: str, *, with_views: bool) -> Pictures:
        """The preview, the views where asked for, and when the original was taken.

        Raises PhotoUnavailableError, PhotoChangedError or OSError.
        """
        if result.size > self.max_original_bytes:
            raise PhotoUnavailableError(PhotoReason.TOO_MANY_BYTES)
        with self._turn:
            content = result.photo.file.path.read_bytes()
            if hash_md5(content) != digest:
                raise PhotoChangedError
            return make_pictures(content, self.recipe, self._pixels, with_views=with_views)

    def _put_file(
        self, result: UploadResult, key: str, digest: str, metadata: dict[str, str]
    ) -> str:
        path = result.photo.file.path
        with path.open("rb") as body:
            kind = name_type(path)
            etag = put_object(self.bucket, key, body, digest, content_type=kind, metadata=metadata)
        result.bytes_sent += result.size
        return etag


def make_pictures(
    content: bytes, recipe: PreviewRecipe, pixels: PixelBudget, *, with_views: bool
) -> Pictures:
    """An original's preview, and its views where asked for; no views where it has pixels for none.

    Raises PhotoUnavailableError where no preview can be made.
    """
    views = None
    try:
        if with_views:
            preview, views = make_preview_and_views(content, recipe, pixels.reserve, pixels.release)
        else:
            preview = make_preview(content, recipe, pixels.reserve)
    finally:
        pixels.release()
    return Pictures(preview, views, read_taking(content))


def name_type(path: Path) -> str:
    """The content type of a photo, by its suffix."""
    by_kind = _TYPES.get(judge_kind(path.name), "application/octet-stream")
    return _OTHER_TYPES.get(path.suffix.lower(), by_kind)


def send_photos(
    sender: PhotoSender, photos: Sequence[NamedPhoto], report: Callable[[UploadResult], None]
) -> list[UploadResult]:
    """Send every photo; one result each, by name. `report` hears of each file as it is done.

    Raises S3AccessError or S3DownloadError: the photos sent so far stay, and are known next time.
    """
    results: dict[str, UploadResult] = {}
    todo = list(photos)
    for round_number in range(ROUNDS):
        if round_number:
            time.sleep(PAUSE_S)
        for result in _run(sender.send, todo):
            if earlier := results.get(result.photo.name):
                result.original_sent |= earlier.original_sent
                result.preview_sent |= earlier.preview_sent
                result.views_sent |= earlier.views_sent
                result.bytes_sent += earlier.bytes_sent
            else:
                report(result)
            results[result.photo.name] = result
        todo = [result.photo for result in results.values() if not result.is_current()]
        if not todo:
            break
    for photo in todo:
        results[photo.name].not_sent = results[photo.name].not_sent or CHANGING
    return sorted(results.values(), key=lambda result: result.photo.name)


def delete_names(bucket: Bucket, keys: SourceKeys, names: Iterable[str]) -> int:
    """Delete photos from S3, each one's preview first, its original last; how many there were.

    A photo whose original is left by a kill in between is found and deleted by the next push.
    """

    def delete(name: str) -> None:
        delete_object(bucket, keys.preview(name))
        delete_views(bucket, keys.views(name).values())
        delete_object(bucket, keys.original(name))

    return sum(1 for _ in _run(delete, names))


def _run(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`work` for each item in threads, results as they come. An error ends it at once.

    Ended early, by an error or by Ctrl-C, it does not wait for what is under way: an upload is
    there whole or not at all.
    """
    source = iter(items)
    executor = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="push")
    try:
        waiting: set[Future[Result]] = {
            executor.submit(work, item) for item in islice(source, WAITING)
        }
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            waiting |= {executor.submit(work, item) for item in islice(source, len(done))}
            for future in done:
                yield future.result()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
