"""The report of a push, as text or as JSON, and the progress bars on the terminal."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from deployments.push.event import PushedEvent
from deployments.push.upload import NamedPhoto, UploadResult
from models.findings import advise_left_out, list_kinds, tell_findings

NAMED_AT_MOST = 20  # files in the summary; --json has all
LOG_EVERY_S = 30.0  # a line where no bar can move: in a log, or behind a pipe
RARE = {"not_sent": "not sent", "left": "still to send"}


@dataclass
class Report:
    """Filled as the push goes on, so that one that fails still tells how far it came."""

    event: PushedEvent | None = None
    source: str | None = None
    photos: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    results: dict[str, UploadResult] = field(default_factory=dict)  # by name, as they come
    deleted: int = 0
    sync: dict[str, Any] | None = None
    seconds: float = 0.0
    error: str | None = None
    exit_code: int = 0

    def take(self, results: Iterable[UploadResult]) -> None:
        """Keep how these photos went, in the place of what was said of them before."""
        self.results.update({result.photo.name: result for result in results})

    @property
    def not_sent(self) -> list[UploadResult]:
        """Photos that are not in S3 as they are on disk."""
        return [result for result in self._sort() if result.not_sent]

    def count(self) -> dict[str, int]:
        """Every photo once: sent, finished (only what an earlier push left), and so on."""
        counts = Counter(map(judge_result, self.results.values()))
        counts["left"] += self.photos - len(self.results)
        kinds = ("sent", "finished", "unchanged", "not_sent", "left")
        return {kind: counts[kind] for kind in kinds}

    @property
    def unreadable(self) -> list[UploadResult]:
        """Files that are no photos, whatever their names say."""
        return [r for r in self._sort() if r.reason and r.is_done and not r.not_sent]

    def _sort(self) -> list[UploadResult]:
        return [self.results[name] for name in sorted(self.results)]

    def as_json(self) -> dict[str, Any]:
        """One object; its fields are in docs/push.md."""
        event, results, counts = self.event, self.results.values(), self.count()
        return {
            "exit_code": self.exit_code,
            "error": self.error,
            "event": event and event.model_dump(exclude={"s3_prefix", "gallery_url"}),
            "source": self.source,
            "photos": self.photos,
            "originals_sent": sum(result.original_sent for result in results),
            "previews_sent": sum(result.preview_sent for result in results),
            "views_sent": sum(result.views_sent for result in results),
            "bytes_sent": sum(result.bytes_sent for result in results),
            "sent": counts["sent"],
            "finished": counts["finished"],
            "unchanged": counts["unchanged"],
            "left": counts["left"],
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
        yield self._tell_photos()
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
                f"Sync      {count_things(result['new_photos'], 'new photo')}{others}; "
                f"{count_things(result['faces_found'], 'face')} found"
            )
            yield from (f"Note      {sentence}" for sentence in tell_findings(result))

    def _tell_photos(self) -> str:
        counts = self.count()
        size = sum(result.bytes_sent for result in self.results.values()) / 1_000_000
        words = [f"{counts['sent']} sent", f"{counts['unchanged']} unchanged"]
        if counts["finished"]:
            words.insert(1, f"{counts['finished']} finished")
        words += [f"{counts[kind]} {what}" for kind, what in RARE.items() if counts[kind]]
        return (
            f"Photos    {self.photos}: {', '.join(words)} ({size:,.1f} MB); {self.deleted} deleted"
        )


def judge_result(result: UploadResult) -> str:
    """The one kind of photos that this one is counted among."""
    if result.not_sent:
        return "not_sent"
    if not result.is_done:
        return "left"
    if result.original_sent:
        return "sent"
    return "finished" if result.is_sent else "unchanged"


def count_things(count: int, thing: str) -> str:
    """So many things, in words."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


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

    def show_link(self, url: str) -> None:
        """The link for the guests, alone on standard output; its QR code where phones reach it."""
        if self._console.quiet:
            return
        from deployments.qr import draw_qr, is_local

        if is_local(url):
            self.say("Gallery   this link works on this computer only:")
        else:
            self.say(draw_qr(url))
            self.say("Gallery   the link for the guests:")
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()

    @contextmanager
    def show_transfer(self, photos: Sequence[NamedPhoto]) -> Iterator["Transfer"]:
        """Bars of previews, of all files' bytes, and of the faces that are found meanwhile."""
        shown = Transfer(
            self._open_bars(MofNCompleteColumn()),
            self._open_bars(DownloadColumn(), TransferSpeedColumn()),
            self._open_bars(MofNCompleteColumn(), TextColumn("{task.fields[note]}")),
            photos,
            self._open_log(),
        )
        with Live(Group(shown.previews, shown.sizes, shown.faces), console=self._console):
            yield shown
        if not self._console.is_interactive:
            self._console.print()  # where it draws once, it ends no line

    @contextmanager
    def show_sync(self) -> Iterator[Callable[[dict[str, Any], int], None]]:
        """A bar of photos; the callable takes the sync's status and the event's faces."""
        with self._open_bars(MofNCompleteColumn(), TextColumn("{task.fields[note]}")) as progress:
            bar = progress.add_task("Faces", total=None, note="")
            log = self._open_log()

            def show(status: dict[str, Any], faces: int) -> None:
                _move_sync(progress, bar, status, faces)
                log.tell(lambda: _tell_sync(status, faces))

            yield show

    def _open_log(self) -> "Log":
        return Log(None if self._console.is_interactive else self.say)

    def _open_bars(self, *columns: ProgressColumn) -> Progress:
        title = TextColumn("{task.description:<9}")
        time_left = TimeRemainingColumn(compact=True, elapsed_when_finished=True)
        return Progress(title, BarColumn(), *columns, time_left, console=self._console)


class Log:
    """Lines for a log or a pipe, where no bar can move: one now and then."""

    def __init__(self, say: Callable[[str], None] | None) -> None:
        """say: prints a line; None where bars move."""
        self._say, self._told_at = say, time.monotonic()

    def tell(self, write_line: Callable[[], str]) -> None:
        """Print the line that the callable writes, if it is time for one."""
        if self._say is not None and time.monotonic() >= self._told_at + LOG_EVERY_S:
            self._told_at = time.monotonic()
            self._say(write_line())


class Transfer:
    """The bars of photos on their way; `show_sync` may be called by another thread."""

    def __init__(
        self,
        previews: Progress,
        sizes: Progress,
        faces: Progress,
        photos: Sequence[NamedPhoto],
        log: Log,
    ) -> None:
        self.previews, self.sizes, self.faces, self._log = previews, sizes, faces, log
        size = sum(photo.file.size for photo in photos)
        self._previews = previews.add_task("Previews", total=len(photos))
        self._sizes = sizes.add_task("Originals", total=size)
        self._faces = faces.add_task("Faces", total=None, note="", visible=False)

    def note_preview(self, _result: UploadResult) -> None:
        """One preview further."""
        self.previews.advance(self._previews)
        self._log.tell(self._tell_sent)

    def note_original(self, result: UploadResult) -> None:
        """One file further."""
        self.sizes.advance(self._sizes, result.photo.file.size)
        self._log.tell(self._tell_sent)

    def _tell_sent(self) -> str:
        (previews,), (sizes,) = self.previews.tasks, self.sizes.tasks
        return (
            f"Sent      {previews.completed:.0f} of {previews.total:.0f} previews, "
            f"{sizes.completed / 1e6:,.1f} of {(sizes.total or 0) / 1e6:,.1f} MB of originals"
        )

    def show_sync(self, status: dict[str, Any], faces: int) -> None:
        """How the sync goes that runs meanwhile."""
        self.faces.update(self._faces, visible=True)
        _move_sync(self.faces, self._faces, status, faces)


def _tell_sync(status: dict[str, Any], faces: int) -> str:
    done = status["progress"]
    return f"Faces     {done['processed']} of {done['total']} photos, {count_things(faces, 'face')}"


def _move_sync(progress: Progress, bar: TaskID, status: dict[str, Any], faces: int) -> None:
    done, note = status["progress"], count_things(faces, "face")
    if status["state"] not in {"running", "completed"}:
        note = ": ".join(filter(None, [status["state"], status["detail"]]))
    progress.update(bar, completed=done["processed"], total=done["total"] or None, note=note)
