"""Looks: accents that can be read on any paper, dates in words, links in the contact."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.gallery.looks import (
    build_accent_css,
    find_focus,
    find_links,
    measure_contrast,
    write_date,
)
from api.gallery.rendering import FOLDER, sort_by_shape

CSS = (FOLDER / "static" / "gallery.css").read_text("utf-8")


def read_colour(code: str) -> tuple[int, int, int]:
    code = "".join(c * 2 for c in code) if len(code) == 3 else code
    return int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)


@given(st.from_regex("[0-9a-f]{6}", fullmatch=True))
def test_any_accent_can_be_read_in_light_and_in_dark(accent: str) -> None:
    for scheme, block in enumerate(build_accent_css(accent).splitlines()):
        colours = dict(re.findall("--([a-z-]+):#([0-9a-f]+)", block))
        papers = re.findall("--(?:paper|card): #([0-9a-f]{6})", CSS)[2 * scheme : 2 * scheme + 2]
        for paper in (*papers, colours["on-button"]):
            assert measure_contrast(read_colour(colours["accent"]), read_colour(paper)) >= 4.5
        assert colours["button"] == colours["accent"]


def test_an_accent_that_can_be_read_stays_as_it_is() -> None:
    assert "--accent:#7a5637" in build_accent_css("7a5637").splitlines()[0]


def test_a_date_is_written_as_it_is_spoken() -> None:
    assert write_date(date(2026, 5, 9), "ru") == "9 мая 2026 г."
    assert write_date(date(2026, 12, 1), "en") == "1 December 2026"


@pytest.mark.parametrize(
    ("contact", "links"),
    [
        ("Ёж", []),
        ("hello@example.com", ["mailto:hello@example.com"]),
        ("Ask: a.b+c@mail.example.com.", ["mailto:a.b+c@mail.example.com"]),
        ("почта@студия.рф", ["mailto:почта@студия.рф"]),
        ("(https://example.com/a?b=c), www.example.com!", [
            "https://example.com/a?b=c", "https://www.example.com",
        ]),
        ("javascript:alert(1) data:x @ a@b", []),
    ],
)  # fmt: skip
def test_addresses_in_a_contact_are_links(contact: str, links: list[str]) -> None:
    pieces = find_links(contact)
    assert [address for _, address in pieces if address] == links
    assert "".join(words for words, _ in pieces) == contact


@given(st.text())
def test_no_contact_loses_a_letter_or_runs_a_script(contact: str) -> None:
    pieces = find_links(contact)
    assert "".join(words for words, _ in pieces) == contact
    schemes = {address.partition(":")[0] for _, address in pieces if address}
    assert schemes <= {"http", "https", "mailto"}


CORNER, SIDE = st.floats(-0.1, 1.0), st.floats(0.01, 0.3)
BOXES = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), CORNER, CORNER, SIDE, SIDE)


@given(st.lists(BOXES, min_size=1, max_size=6))
def test_the_point_that_no_crop_cuts_off_lies_between_the_faces(
    boxes: list[tuple[float, float, float, float]],
) -> None:
    focus = find_focus(boxes)
    assert focus is not None
    for tenths, low, high, classes in (
        (focus[0], min(box[0] for box in boxes), max(box[2] for box in boxes), "fx"),
        (focus[1], min(box[1] for box in boxes), max(box[3] for box in boxes), "fy"),
    ):
        low, high = (min(max(share, 0.0), 1.0) for share in (low, high))  # of what the photo has
        assert low - 0.051 <= tenths / 10 <= high + 0.051
        assert f".{classes}{tenths} {{ --{classes}: {tenths}0%".replace(" 00%", " 0%") in CSS


def test_a_photo_without_faces_is_cropped_as_ever() -> None:
    assert find_focus([]) is None


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_a_cell_has_nearly_the_shape_of_its_photo(width: int, height: int) -> None:
    number = sort_by_shape({"width": width, "height": height})
    (ratio,) = re.findall(rf"\.r{number} {{ --r: ([0-9.]+); }}", CSS)
    if 0 < number < 24:
        assert float(ratio) == pytest.approx(width / height, rel=0.04)
