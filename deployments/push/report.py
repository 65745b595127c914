"""The report of a push, for a person and as `--json` gives it; its lines and bars on the way."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from deployments.push.event import PushedEvent
from deployments.push.upload import NamedPhoto, UploadResult

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
    results: Sequence[UploadResult] = ()
    deleted: int = 0
    sync: dict[str, Any] | None = None
    seconds: float = 0.0
    error: str | None = None
    exit_code: int = 0

    @property
    def not_sent(self) -> list[UploadResult]:
        """Photos that are not in S3 as they are on disk."""
        return [result for result in self.results if result.not_sent]

    @property
    def unreadable(self) -> list[UploadResult]:
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


def _name_files(title: str, files: list[tuple[UploadResult, str | None]]) -> Iterator[str]:
    if not files:
        return
    named = [f"{show_name(result.photo.file.relative)} ({why})" for result, why in files]
    more = f" and {len(named) - NAMED_AT_MOST} more" if len(named) > NAMED_AT_MOST else ""
    yield f"{title} {', '.join(named[:NAMED_AT_MOST])}{more}"


class Screen:
    """Lines and bars; silent for --json."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, line: str) -> None:
        """One line."""
        self._console.print(line, markup=False)

    def complain(self, sentence: str) -> None:
        """What went wrong."""
        self._console.print(sentence, style="red", markup=False)

    @contextmanager
    def show_transfer(
        self, photos: Sequence[NamedPhoto]
    ) -> Iterator[Callable[[UploadResult], None]]:
        """Bars of files and bytes; the callable moves them by one photo."""
        with self._open_bars() as (files, sizes):
            file_bar = files.add_task("Files", total=len(photos))
            size_bar = sizes.add_task("Bytes", total=sum(photo.file.size for photo in photos))

            def advance(result: UploadResult) -> None:
                files.advance(file_bar)
                sizes.advance(size_bar, result.photo.file.size)

            yield advance

    @contextmanager
    def show_sync(self) -> Iterator[Callable[[dict[str, Any], int], None]]:
        """A bar of photos; the callable takes the sync's status and the event's faces."""
        columns = _make_columns(MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
        with Progress(*columns, console=self._console) as progress:
            bar = progress.add_task("Faces", total=None, note="")

            def show(status: dict[str, Any], faces: int) -> None:
                done = status["progress"]
                note = f"{faces} faces"
                if status["state"] not in {"running", "completed"}:
                    note = ": ".join(filter(None, [status["state"], status["detail"]]))
                progress.update(
                    bar, completed=done["processed"], total=done["total"] or None, note=note
                )

            yield show

    @contextmanager
    def _open_bars(self) -> Iterator[tuple[Progress, Progress]]:
        files = Progress(*_make_columns(MofNCompleteColumn()), console=self._console)
        sizes = Progress(
            *_make_columns(DownloadColumn(), TransferSpeedColumn()), console=self._console
        )
        with Live(Group(files, sizes), console=self._console):
            yield files, sizes
        if not self._console.is_interactive:
            self._console.print()  # where it draws once, it ends no line


def _make_columns(*own: ProgressColumn) -> list[ProgressColumn]:
    return [
        TextColumn("{task.description:<9}"),
        BarColumn(),
        *own,
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    ]
