"""The sender of a push on a fake bucket, and files on disk for it to send."""

from pathlib import Path

from deployments.push.folder import LocalFile
from deployments.push.mirror import SourceKeys, list_stored
from deployments.push.upload import NamedPhoto, PhotoSender, UploadResult
from tasks.images.preview import PreviewRecipe
from tests.support.fake_s3 import FakeClient, make_bucket

KEYS = SourceKeys.of("events/1/previews/", "Карта-1a2b3c4d")


def aim(
    store: FakeClient,
    *,
    preview_side: int = 640,
    max_photo_bytes: int = 50_000_000,
    max_original_bytes: int = 200_000_000,
    makes_views: bool = False,
) -> PhotoSender:
    """The sender as a push that begins now has it."""
    bucket = make_bucket(store)
    return PhotoSender(
        bucket,
        KEYS,
        list_stored(bucket, KEYS),
        PreviewRecipe(preview_side),
        max_photo_bytes=max_photo_bytes,
        max_original_bytes=max_original_bytes,
        makes_views=makes_views,
    )


def put_on_disk(folder: Path, relative: str, content: bytes) -> NamedPhoto:
    """A file, as the scan names it."""
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return NamedPhoto(LocalFile(path, relative, len(content), path.stat().st_mtime_ns), relative)


def send(sender: PhotoSender, photo: NamedPhoto) -> UploadResult:
    """Both halves of one photo, once."""
    result = sender.send_preview(photo)
    return result if result.not_sent else sender.send_rest(result)


class Heard:
    """A listener that writes down what it hears."""

    def __init__(self) -> None:
        self.previews: list[str] = []
        self.originals: list[str] = []

    def note_preview(self, result: UploadResult) -> None:
        """The first half."""
        self.previews.append(result.photo.name)

    def note_original(self, result: UploadResult) -> None:
        """The second half."""
        self.originals.append(result.photo.name)
