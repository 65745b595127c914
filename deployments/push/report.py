"""The report of a push, as text or as JSON, and the progress bars on the terminal."""

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
from models.findings import advise_left_out, list_kinds, tell_findings

NAMED_AT_MOST = 20  # files in the summary; --json has all


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
    def unchanged(self) -> int:
        """How many photos S3 had already."""
        return sum(
            not (r.original_sent or r.preview_sent or r.views_sent or r.not_sent)
            for r in self.results
        )

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
            "event": event and event.model_dump(exclude={"s3_prefix", "gallery_url"}),
            "source": self.source,
            "photos": self.photos,
            "originals_sent": sum(result.original_sent for result in self.results),
            "previews_sent": sum(result.preview_sent for result in self.results),
            "views_sent": sum(result.views_sent for result in self.results),
            "bytes_sent": sum(result.bytes_sent for result in self.results),
            "unchanged": self.unchanged,
            "deleted": self.deleted,
            "skipped": dict(self.skipped),
            "unreadable": [
                {"name": result.shown_name, "reason": result.reason} for result in self.unreadable
            ],
            "not_sent": [
                {"name": result.shown_name, "reason": result.not_sent} for result in self.not_sent
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
            f"Photos    {self.photos}: {sent} sent ({size / 1_000_000:,.1f} MB), "
            f"{self.unchanged} unchanged, {self.deleted} deleted"
        )
        if left_out := list_kinds(self.skipped):
            yield " ".join([f"Left out  {left_out}.", *advise_left_out(self.skipped)])
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
            yield from (f"Note      {sentence}" for sentence in tell_findings(result))


def _name_files(title: str, files: list[tuple[UploadResult, str | None]]) -> Iterator[str]:
    if not files:
        return
    named = [f"{result.shown_name} ({why})" for result, why in files]
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
        files = self._open_bars(MofNCompleteColumn())
        sizes = self._open_bars(DownloadColumn(), TransferSpeedColumn())
        file_bar = files.add_task("Files", total=len(photos))
        size_bar = sizes.add_task("Bytes", total=sum(photo.file.size for photo in photos))

        def advance(result: UploadResult) -> None:
            files.advance(file_bar)
            sizes.advance(size_bar, result.photo.file.size)

        with Live(Group(files, sizes), console=self._console):
            yield advance
        if not self._console.is_interactive:
            self._console.print()  # where it draws once, it ends no line

    @contextmanager
    def show_sync(self) -> Iterator[Callable[[dict[str, Any], int], None]]:
        """A bar of photos; the callable takes the sync's status and the event's faces."""
        with self._open_bars(MofNCompleteColumn(), TextColumn("{task.fields[note]}")) as progress:
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

    def _open_bars(self, *columns: ProgressColumn) -> Progress:
        title = TextColumn("{task.description:<9}")
        time_left = TimeRemainingColumn(compact=True, elapsed_when_finished=True)
        return Progress(title, BarColumn(), *columns, time_left, console=self._console)
