"""A plot as SVG: curves of shares over a logarithmic axis of pixels, panels side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import log

PANEL = (440, 300)  # width and height of a panel's axes, in the picture's units
MARGIN = (56, 44, 24, 92)  # left, top, right, bottom of a panel
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
SAMPLE_PX = 130  # of the legend, a curve
FONT = "font-family='system-ui, sans-serif' font-size='13' fill='#262626'"


@dataclass(frozen=True)
class Curve:
    """A named line through points (pixels, share in 0..1)."""

    name: str
    colour: str
    is_dashed: bool
    points: Sequence[tuple[float, float]]


def draw_panels(panels: Mapping[str, Sequence[Curve]], axis: str) -> str:
    """The panels by their titles, with one legend; nothing in it comes from elsewhere."""
    left, top, right, bottom = MARGIN
    step = left + PANEL[0] + right
    width, height = step * len(panels), top + PANEL[1] + bottom
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' {FONT}>",
        f"<rect width='{width}' height='{height}' fill='white'/>",
    ]
    for number, (title, curves) in enumerate(panels.items()):
        parts.append(f"<g transform='translate({number * step + left} {top})'>")
        parts += [*_draw_axes(title, curves, axis), *map(_draw_curve, curves), "</g>"]
    first = next(iter(panels.values()))
    parts.append(f"<g transform='translate({left} {height - 18})'>")
    parts += [*(_draw_sample(curve, i) for i, curve in enumerate(first)), "</g>", "</svg>"]
    return "\n".join(parts) + "\n"


def place_point(pixels: float, share: float, ends: tuple[float, float]) -> tuple[float, float]:
    """Where a point lies in a panel whose axis goes from the first of `ends` to the second."""
    along = log(pixels / ends[0]) / log(ends[1] / ends[0])
    return round(along * PANEL[0], 1), round((1 - share) * PANEL[1], 1)


def _find_ends(curve: Curve) -> tuple[float, float]:
    return curve.points[0][0], curve.points[-1][0]


def _draw_axes(title: str, curves: Sequence[Curve], axis: str) -> list[str]:
    width, height = PANEL
    lines = [f"<text x='{width / 2}' y='-16' text-anchor='middle'>{escape(title)}</text>"]
    for share in SHARES:
        y = (1 - share) * height
        lines.append(f"<path d='M0 {y}H{width}' stroke='#e5e5e5'/>")
        lines.append(f"<text x='-8' y='{y + 4}' text-anchor='end'>{share:.0%}</text>")
    for pixels, _ in curves[0].points:
        x, _ = place_point(pixels, 0, _find_ends(curves[0]))
        lines.append(f"<path d='M{x} 0V{height}' stroke='#f0f0f0'/>")
        lines.append(f"<text x='{x}' y='{height + 18}' text-anchor='middle'>{pixels:.0f}</text>")
    lines.append(
        f"<text x='{width / 2}' y='{height + 40}' text-anchor='middle'>{escape(axis)}</text>"
    )
    return lines


def _draw_curve(curve: Curve) -> str:
    ends = _find_ends(curve)
    places = (place_point(pixels, share, ends) for pixels, share in curve.points)
    return _draw_line(curve, " ".join(f"{x},{y}" for x, y in places))


def _draw_sample(curve: Curve, number: int) -> str:
    start = number * SAMPLE_PX
    line = _draw_line(curve, f"{start},0 {start + 36},0")
    return f"{line}<text x='{start + 44}' y='4'>{escape(curve.name)}</text>"


def _draw_line(curve: Curve, points: str) -> str:
    dashes = " stroke-dasharray='6 4'" if curve.is_dashed else ""
    return (
        f"<polyline points='{points}' fill='none' stroke='{curve.colour}' stroke-width='2.5'"
        f" stroke-linejoin='round'{dashes}/>"
    )
