"""Posters: the code leads to the gallery, everything fits, and nothing secret is printed."""

import re
from datetime import date
from io import BytesIO
from typing import Any, get_args
from xml.etree import ElementTree

import pytest
from PIL import Image

from api.gallery.texts import Language, tell
from api.posters.content import Poster, describe_poster
from api.posters.fonts import MM_A_POINT, keep_letters, measure
from api.posters.layout import SHEETS, Layout, Size, arrange
from api.posters.pdf import draw_pdf
from api.posters.svg import draw_svg
from models.tables import Event
from tests.support.posters import overlap, read_pdf_code, read_pdf_lines, read_svg_code

TOKEN = "Ab3dE5gHiJ_-lmN0pQrStUvW"
LINK = f"https://photos.example.com/gallery/{TOKEN}"
LONG = "Свадьба Екатерины Константиновны и Александра Владимировича Преображенских "
SIZES: tuple[Size, ...] = get_args(Size)
each_size = pytest.mark.parametrize("size", SIZES)


def make_poster(
    name: str = "Анна и Иван",
    *,
    link: str = LINK,
    language: Language = "ru",
    contact: str | None = None,
    logo: bytes | None = None,
    **columns: Any,
) -> Poster:
    event = Event(id=1, name=name, gallery_token=TOKEN, **columns)
    return describe_poster(event, link, language, contact=contact, logo=logo)


def make_logo() -> bytes:
    file = BytesIO()
    Image.new("RGBA", (400, 133), (120, 60, 30, 128)).save(file, "WEBP")
    return file.getvalue()


EVERYTHING: dict[str, Any] = {
    "held_on": date(2026, 6, 20),
    "place": LONG,
    "studio": LONG,
    "accent": "#b4532a",
    "pin_hash": "secret",
    "contact": "privacy@photos.example.com, +7 900 000-00-00. " * 20,
    "logo": make_logo(),
    "link": f"http://192.168.111.120:28000/facepass/gallery/{TOKEN}",
}
NAMES = {"usual": "Анна и Иван", "long": (LONG * 3)[:200], "one word": "W" * 200, "wide": "Щ" * 200}


def list_places(layout: Layout) -> list[tuple[float, float]]:
    """The upper and lower edge of everything on a poster."""
    boxes = [box for box in (layout.code, layout.logo, layout.bar) if box]
    lines = [
        (line.y - 0.76 * line.size * MM_A_POINT, line.y + 0.24 * line.size * MM_A_POINT)
        for line in layout.lines
    ]
    return [*((box.y, box.y + box.height) for box in boxes), *lines]


@each_size
@pytest.mark.parametrize("language", get_args(Language))
def test_the_code_leads_to_the_gallery_on_either_paper(size: Size, language: Language) -> None:
    layout = arrange(make_poster(language=language), size)
    assert read_svg_code(draw_svg(layout)) == LINK
    assert read_pdf_code(draw_pdf(layout)) == LINK
    assert layout.code.width >= 0.5 * layout.sheet.width


@each_size
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_however_long_its_texts_nothing_overlaps_or_leaves_the_paper(size: Size, name: str) -> None:
    layout = arrange(make_poster(name, **EVERYTHING), size)
    sheet = SHEETS[size]
    assert overlap(list_places(layout)) == []
    for upper, lower in list_places(layout):
        assert upper >= sheet.margin - 1
        assert lower <= sheet.height - sheet.margin + 1
    for line in layout.lines:
        assert line.x >= sheet.margin - 0.1
        assert line.x + measure(line.text, line.size, line.bold) <= sheet.width - sheet.margin + 0.1
        assert line.size >= 4.4
    title = "".join(line.text for line in layout.lines if line.size == layout.sheet.title)
    assert title.replace(" ", "").startswith(name.replace(" ", "")[:150])
    assert layout.code.width >= 33  # 0.8 mm a module: read from half a metre
    assert read_svg_code(draw_svg(layout)) == EVERYTHING["link"]
    assert read_pdf_code(draw_pdf(layout)) == EVERYTHING["link"]


@each_size
def test_a_guest_learns_who_where_how_and_that_faces_are_searched(size: Size) -> None:
    day = {"held_on": date(2026, 6, 20), "place": "Усадьба «Ёлка»", "studio": "Студия <Б&В>"}
    layout = arrange(make_poster(contact="privacy@example.com", **day), size)
    svg, told = draw_svg(layout), " ".join(read_pdf_lines(draw_pdf(layout)))
    root = ElementTree.fromstring(svg)  # noqa: S314 (our own output)
    spoken = " ".join(root.itertext())
    for text in (told, spoken):
        for words in (
            "Анна и Иван",
            "20 июня 2026 г.",
            "Усадьба «Ёлка»",
            "Студия <Б&В>",
            tell("ru", "poster_call"),
            tell("ru", "poster_notice"),
            "privacy@example.com",
            f"photos.example.com/gallery/{TOKEN}",
        ):
            assert words in text
    sheet = SHEETS[size]
    assert root.get("width") == f"{sheet.width}mm"
    assert root.get("lang") == "ru"
    assert draw_pdf(layout).count(b"/Type /Page\n") == 1


def test_english_is_english() -> None:
    told = " ".join(read_pdf_lines(draw_pdf(arrange(make_poster("Party", language="en"), "a4"))))
    assert tell("en", "poster_notice") in told
    assert tell("en", "poster_contact") in told
    assert re.search("[а-яё]", told) is None


@pytest.mark.parametrize(
    ("link", "pin", "hint", "useless"),
    [
        (LINK, None, "", False),
        (LINK, "hash", "poster_pin", False),
        ("http://192.168.1.5:8000/gallery/x", None, "poster_wifi", False),
        ("http://127.0.0.1:8000/gallery/x", None, "poster_local", True),
        ("http://localhost:8000/gallery/x", None, "poster_local", True),
    ],
)
def test_what_keeps_a_guest_out_is_said_and_no_secret(
    link: str, pin: str | None, hint: str, useless: bool
) -> None:
    poster = make_poster(link=link, pin_hash=pin)
    assert poster.hint == (tell("ru", hint) if hint else "")
    assert poster.is_useless is useless
    assert "hash" not in draw_svg(arrange(poster, "a4"))


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("Анна ❤ Иван 🎉", "Анна ❤ Иван"),
        ("Йога и\tЁлка\n2026", "Йога и Ёлка 2026"),
        ("И\u0306ога", "Йога"),  # as macOS spells file names
        ("Әлия мен Қуат, Українська їжа", "Әлия мен Қуат, Українська їжа"),
        ("Zoë & Łukasz — Nguyễn", "Zoë & Łukasz — Nguyễn"),
        ("婚礼 2026", "2026"),
        ("\u202eevil\u0000", "evil"),
        ("🎉", "Фотографии события"),
    ],
)
def test_a_name_keeps_what_the_fonts_have(name: str, printed: str) -> None:
    poster = make_poster(name)
    assert poster.title == printed
    layout = arrange(poster, "card")
    assert printed in " ".join(read_pdf_lines(draw_pdf(layout)))
    ElementTree.fromstring(draw_svg(layout))  # noqa: S314 (our own output)


def test_every_sentence_of_a_poster_is_of_letters_that_it_has() -> None:
    for language in get_args(Language):
        poster = make_poster(language=language)
        for text in (poster.call, poster.notice):
            assert keep_letters(text) == text
