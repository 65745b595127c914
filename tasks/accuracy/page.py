"""The page docs/accuracy.md and its picture, made from a measurement; the page's words stay."""

import re
from collections.abc import Sequence
from pathlib import Path

from models.errors import MeasurementRefusedError
from tasks.accuracy.measure import Measurement
from tasks.accuracy.plot import Curve, Panel, draw_panels
from tasks.accuracy.rates import Rates
from tasks.accuracy.report import Cells, list_tables, summarise
from tasks.accuracy.samples import ViewRates

# Between these two lines of the page everything is written by the command.
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
PAGE, PICTURE = Path("accuracy.md"), Path("images") / "accuracy.svg"
BLUE, GREEN, RED = "#1d4ed8", "#0f766e", "#c2410c"
THRESHOLD_TICKS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def write_page(docs: Path, measured: Measurement) -> None:
    """Make the page's tables and its picture anew. Raises MeasurementRefusedError."""
    tables = list_tables(measured).items()
    text = "".join(f"\n**{title}**\n\n{_mark_down(cells)}" for title, cells in tables)
    page = docs / PAGE
    try:
        told = page.read_text("utf-8")
        whole = re.compile(f"{BEGIN}\n.*{END}", re.DOTALL)
        summary = f"{summarise(measured)}\n"
        page.write_text(whole.sub(lambda _: f"{BEGIN}\n\n{summary}{text}\n{END}", told), "utf-8")
        (docs / PICTURE).write_text(draw_picture(measured), "utf-8")
    except OSError as error:
        raise MeasurementRefusedError(
            f"{page} and its folder images/ cannot be read and written: give --docs the folder of "
            "the project's documents."
        ) from error


def draw_picture(measured: Measurement) -> str:
    """Own photos and wrong ones by threshold, and what is found of turned faces: an SVG.

    The second panel is of the expanded search, where there is one.
    """
    expansion = measured.figures.expansion
    thresholds = [
        _draw_rates("plain: own", BLUE, False, measured.plain),
        Curve("plain: wrong", RED, False, _list_wrong(measured.plain)),
    ]
    if measured.expanded:
        thresholds += [
            _draw_rates("exp.: own", BLUE, True, measured.expanded),
            Curve("exp.: wrong", RED, True, _list_wrong(measured.expanded)),
        ]
    turns = [
        _draw_turns("in a photo", BLUE, measured.turned_photos, expanded=expansion is not None),
        _draw_turns("as a selfie", GREEN, measured.turned_selfies, expanded=expansion is not None),
    ]
    degrees = [value for value, _ in turns[0].points]
    return draw_panels(
        [
            Panel(
                "Own photos shown, and guests with a wrong one",
                "similarity",
                thresholds,
                THRESHOLD_TICKS,
                ".1f",
            ),
            Panel("A turned face finds and is found", "degrees", turns, degrees),
        ]
    )


def _draw_rates(name: str, colour: str, is_dashed: bool, rates: Sequence[Rates]) -> Curve:
    return Curve(name, colour, is_dashed, [(one.threshold, one.recall) for one in rates])


def _list_wrong(rates: Sequence[Rates]) -> list[tuple[float, float]]:
    return [(one.threshold, one.wrong_any) for one in rates]


def _draw_turns(name: str, colour: str, views: Sequence[ViewRates], *, expanded: bool) -> Curve:
    points = [
        (float(one.view.rstrip("°")), (one.expanded if expanded else one.plain) or 0.0)
        for one in views
    ]
    return Curve(name, colour, False, points)


def _mark_down(cells: Cells) -> str:
    rule = ["---:"] * len(cells[0])
    return "".join(f"| {' | '.join(line)} |\n" for line in (cells[0], rule, *cells[1:]))
