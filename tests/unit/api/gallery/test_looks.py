"""Looks: accents that can be read on any paper, dates in words, links in the contact."""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.gallery.looks import build_accent_css, find_links, measure_contrast, write_date
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


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_a_cell_has_nearly_the_shape_of_its_photo(width: int, height: int) -> None:
    number = sort_by_shape({"width": width, "height": height})
    (ratio,) = re.findall(rf"\.r{number} {{ --r: ([0-9.]+); }}", CSS)
    if 0 < number < 24:
        assert float(ratio) == pytest.approx(width / height, rel=0.04)
