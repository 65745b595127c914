"""The study's tables, on the terminal and in docs/previews.md, and its plot."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.preview_sizes.costs import Costs
from benchmarks.preview_sizes.score import HeightScore
from tasks.accuracy.plot import Curve, Panel, draw_panels
from tasks.accuracy.report import print_tables

# Between these two lines of the page everything is written by the study.
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
PAGE, PICTURE = Path("previews.md"), Path("images") / "preview-sizes.svg"
COLOURS = {640: "#c2410c", 1280: "#0f766e", 1600: "#1d4ed8"}
FINE = 1280  # the detector size whose curves are solid; the others are dashed

Cells = list[list[str]]


@dataclass(frozen=True)
class Row:
    """A preview size and a detector size (pixels), and all that was measured with them.

    mistaken: vectors that reach the search's threshold with a person they are not.
    """

    preview_side: int
    det_size: int
    heights: list[HeightScore]
    false_detections: int
    mistaken: int
    costs: Costs

    @property
    def name(self) -> str:
        """As the tables have it."""
        return f"{self.preview_side}/{self.det_size}"


def list_tables(rows: Sequence[Row]) -> dict[str, Cells]:
    """Each table by its title; the first row is its head."""
    return {
        "Detected": _list_by_height(rows, lambda one: f"{one.detected:.0%}"),
        "Similarity to the same face in full size: mean, share above the threshold": (
            _list_by_height(rows, _tell_similarity)
        ),
        "Found by a selfie (detected, and above the threshold with its mirror image)": (
            _list_by_height(rows, lambda one: f"{one.found:.0%}")
        ),
        "Costs": _list_costs(rows),
    }


def write_tables(console: Console, rows: Sequence[Row]) -> None:
    """Print them."""
    print_tables(console, list_tables(rows))


def write_docs(docs: Path, rows: Sequence[Row]) -> None:
    """Make the page's tables and its plot anew; the page's words stay."""
    text = "".join(f"\n**{title}**\n\n{_mark_down(c)}" for title, c in list_tables(rows).items())
    page = docs / PAGE
    told = page.read_text("utf-8")
    whole = re.compile(f"{BEGIN}\n.*{END}", re.DOTALL)
    page.write_text(whole.sub(lambda _: f"{BEGIN}\n{text}\n{END}", told), "utf-8")
    (docs / PICTURE).write_text(draw_plot(rows), "utf-8")


def draw_plot(rows: Sequence[Row]) -> str:
    """Detected, and found by a selfie, by the height of the face: an SVG."""
    panels: dict[str, Callable[[HeightScore], float]] = {
        "Detected": lambda one: one.detected,
        "Found by a selfie": lambda one: one.found,
    }
    return draw_panels(
        [
            Panel(
                title,
                "height of the face in an original of 6000x4000, pixels",
                [
                    Curve(
                        row.name,
                        COLOURS.get(row.preview_side, "#525252"),
                        row.det_size != FINE,
                        [(one.height, read(one)) for one in row.heights],
                    )
                    for row in rows
                ],
                ticks=[one.height for one in rows[0].heights],
                is_logarithmic=True,
            )
            for title, read in panels.items()
        ]
    )


def _list_by_height(rows: Sequence[Row], tell: Callable[[HeightScore], str]) -> Cells:
    names = [row.name for row in rows]
    columns = [[tell(one) for one in row.heights] for row in rows]
    heights = [str(one.height) for one in rows[0].heights]
    return [["face, pixels", *names], *map(list, zip(heights, *columns, strict=True))]


def _tell_similarity(one: HeightScore) -> str:
    if one.similarity is None or one.kept is None:
        return "–"
    return f"{one.similarity:.2f}, {one.kept:.0%}"


def _list_costs(rows: Sequence[Row]) -> Cells:
    cells: dict[str, Callable[[Row], str]] = {
        "false detections": lambda row: str(row.false_detections),
        "taken for somebody else": lambda row: str(row.mistaken),
        "decode, ms": lambda row: f"{row.costs.decode_ms:.0f}",
        "detect, ms": lambda row: f"{row.costs.detect_ms:.0f}",
        "embed one face, ms": lambda row: f"{row.costs.face_ms:.1f}",
        "faces a photo": lambda row: f"{row.costs.faces:.1f}",
        "a photo on one thread, ms": lambda row: f"{row.costs.photo_ms:.0f}",
        "photos a second, all cores": lambda row: f"{row.costs.photos_per_s:.1f}",
        "a preview, kB": lambda row: f"{row.costs.kilobytes:.0f}",
    }
    head = ["", *(row.name for row in rows)]
    return [head, *([name, *map(tell, rows)] for name, tell in cells.items())]


def _mark_down(cells: Cells) -> str:
    rule = ["---:"] * len(cells[0])
    return "".join(f"| {' | '.join(line)} |\n" for line in (cells[0], rule, *cells[1:]))
