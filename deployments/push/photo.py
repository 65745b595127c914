"""One photo: its original goes up, then its preview; what S3 has already is not sent again."""

from dataclasses import dataclass
from pathlib import Path

from deployments.push.mirror import SourceKeys, Stored
from deployments.push.preview import PreviewMaker
from deployments.push.scan import LocalFile
from models.errors import S3DownloadError
from tasks.s3.bucket import Bucket
from tasks.s3.objects import (
    MD5,
    ORIGINAL,
    REASON,
    RECIPE,
    delete_object,
    hash_bytes,
    hash_file,
    name_recipe,
    put_object,
    read_metadata,
)

CHANGING = "it changed while it was sent"
_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}


@dataclass(frozen=True)
class NamedPhoto:
    """A file and its name below the source."""

    file: LocalFile
    name: str


@dataclass
class PhotoResult:
    """What was done for a photo."""

    photo: NamedPhoto
    stamp: tuple[int, int] | None = None  # the file's size and time when it was read
    original_sent: bool = False
    preview_sent: bool = False
    bytes_sent: int = 0
    reason: str | None = None  # why no preview can be made of it, from the list of the sync
    not_sent: str | None = None  # why it is not in S3 as it is on disk

    @property
    def size(self) -> int:
        """Bytes of the file when it was read."""
        return self.stamp[0] if self.stamp else 0

    def is_current(self) -> bool:
        """Whether the file is still the one that was sent."""
        return self.not_sent is None and self.stamp == read_stamp(self.photo.file.path)


@dataclass(frozen=True)
class Target:
    """Where the photos go, and what is there already."""

    bucket: Bucket
    keys: SourceKeys
    stored: Stored
    preview_side: int
    max_photo_bytes: int


def read_stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of change; None where the file is gone."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


class PhotoSender:
    """Sends photos, from any number of threads; what S3 has stays."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._recipe = name_recipe(target.preview_side)
        self._previews = PreviewMaker(target.preview_side)

    def send(self, photo: NamedPhoto) -> PhotoResult:
        """Bring S3 up to date with one file. Raises S3AccessError or S3DownloadError."""
        path = photo.file.path
        result = PhotoResult(photo, read_stamp(path))
        try:
            digest = hash_file(path)
            if result.stamp is None or read_stamp(path) != result.stamp:
                result.not_sent = CHANGING
                return result
            etag = self._send_original(result, digest)
            self._send_preview(result, digest, etag)
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

    def _send_original(self, result: PhotoResult, digest: str) -> str:
        """The original's ETag in S3, sent or found there."""
        target, name = self._target, result.photo.name
        key, listed = target.keys.originals + name, target.stored.originals.get(name)
        if listed is not None and listed.size == result.size:
            # An ETag is the MD5, except with some encryptions: then the metadata has it.
            if listed.etag == digest:
                return listed.etag
            if (read_metadata(target.bucket, key) or {}).get(MD5) == digest:
                return listed.etag
        etag = self._put_file(result, key, digest, {})
        result.original_sent = True
        return etag

    def _send_preview(self, result: PhotoResult, digest: str, etag: str) -> None:
        target, name = self._target, result.photo.name
        key, tags = target.keys.previews + name, {ORIGINAL: etag, RECIPE: self._recipe}
        if name in target.stored.previews:
            found = read_metadata(target.bucket, key) or {}
            if tags.items() <= found.items():
                result.reason = found.get(REASON)
                return
        preview = self._previews.make(result.photo.file.path, result.size, digest)
        if preview is None:
            result.not_sent = CHANGING
            return
        result.reason = preview.reason
        if preview.content is not None:
            self._put_preview(result, key, preview.content, tags)
        elif result.size <= target.max_photo_bytes:
            # Its own bytes stand in, so that the sync says of it why it cannot be read.
            self._put_file(result, key, digest, {**tags, REASON: str(preview.reason)})
        else:
            delete_object(target.bucket, key)  # one of an earlier file
            return
        result.preview_sent = True

    def _put_preview(
        self, result: PhotoResult, key: str, content: bytes, tags: dict[str, str]
    ) -> None:
        put_object(
            self._target.bucket,
            key,
            content,
            hash_bytes(content),
            content_type="image/jpeg",
            metadata=tags,
        )
        result.bytes_sent += len(content)

    def _put_file(
        self, result: PhotoResult, key: str, digest: str, metadata: dict[str, str]
    ) -> str:
        path = result.photo.file.path
        with path.open("rb") as body:
            etag = put_object(
                self._target.bucket,
                key,
                body,
                digest,
                content_type=_TYPES[path.suffix.lower()],
                metadata=metadata,
            )
        result.bytes_sent += result.size
        return etag
