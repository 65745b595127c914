"""A plot as SVG: curves of shares over an even or a logarithmic axis, panels side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import log

PANEL = (440, 300)  # width and height of a panel's axes, in the picture's units
MARGIN = (56, 44, 24, 92)  # left, top, right, bottom of a panel
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
SAMPLE_PX = 130  # of the legend, a curve of a short name
LETTER_PX = 7
FONT = "font-family='system-ui, sans-serif' font-size='13' fill='#262626'"


@dataclass(frozen=True)
class Curve:
    """A named line through points (along the axis, share in 0..1)."""

    name: str
    colour: str
    is_dashed: bool
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """Curves over one axis, which begins and ends with the first curve.

    ticks: values that are named along the axis, in `number`'s format.
    """

    title: str
    axis: str
    curves: Sequence[Curve]
    ticks: Sequence[float]
    number: str = ".0f"
    is_logarithmic: bool = False

    @property
    def names(self) -> list[str]:
        """The curves' names, for the legend."""
        return [curve.name for curve in self.curves]

    def place_point(self, value: float, share: float) -> tuple[float, float]:
        """Where a point lies in the panel's axes, from their left upper corner."""
        low, high = self.curves[0].points[0][0], self.curves[0].points[-1][0]
        if self.is_logarithmic:
            along = log(value / low) / log(high / low)
        else:
            along = (value - low) / (high - low)
        return round(along * PANEL[0], 1), round((1 - share) * PANEL[1], 1)


def draw_panels(panels: Sequence[Panel]) -> str:
    """The panels, and a legend under the first of those that have the same curves.

    Nothing in it comes from elsewhere.
    """
    left, top, right, bottom = MARGIN
    step = left + PANEL[0] + right
    width, height = step * len(panels), top + PANEL[1] + bottom
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' {FONT}>",
        f"<rect width='{width}' height='{height}' fill='white'/>",
    ]
    for number, panel in enumerate(panels):
        parts.append(f"<g transform='translate({number * step + left} {top})'>")
        parts += [*_draw_axes(panel), *(_draw_curve(panel, one) for one in panel.curves), "</g>"]
    for number, panel in enumerate(panels):
        if not number or panel.names != panels[number - 1].names:
            parts.append(f"<g transform='translate({number * step + left} {height - 18})'>")
            parts += [*_draw_legend(panel), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _draw_axes(panel: Panel) -> list[str]:
    width, height = PANEL
    lines = [f"<text x='{width / 2}' y='-16' text-anchor='middle'>{escape(panel.title)}</text>"]
    for share in SHARES:
        y = (1 - share) * height
        lines.append(f"<path d='M0 {y}H{width}' stroke='#e5e5e5'/>")
        lines.append(f"<text x='-8' y='{y + 4}' text-anchor='end'>{share:.0%}</text>")
    for value in panel.ticks:
        x, _ = panel.place_point(value, 0)
        told = format(value, panel.number)
        lines.append(f"<path d='M{x} 0V{height}' stroke='#f0f0f0'/>")
        lines.append(f"<text x='{x}' y='{height + 18}' text-anchor='middle'>{told}</text>")
    lines.append(
        f"<text x='{width / 2}' y='{height + 40}' text-anchor='middle'>{escape(panel.axis)}</text>"
    )
    return lines


def _draw_curve(panel: Panel, curve: Curve) -> str:
    places = (panel.place_point(value, share) for value, share in curve.points)
    return _draw_line(curve, " ".join(f"{x},{y}" for x, y in places))


def _draw_legend(panel: Panel) -> list[str]:
    start, parts = 0, []
    for curve in panel.curves:
        line = _draw_line(curve, f"{start},0 {start + 36},0")
        parts.append(f"{line}<text x='{start + 44}' y='4'>{escape(curve.name)}</text>")
        start += max(SAMPLE_PX, 52 + LETTER_PX * len(curve.name))
    return parts


def _draw_line(curve: Curve, points: str) -> str:
    dashes = " stroke-dasharray='6 4'" if curve.is_dashed else ""
    return (
        f"<polyline points='{points}' fill='none' stroke='{curve.colour}' stroke-width='2.5'"
        f" stroke-linejoin='round'{dashes}/>"
    )
