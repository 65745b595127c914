"""Functions that list a source's objects in S3 and choose which of them to delete.

If too many photos would go, the deletion is refused until the user allows it.
"""

from collections.abc import Collection
from dataclasses import dataclass

from models.errors import DeletionRefusedError, PushRefusedError
from models.keys import (
    ListedPreview,
    cut_event_folder,
    derive_namesake,
    derive_view_keys,
    name_original,
    name_preview,
)
from models.vocabulary import ViewKind
from tasks.s3.bucket import Bucket

SMALL_DELETION = 10  # so many photos go without a question


@dataclass(frozen=True)
class Stored:
    """A source's objects: an original's name below the source -> how S3 lists it or its preview."""

    originals: dict[str, ListedPreview]
    previews: dict[str, ListedPreview]
    views: Collection[str] = frozenset()  # keys of objects that lie where views belong

    @property
    def names(self) -> set[str]:
        """Every name that S3 has."""
        return self.originals.keys() | self.previews.keys()


@dataclass(frozen=True)
class SourceKeys:
    """Where a source's objects lie; only keys below these folders, and views, are ever touched."""

    originals: str
    previews: str
    folder: str = ""  # the event's

    @classmethod
    def of(cls, s3_prefix: str, source: str) -> "SourceKeys":
        """The folders of a source of an event; s3_prefix: of the event's previews."""
        folder = cut_event_folder(s3_prefix)
        originals = derive_namesake(s3_prefix, folder)
        return cls(f"{originals}{source}/", f"{s3_prefix}{source}/", folder)

    def original(self, name: str) -> str:
        """The key of an original."""
        return self.originals + name

    def preview(self, name: str) -> str:
        """The key of an original's preview."""
        return self.previews + name_preview(name)

    def views(self, name: str) -> dict[ViewKind, str]:
        """The keys of an original's views; empty where it can have none."""
        return derive_view_keys(self.preview(name), self.folder) or {}


def list_stored(bucket: Bucket, keys: SourceKeys) -> Stored:
    """List the source. Raises S3AccessError or S3DownloadError."""
    previews = _list(bucket, keys.previews)
    folders = {f"{key.rpartition('/')[0]}/" for key in keys.views("any.jpg").values()}
    return Stored(
        _list(bucket, keys.originals),
        {name_original(name): preview for name, preview in previews.items()},
        {folder + name for folder in folders for name in _list(bucket, folder)},
    )


def _list(bucket: Bucket, prefix: str) -> dict[str, ListedPreview]:
    return {
        item.s3_key.removeprefix(prefix): item
        for page in bucket.list_pages(prefix)
        for item in page
        if not item.s3_key.endswith("/")
    }


def choose_deletions(
    stored: Stored, wanted: Collection[str], *, allowed: bool, called_before: str | None = None
) -> list[str]:
    """Names in S3 that are not in the folder any more.

    Raises DeletionRefusedError where these are so many that the folder may be the wrong one, or
    where it was called something else before, unless that is `allowed`.
    """
    doomed = sorted(stored.names - set(wanted))
    if allowed or not doomed:
        return doomed
    if called_before is not None:
        why = f"and was called {called_before} when it was first pushed: is it a copy?"
    elif not wanted:
        why = "and is empty now: is this the right folder, and the card in its place?"
    elif len(doomed) > SMALL_DELETION and len(doomed) * 2 > len(stored.names):
        why = "which is more than half of them: is this the right folder?"
    else:
        return doomed
    raise DeletionRefusedError(
        f"The folder lacks {len(doomed)} of the {len(stored.names)} photos that it sent before, "
        f"{why} Nothing was sent. --delete deletes them from the event, --keep keeps them."
    )


def require_kept(stored: Stored, sent: Collection[str]) -> None:
    """Look, before anything is deleted, whether S3 has what was sent under the names it was given.

    Raises PushRefusedError: a store that spells a name otherwise would have the photo itself
    deleted under that other name.
    """
    if lost := sorted(set(sent) - stored.originals.keys()):
        raise PushRefusedError(
            f"S3 does not list {len(lost)} of the photos that it took, the first {lost[0]!r}: "
            "rename these files. Nothing was deleted."
        )
