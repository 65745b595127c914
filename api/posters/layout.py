"""The places of everything on a poster, in millimetres from its upper left corner.

Head and notice take what they need, the code stands between them. Where a long name leaves too
little room, sizes shrink step by step until all fits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from api.posters.content import Poster
from api.posters.fonts import MM_A_POINT, measure

Size = Literal["a4", "card"]

LEADING = 1.25
INK, PALE, WARNING, RULE = "#1b1815", "#5f5a54", "#b00020", "#1b1815"
STEPS = [1 - 0.05 * step for step in range(15)]  # down to 0.3
LEAST_CODE, LEAST_TEXT = 0.55, 0.75  # shares of the full size: below, nobody reads it any more


@dataclass(frozen=True)
class Sheet:
    """A size of paper and of what is on it: lengths in mm, texts in points."""

    width: float
    height: float
    margin: float
    gap: float
    logo: float
    code: float
    title: float
    facts: float
    call: float
    address: float
    notice: float

    def shrink(self, share: float) -> "Sheet":
        """The same paper with less on it; the title gives way first and most."""
        text = max(share, LEAST_TEXT)
        return replace(
            self,
            title=self.title * share,
            gap=self.gap * max(share, LEAST_CODE),
            code=self.code * max(share, LEAST_CODE),
            **{name: getattr(self, name) * text for name in ("facts", "call", "address", "notice")},
        )


SHEETS: dict[Size, Sheet] = {
    "a4": Sheet(210, 297, 18, 7, 24, 128, 46, 17, 21, 13, 11),
    "card": Sheet(105, 148, 8, 3.4, 12, 64, 22, 8.5, 10.5, 7, 6),
}


@dataclass(frozen=True)
class Line:
    """A line of text; y: its baseline."""

    text: str
    x: float
    y: float
    size: float
    bold: bool
    colour: str


@dataclass(frozen=True)
class Box:
    """A rectangle: the code's, the logo's, or the accent's bar."""

    x: float
    y: float
    width: float
    height: float


@dataclass
class Layout:
    """A poster whose every part has its place."""

    sheet: Sheet
    poster: Poster
    code: Box
    lines: list[Line] = field(default_factory=list)
    logo: Box | None = None
    bar: Box | None = None


@dataclass(frozen=True)
class Paragraph:
    """A text broken into lines, one size for all of them."""

    lines: Sequence[str]
    size: float
    bold: bool = False
    colour: str = INK

    @property
    def height(self) -> float:
        """In mm."""
        return len(self.lines) * self.size * MM_A_POINT * LEADING


def arrange(poster: Poster, size: Size) -> Layout:
    """A poster on a size of paper."""
    for share in STEPS:
        sheet = SHEETS[size].shrink(share)
        head, call, below, notice = _write(poster, sheet)
        top = sheet.margin + (sheet.logo + sheet.gap if poster.logo else 0)
        upper = top + sum(part.height + sheet.gap for part in head) + sheet.gap
        middle = sum(part.height + sheet.gap for part in (call, *below)) + sheet.code
        foot = sheet.height - sheet.margin - notice.height
        if upper + middle + sheet.gap <= foot:
            break
    layout = Layout(sheet, poster, Box((sheet.width - sheet.code) / 2, 0, sheet.code, sheet.code))
    if poster.logo:
        layout.logo = Box(sheet.margin, sheet.margin, sheet.width - 2 * sheet.margin, sheet.logo)
    below_head = _stack(layout, head, top)
    bar = SHEETS[size].gap / 5
    layout.bar = Box((sheet.width - 30 * bar) / 2, below_head, 30 * bar, bar)
    free = max(0.0, foot - sheet.gap - upper - middle)
    y = _stack(layout, [call], upper + free / 2)
    layout.code = replace(layout.code, y=y)
    _stack(layout, below, y + sheet.code)
    _stack(layout, [notice], foot)
    return layout


def _write(
    poster: Poster, sheet: Sheet
) -> tuple[list[Paragraph], Paragraph, list[Paragraph], Paragraph]:
    """The poster's texts at the sizes of a sheet: head, call, what is below the code, notice."""
    width = sheet.width - 2 * sheet.margin

    def write(*texts: str, size: float, bold: bool = False, colour: str = INK) -> Paragraph:
        lines = [line for text in texts for line in break_lines(text, size, bold, width)]
        return Paragraph(lines, size, bold, colour)

    head = [write(poster.title, size=sheet.title, bold=True)]
    if poster.facts:
        head.append(write(*poster.facts, size=sheet.facts, colour=PALE))
    below = [write(poster.address, size=sheet.address)]
    if poster.hint:
        colour = WARNING if poster.is_useless else INK
        below.append(write(poster.hint, size=sheet.address, bold=True, colour=colour))
    notice = write(poster.notice, size=sheet.notice, colour=PALE)
    return head, write(poster.call, size=sheet.call), below, notice


def _stack(layout: Layout, parts: Sequence[Paragraph], top: float) -> float:
    """Put paragraphs below each other, each line in the middle; where the next would begin."""
    for part in parts:
        step = part.size * MM_A_POINT
        for number, text in enumerate(part.lines):
            x = (layout.sheet.width - measure(text, part.size, part.bold)) / 2
            # The baseline is about a line's height below its top, as capitals are 0.73 of it high.
            y = top + step * (LEADING * number + 0.93)
            layout.lines.append(Line(text, x, y, part.size, part.bold, part.colour))
        top += part.height + layout.sheet.gap
    return top


def break_lines(text: str, size: float, bold: bool, width: float) -> Iterator[str]:
    """Lines that fit the width; a word that does not fit one is broken where it must be."""
    line = ""
    for word in text.split():
        joined = f"{line} {word}" if line else word
        if measure(joined, size, bold) <= width:
            line = joined
            continue
        if line:
            yield line
        line = word
        while measure(line, size, bold) > width:
            fits = next(
                n
                for n in range(len(line) - 1, 0, -1)
                if measure(line[:n], size, bold) <= width or n == 1
            )
            yield line[:fits]
            line = line[fits:]
    if line:
        yield line
