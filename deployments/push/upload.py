"""The upload of photos to S3: the previews of all photos first, then originals and views.

Several photos are sent at the same time, and what S3 already has is not sent again. A photo that
changes during its upload is tried again.
"""

import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Semaphore
from typing import Protocol, TypeVar

from deployments.push.folder import LocalFile
from deployments.push.mirror import SourceKeys, Stored
from models.errors import PhotoChangedError, PhotoUnavailableError, S3DownloadError
from models.keys import FileKind, ListedPreview, judge_kind
from models.vocabulary import PhotoReason, ViewKind
from tasks.faces.limits import PixelBudget, count_cores
from tasks.images.preview import PreviewRecipe, make_preview
from tasks.images.taking import read_taking
from tasks.images.views import VIEWS_RECIPE, Views, try_views
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
HEAD_BYTES = 262_144  # of a file, to read when it was taken
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
    digest: str = ""  # the file's MD5
    etag: str | None = None  # of the original in S3, once it is there
    stands_in: bool = False  # its own bytes are to lie where its preview belongs
    is_done: bool = False  # S3 has all of it
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

    @property
    def is_sent(self) -> bool:
        """Whether anything of it was sent."""
        return self.original_sent or self.preview_sent or self.views_sent

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


class Listener(Protocol):
    """Whoever is told of each photo: as its preview is there or cannot be, and as all of it is."""

    def note_preview(self, result: UploadResult) -> None:
        """The first half is done."""

    def note_original(self, result: UploadResult) -> None:
        """The second half is done, or was not tried."""


@dataclass(frozen=True)
class PhotoSender:
    """Sends photos to one source, from any number of threads; what S3 has stays.

    `stored` is what S3 was listed to have, and has been sent since.
    """

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

    def send_preview(self, photo: NamedPhoto, *, as_scanned: bool = False) -> UploadResult:
        """Bring one file's preview up to date. Raises S3AccessError or S3DownloadError.

        as_scanned: a file that is not as the scan saw it is not sent. It may be another card's, by
        now in the same place. From here on the digest says which file is sent.
        """
        path = photo.file.path
        result = UploadResult(photo, photo.file.stamp if as_scanned else read_stamp(path))
        with note_trouble(result):
            result.digest = hash_file_md5(path)
            if read_stamp(path) != result.stamp:
                raise PhotoChangedError
            result.etag = self._find_original(result)
            self._send_preview(result)
        return result

    def send_rest(self, result: UploadResult) -> UploadResult:
        """Bring the original up to date, then the views or what stands in for a preview.

        Raises S3AccessError or S3DownloadError.
        """
        with note_trouble(result):
            if read_stamp(result.photo.file.path) != result.stamp:
                raise PhotoChangedError
            etag = result.etag or self._send_original(result)
            if result.stands_in:
                self._send_stand_in(result, etag)
            elif result.preview_sent:
                self._send_views(result, etag)
            result.is_done = True
        return result

    def _find_original(self, result: UploadResult) -> str | None:
        """The ETag of the original where S3 has it as it is on disk."""
        name = result.photo.name
        listed = self.stored.originals.get(name)
        if listed is None or listed.size != result.size:
            return None
        # An ETag is the MD5, except with some encryptions: then the metadata has it.
        if listed.etag == result.digest:
            return listed.etag
        found = read_metadata(self.bucket, self.keys.original(name)) or {}
        return listed.etag if found.get(MD5) == result.digest else None

    def _send_original(self, result: UploadResult) -> str:
        name = result.photo.name
        key = self.keys.original(name)
        result.etag = self._put_file(result, key, {})
        self.stored.originals[name] = ListedPreview(key, result.etag, result.size)
        result.original_sent = True
        return result.etag

    def _send_preview(self, result: UploadResult) -> None:
        """Make and put the preview where S3 lacks it.

        Its note says the original's MD5, which mostly is the ETag that the original will have.
        """
        name = result.photo.name
        key = self.keys.preview(name)
        if name in self.stored.previews:
            found = read_metadata(self.bucket, key) or {}
            is_made = found.get(RECIPE) == str(self.recipe)
            if is_made and found.get(ORIGINAL) in {result.etag, result.digest}:
                result.reason = found.get(REASON)
                return
        try:
            with self._read(result) as content:
                preview = make_preview(content, self.recipe, self._pixels.reserve)
                taking = describe_taking(read_taking(content))
        except PhotoUnavailableError as error:
            result.reason, result.stands_in = str(error.reason), True
            return
        etag = put_object(
            self.bucket,
            key,
            preview,
            hash_md5(preview),
            content_type="image/jpeg",
            metadata={ORIGINAL: result.etag or result.digest, RECIPE: str(self.recipe), **taking},
        )
        self.stored.previews[name] = ListedPreview(key, etag, len(preview))
        result.bytes_sent += len(preview)
        result.preview_sent = True

    def _send_stand_in(self, result: UploadResult, etag: str) -> None:
        """Put the file's own bytes, so that the sync says of it why it cannot be read."""
        name = result.photo.name
        key = self.keys.preview(name)
        if result.size > self.max_photo_bytes:
            delete_object(self.bucket, key)  # one of an earlier file
            self.stored.previews.pop(name, None)
            return
        notes = {ORIGINAL: etag, RECIPE: str(self.recipe), REASON: str(result.reason)}
        put = self._put_file(result, key, notes)
        self.stored.previews[name] = ListedPreview(key, put, result.size)
        result.preview_sent = True

    def _send_views(self, result: UploadResult, etag: str) -> None:
        """Make and put the views of a photo whose preview was sent.

        Those of other photos are make_views's: only it knows which photos were erased.
        """
        stored = self._find_views(result.photo.name, etag)
        if stored is None:
            return
        with self._read(result) as content:
            views = try_views(content, self._pixels.reserve)
        if views is not None:
            self._put_views(result, views, stored, etag)

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
                return
            except PhotoChangedError:
                # Put since the listing: by a round before this one, or by make_views.
                stored = read_views(self.bucket, keys)
            if has_foreign(stored) or find_notes(stored, etag, VIEWS_RECIPE):
                return

    @contextmanager
    def _read(self, result: UploadResult) -> Iterator[bytes]:
        """The file's bytes, for the block in which they are decoded.

        Raises PhotoUnavailableError, PhotoChangedError or OSError.
        """
        if result.size > self.max_original_bytes:
            raise PhotoUnavailableError(PhotoReason.TOO_MANY_BYTES)
        with self._turn:
            content = result.photo.file.path.read_bytes()
            if hash_md5(content) != result.digest:
                raise PhotoChangedError
            try:
                yield content
            finally:
                self._pixels.release()

    def _put_file(self, result: UploadResult, key: str, metadata: dict[str, str]) -> str:
        path = result.photo.file.path
        with path.open("rb") as body:
            kind = name_type(path)
            etag = put_object(
                self.bucket, key, body, result.digest, content_type=kind, metadata=metadata
            )
        result.bytes_sent += result.size
        return etag


@contextmanager
def note_trouble(result: UploadResult) -> Iterator[None]:
    """Say of the photo what goes wrong with its file in the block; S3's errors are raised."""
    try:
        yield
    except PhotoChangedError:
        result.not_sent = CHANGING
    except OSError as error:
        result.not_sent = f"it cannot be read ({error.strerror})"
    except MemoryError:
        result.not_sent = "this machine has too little memory for it"
    except S3DownloadError:
        # Its digest went ahead of it, so S3 takes no file that changes on the way.
        if read_stamp(result.photo.file.path) == result.stamp:
            raise
        result.not_sent = CHANGING


def name_type(path: Path) -> str:
    """The content type of a photo, by its suffix."""
    by_kind = _TYPES.get(judge_kind(path.name), "application/octet-stream")
    return _OTHER_TYPES.get(path.suffix.lower(), by_kind)


def sort_by_taking(photos: Iterable[NamedPhoto], known: Container[str]) -> list[NamedPhoto]:
    """What S3 lacks in the order of taking, as the files tell it, then by path; the rest last."""
    by_path = sorted(photos, key=lambda photo: photo.file.relative)
    new = [photo for photo in by_path if photo.name not in known]
    # The threads give them in another order; the sort is stable.
    taken = dict(run_in_threads(lambda photo: (photo.name, _read_moment(photo.file.path)), new))
    new.sort(key=lambda photo: taken[photo.name])
    return [*new, *(photo for photo in by_path if photo.name in known)]


def _read_moment(path: Path) -> str:
    """When a photo was taken; of one that does not tell what is sorted behind all others."""
    try:
        with path.open("rb") as file:
            taking = read_taking(file.read(HEAD_BYTES))
    except OSError:
        taking = None
    return taking.taken_at.isoformat() if taking else "~"


def send_photos(
    sender: PhotoSender,
    photos: Sequence[NamedPhoto],
    listener: Listener,
    is_in_place: Callable[[], bool] = lambda: True,
) -> list[UploadResult]:
    """Send every photo, all previews before the first original; one result each, by name.

    The listener hears of each photo once. What changed since the scan is tried again while the
    folder `is_in_place`, which another card's is not. Raises S3AccessError or S3DownloadError: the
    photos sent so far stay, and are known next time.
    """
    results: dict[str, UploadResult] = {}
    todo = list(photos)
    for round_number in range(ROUNDS):
        if round_number:
            time.sleep(PAUSE_S)
            if not is_in_place():
                break
        _send_round(sender, todo, listener, results, is_first=not round_number)
        todo = [result.photo for result in results.values() if not result.is_current()]
        if not todo:
            break
    for photo in todo:
        results[photo.name].not_sent = results[photo.name].not_sent or CHANGING
    return sorted(results.values(), key=lambda result: result.photo.name)


def _send_round(
    sender: PhotoSender,
    todo: Sequence[NamedPhoto],
    listener: Listener,
    results: dict[str, UploadResult],
    *,
    is_first: bool,
) -> None:
    earlier = {photo.name: results[photo.name] for photo in todo if photo.name in results}
    send = partial(sender.send_preview, as_scanned=is_first)
    for result in run_in_threads(send, todo):
        if before := earlier.get(result.photo.name):
            result.original_sent |= before.original_sent
            result.preview_sent |= before.preview_sent
            result.views_sent |= before.views_sent
            result.bytes_sent += before.bytes_sent
        results[result.photo.name] = result
        if before is None:
            listener.note_preview(result)
    # In the order of the previews, which is not the one in which these were ready.
    previewed = [results[photo.name] for photo in todo if not results[photo.name].not_sent]
    for result in run_in_threads(sender.send_rest, previewed):
        if result.photo.name not in earlier:
            listener.note_original(result)
    for photo in todo:
        if photo.name not in earlier and results[photo.name] not in previewed:
            listener.note_original(results[photo.name])


def delete_names(bucket: Bucket, keys: SourceKeys, names: Iterable[str]) -> int:
    """Delete photos from S3, each one's preview first, its original last; how many there were.

    A photo whose original is left by a kill in between is found and deleted by the next push.
    """

    def delete(name: str) -> None:
        delete_object(bucket, keys.preview(name))
        delete_views(bucket, keys.views(name).values())
        delete_object(bucket, keys.original(name))

    return sum(1 for _ in run_in_threads(delete, names))


def run_in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
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
