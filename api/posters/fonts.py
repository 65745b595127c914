"""The posters' two fonts: widths of text, outlines of letters, and what they have no letter for."""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

FILES = {
    bold: Path(__file__).parent / "fonts" / name
    for bold, name in ((False, "DejaVuSans.ttf"), (True, "DejaVuSans-Bold.ttf"))
}
MM_A_POINT = 25.4 / 72


@lru_cache(maxsize=2)
def open_font(bold: bool) -> Any:  # noqa: ANN401 (fontTools is not annotated)
    """A font's tables, read whole: threads share it."""
    from fontTools.ttLib import TTFont

    return TTFont(FILES[bold], lazy=False)


@lru_cache(maxsize=2)
def _read_letters(bold: bool) -> dict[str, str]:
    """The name of each character's glyph."""
    return {chr(code): str(name) for code, name in open_font(bold).getBestCmap().items()}


@lru_cache(maxsize=2)
def _read_widths(bold: bool) -> dict[str, float]:
    """The width of each character, in parts of the size."""
    font = open_font(bold)
    letters, units = _read_letters(bold), font["head"].unitsPerEm
    return {sign: font["hmtx"][name][0] / units for sign, name in letters.items()}


def keep_letters(text: str) -> str:
    """The text on one line, without the characters that the fonts do not have, as emoji."""
    known = _read_widths(True).keys() & _read_widths(False).keys()
    composed = unicodedata.normalize("NFC", text)
    return " ".join("".join(c if c in known else " " * c.isspace() for c in composed).split())


def measure(text: str, size: float, bold: bool) -> float:
    """The width of a text in mm; size: in points."""
    widths = _read_widths(bold)
    return sum(widths[sign] for sign in text) * size * MM_A_POINT


def outline(text: str, x: float, y: float, size: float, bold: bool) -> str:
    """A text as an SVG path; x: its left end, y: its baseline, in mm."""
    from fontTools.pens.svgPathPen import SVGPathPen
    from fontTools.pens.transformPen import TransformPen

    font = open_font(bold)
    glyphs, letters = font.getGlyphSet(), _read_letters(bold)
    scale = size * MM_A_POINT / font["head"].unitsPerEm
    pen = SVGPathPen(glyphs, ntos=write_number)
    for sign, place in _place(text, x, size, bold):
        glyphs[letters[sign]].draw(TransformPen(pen, (scale, 0, 0, -scale, place, y)))
    return str(pen.getCommands())


def _place(text: str, x: float, size: float, bold: bool) -> Iterator[tuple[str, float]]:
    widths = _read_widths(bold)
    for sign in text:
        yield sign, x
        x += widths[sign] * size * MM_A_POINT


def write_number(value: float) -> str:
    """A coordinate, to the hundredth of a millimetre."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
