"""Looks of an event's gallery: its facts in words, its accent colour, links in the contact.

An accent is darkened or lightened until it can be read: on light and on dark paper (WCAG 2, 4.5:1).
"""

import re
from collections.abc import Sequence
from datetime import date

from api.gallery.texts import Language, tell
from models.tables import Event

ACCENT = re.compile("[0-9a-f]{6}")
_LEAST_CONTRAST = 4.6  # a little above AA's 4.5, for what rounding takes
_PAPER, _DARK_CARD = (251, 250, 248), (30, 27, 24)  # of gallery.css: the harder one of each
_LEAST_SHARE = 0.25  # of the largest face's area; smaller faces are the background's
_LINK = re.compile(r"https?://[^\s<>]+|www\.[^\s<>]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+")

Colour = tuple[int, int, int]


def describe_facts(event: Event, language: Language) -> list[str]:
    """Date, place and studio, those that are known."""
    day = event.held_on and write_date(event.held_on, language)
    return [fact for fact in (day, event.place, event.studio) if fact]


def write_date(day: date, language: Language) -> str:
    """A date as people write it: 20 июня 2026 г."""
    month = tell(language, "months").split()[day.month - 1]
    return tell(language, "date", day=day.day, month=month, year=day.year)


def find_focus(boxes: Sequence[tuple[float, float, float, float]]) -> tuple[int, int] | None:
    """The point of a photo that no crop may cut off, in tenths of its width and height.

    It is the middle of the faces that matter; None where there is no face.
    boxes: corners x1, y1, x2, y2 as shares of the photo's width and height.
    """
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in boxes]
    chosen = [
        box
        for box, area in zip(boxes, areas, strict=True)
        if area >= _LEAST_SHARE * max(areas, default=0)
    ]
    if not chosen:
        return None
    left, top, right, bottom = zip(*chosen, strict=True)
    middle = ((min(left) + max(right)) / 2, (min(top) + max(bottom)) / 2)
    x, y = (round(10 * min(max(share, 0.0), 1.0)) for share in middle)
    return x, y


def find_links(contact: str) -> list[tuple[str, str | None]]:
    """A text in pieces, each with the address that it is a link to, if any."""
    pieces: list[tuple[str, str | None]] = []
    end = 0
    for found in _LINK.finditer(contact):
        words = found.group().rstrip(".,;:!?)»\"'")
        pieces += [(contact[end : found.start()], None), (words, _address(words))]
        end = found.start() + len(words)
    return [piece for piece in [*pieces, (contact[end:], None)] if piece[0]]


def _address(words: str) -> str:
    if words.startswith(("http://", "https://")):
        return words
    return f"https://{words}" if words.startswith("www.") else f"mailto:{words}"


def build_accent_css(accent: str) -> str:
    """The stylesheet of an accent rrggbb, in light and in dark."""
    colour = (int(accent[:2], 16), int(accent[2:4], 16), int(accent[4:], 16))
    light = _write_hex(_mix_until_readable(colour, (0, 0, 0), _PAPER))
    dark = _write_hex(_mix_until_readable(colour, (255, 255, 255), _DARK_CARD))
    return (
        f":root{{--accent:{light};--button:{light};--on-button:#fff}}\n"
        "@media (prefers-color-scheme:dark)"
        f"{{:root{{--accent:{dark};--button:{dark};--on-button:#1b1815}}}}\n"
    )


def _mix_until_readable(colour: Colour, other: Colour, ground: Colour) -> Colour:
    """The colour with as little of the other as makes it readable on the ground."""
    for percent in range(0, 101, 2):
        red, green, blue = (
            round(one + (two - one) * percent / 100) for one, two in zip(colour, other, strict=True)
        )
        if measure_contrast((red, green, blue), ground) >= _LEAST_CONTRAST:
            return red, green, blue
    return other


def measure_contrast(one: Colour, other: Colour) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    lower, higher = sorted((_measure_luminance(one), _measure_luminance(other)))
    return (higher + 0.05) / (lower + 0.05)


def _measure_luminance(colour: Colour) -> float:
    shares = [part / 255 for part in colour]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in shares
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _write_hex(colour: Colour) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)
