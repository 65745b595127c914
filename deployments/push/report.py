"""What a push did, as a person reads it and as `--json` gives it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from deployments.push.events import PushedEvent
from deployments.push.photo import PhotoResult

NAMED_AT_MOST = 20  # files in the summary; --json has all
_KINDS = {
    "raw": "RAW",
    "video": "video",
    "other_picture": "HEIC, TIFF or such (export them as JPEG)",
    "other": "other",
    "hidden": "hidden",
    "link": "links",
    "unnameable": "with names that are no text (rename them)",
}


@dataclass
class Report:
    """Filled as the push goes on, so that one that fails still tells how far it came."""

    event: PushedEvent | None = None
    source: str | None = None
    photos: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    results: Sequence[PhotoResult] = ()
    deleted: int = 0
    sync: dict[str, Any] | None = None
    seconds: float = 0.0
    error: str | None = None
    exit_code: int = 0

    @property
    def not_sent(self) -> list[PhotoResult]:
        """Photos that are not in S3 as they are on disk."""
        return [result for result in self.results if result.not_sent]

    @property
    def unreadable(self) -> list[PhotoResult]:
        """Files that are no photos, whatever their names say."""
        return [result for result in self.results if result.reason and not result.not_sent]

    def as_json(self) -> dict[str, Any]:
        """One object; its fields are in docs/push.md."""
        event = self.event
        return {
            "exit_code": self.exit_code,
            "error": self.error,
            "event": event
            and {
                "event_id": event.event_id,
                "event_uuid": event.event_uuid,
                "name": event.name,
                "profile": event.profile_name,
                "is_new": event.is_new,
            },
            "source": self.source,
            "photos": self.photos,
            "originals_sent": sum(result.original_sent for result in self.results),
            "previews_sent": sum(result.preview_sent for result in self.results),
            "bytes_sent": sum(result.bytes_sent for result in self.results),
            "unchanged": self._count_unchanged(),
            "deleted": self.deleted,
            "skipped": dict(self.skipped),
            "unreadable": [
                {"name": show_name(result.photo.file.relative), "reason": result.reason}
                for result in self.unreadable
            ],
            "not_sent": [
                {"name": show_name(result.photo.file.relative), "reason": result.not_sent}
                for result in self.not_sent
            ],
            "sync": self.sync,
            "gallery_url": event and event.gallery_url,
            "seconds": round(self.seconds, 1),
        }

    def tell(self) -> Iterator[str]:
        """The summary, a line each."""
        sent = sum(result.original_sent for result in self.results)
        size = sum(result.bytes_sent for result in self.results)
        yield (
            f"Photos    {self.photos}: {sent} sent ({show_size(size)}), "
            f"{self._count_unchanged()} unchanged, {self.deleted} deleted"
        )
        if left_out := [f"{n} {_KINDS[kind]}" for kind, n in sorted(self.skipped.items())]:
            yield f"Left out  {', '.join(left_out)}"
        yield from _name_files(
            "Unread    these are damaged or no photos:", [(r, r.reason) for r in self.unreadable]
        )
        yield from _name_files(
            "NOT SENT  run this again for", [(r, r.not_sent) for r in self.not_sent]
        )
        if self.sync and (result := self.sync["result"]):
            counts = {
                "known before": result["skipped"],
                "changed": result["updated"],
                "without a face": result["no_face"],
                "failed": result["failed"],
            }
            others = "".join(f", {count} {what}" for what, count in counts.items() if count)
            yield (
                f"Sync      {result['new_photos']} new photos{others}; "
                f"{result['faces_found']} faces found"
            )

    def _count_unchanged(self) -> int:
        return sum(
            not (result.original_sent or result.preview_sent or result.not_sent)
            for result in self.results
        )


def show_name(name: str) -> str:
    """A file's name, without what could steer a terminal or is no text."""
    return "".join(c if c.isprintable() else "\ufffd" for c in name)


def show_size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1_000_000:,.1f} MB"


def _name_files(title: str, files: list[tuple[PhotoResult, str | None]]) -> Iterator[str]:
    if not files:
        return
    named = [f"{show_name(result.photo.file.relative)} ({why})" for result, why in files]
    more = f" and {len(named) - NAMED_AT_MOST} more" if len(named) > NAMED_AT_MOST else ""
    yield f"{title} {', '.join(named[:NAMED_AT_MOST])}{more}"
