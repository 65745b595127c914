"""What the photographer sees while it goes on: lines and bars on standard error."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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

from deployments.push.photo import NamedPhoto, PhotoResult


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
    ) -> Iterator[Callable[[PhotoResult], None]]:
        """Bars of files and bytes; the callable moves them by one photo."""
        with self._open_bars() as (files, sizes):
            file_bar = files.add_task("Files", total=len(photos))
            size_bar = sizes.add_task("Bytes", total=sum(photo.file.size for photo in photos))

            def advance(result: PhotoResult) -> None:
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
