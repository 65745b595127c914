"""Posters read back: the QR code as a camera sees it, the text as a reader of PDF takes it."""

import re
import zlib
from collections.abc import Iterable
from itertools import pairwise

import cv2
import numpy as np

Bar = tuple[float, float, float, float]  # x, y (down), width, height


def read_svg_code(svg: str) -> str:
    """What the code of an SVG says."""
    (path,) = re.findall(r'<path fill="#000" d="([^"]+)"/>', svg)
    found = re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)h-[\d.]+z", path)
    return decode_bars([(float(x), float(y), float(w), float(h)) for x, y, w, h in found])


def read_pdf_code(pdf: bytes) -> str:
    """What the code of a PDF says."""
    found = re.findall(r"([\d.]+) ([\d.]+) ([\d.]+) -([\d.]+) re f", read_page(pdf))
    bars = [(float(x), -float(y), float(w), float(h)) for x, y, w, h in found]
    return decode_bars(bars[1:])  # the first is the accent's


def decode_bars(bars: list[Bar]) -> str:
    """Draw dark bars on white paper, and read them.

    In several sizes: OpenCV's reader fails on one code in twenty of a size, as no phone's does.
    """
    left, top = min(bar[0] for bar in bars), min(bar[1] for bar in bars)
    breadth = max(x + w for x, _, w, _ in bars) - left
    for side in (600, 450, 333, 777, 280, 520, 900, 222, 690, 410):
        scale = side / breadth
        picture = np.full((side + 100, side + 100), 255, dtype=np.uint8)
        for x, y, width, height in bars:
            column, row = round((x - left) * scale) + 50, round((y - top) * scale) + 50
            right = round((x + width - left) * scale) + 50
            below = round((y + height - top) * scale) + 50
            picture[row:below, column:right] = 0
        text, *_ = cv2.QRCodeDetector().detectAndDecode(picture)
        if text:
            return str(text)
    return ""


def read_page(pdf: bytes) -> str:
    """The drawing of the one page, a byte a character."""
    (page,) = [data for data in _read_streams(pdf) if b" Tf" in data]
    return page.decode("latin-1")


def read_pdf_lines(pdf: bytes) -> list[str]:
    """The lines of text, by the tables with which a reader of PDF copies and searches them."""
    fonts = [_read_letters(data) for data in _read_streams(pdf) if b"beginbfchar" in data]
    lines, font = [], 0
    shown = r"/F(\d+) [\d.]+ Tf|Td \(((?:\\.|[^\\)])*)\) Tj"
    for number, text in re.findall(shown, read_page(pdf), re.DOTALL):
        if number:
            font = int(number) - 1
            continue
        plain = re.sub(r"\\(.)", lambda m: {"r": "\r", "n": "\n"}.get(m[1], m[1]), text, flags=re.S)
        codes = plain.encode("latin-1")
        letters = (int.from_bytes(codes[at : at + 2], "big") for at in range(0, len(codes), 2))
        lines.append("".join(fonts[font][letter] for letter in letters))
    return lines


def _read_letters(table: bytes) -> dict[int, str]:
    pairs = re.findall(rb"<([0-9A-Fa-f]{4})> <([0-9A-Fa-f]+)>", table)
    return {int(code, 16): bytes.fromhex(sign.decode()).decode("utf-16-be") for code, sign in pairs}


def _read_streams(pdf: bytes) -> Iterable[bytes]:
    for found in re.finditer(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        try:
            yield zlib.decompress(found[1])
        except zlib.error:
            yield found[1]


def overlap(edges: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Pairs of neighbours of which the upper one's end is below the lower one's beginning."""
    return [(one[1], other[0]) for one, other in pairwise(sorted(edges)) if one[1] > other[0] + 0.1]
