"""The catalogue: complete in both languages, and each counts as it is spoken."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.gallery.texts import Language, choose_category, choose_language, read_texts, tell
from models.keys import FileKind
from models.vocabulary import PhotoReason, SelfieCode

FOLDER = Path(__file__).parents[4] / "api" / "gallery"
# The forms a language has for whole numbers.
LANGUAGES: dict[Language, tuple[str, ...]] = {
    "ru": ("one", "few", "many"),
    "en": ("one", "other"),
}
PAGE_TEXTS, SCRIPT_TEXTS = read_texts("ru").page, read_texts("ru").script
CATALOGUE = {name: read_texts(name).page | read_texts(name).script for name in LANGUAGES}
KEYS = [*PAGE_TEXTS, *SCRIPT_TEXTS]


def list_forms(key: str, language: Language) -> list[str]:
    text = CATALOGUE[language][key]
    return list(text.values()) if isinstance(text, dict) else [text]


def test_both_languages_say_the_same_things() -> None:
    assert list(read_texts("en").page) == list(PAGE_TEXTS)
    assert list(read_texts("en").script) == list(SCRIPT_TEXTS)
    assert len(KEYS) == len(set(KEYS))


@pytest.mark.parametrize("key", KEYS)
def test_a_text_has_the_same_blanks_in_both_languages(key: str) -> None:
    blanks = {
        tuple(sorted(re.findall(r"\{(\w+)\}", form)))
        for language in LANGUAGES
        for form in list_forms(key, language)
    }
    assert len(blanks) == 1
    assert all(form.strip() for language in LANGUAGES for form in list_forms(key, language))


@pytest.mark.parametrize("key", KEYS)
def test_a_counted_text_has_each_form_of_its_language(key: str) -> None:
    for language in LANGUAGES:
        text = CATALOGUE[language][key]
        if isinstance(text, dict):
            assert tuple(text) == LANGUAGES[language]


@pytest.mark.parametrize("key", KEYS)
def test_russian_is_in_cyrillic_and_english_is_not(key: str) -> None:
    if key == "other_language":  # names the other one, in the other one
        return
    assert re.search("[а-яё]", " ".join(list_forms(key, "ru")), re.IGNORECASE)
    assert not re.search("[а-яё]", " ".join(list_forms(key, "en")), re.IGNORECASE)


def test_no_text_is_left_over_and_none_is_missing() -> None:
    pages = " ".join(file.read_text("utf-8") for file in (FOLDER / "templates").glob("*.html"))
    code = " ".join(file.read_text("utf-8") for file in FOLDER.glob("*.py"))
    asked = set(re.findall(r'tell\(\s*["\'](\w+)["\']', pages))
    asked |= set(re.findall(r'tell\([\w()]+, "(\w+)"', code))
    posters = " ".join(file.read_text("utf-8") for file in (FOLDER.parent / "posters").glob("*.py"))
    asked |= set(re.findall(r"\b(poster_\w+)", posters))
    asked |= {"surely_title", "maybe_title", "lost", "lost_title", "away", "away_title"}
    asked |= {"busy", "busy_title", "closed", "closed_title"}
    assert asked == set(PAGE_TEXTS)

    script = " ".join(file.read_text("utf-8") for file in (FOLDER / "static").glob("*.js"))
    said = set(re.findall(r'tell\("(\w+)"', script)) | {"photo_broken"}
    said |= {key for key in SCRIPT_TEXTS if key.startswith(("error_", "reason_", "report_"))}
    assert said == set(SCRIPT_TEXTS)


def test_the_reports_last_call_may_fail_without_the_lists_before_it() -> None:
    script = (FOLDER / "static" / "report.js").read_text("utf-8")
    assert re.findall(r"await buildIgnored\(.*", script) == [
        "await buildIgnored(event.event_uuid).catch(() => []))];"
    ]


@pytest.mark.parametrize("code", sorted(set(SelfieCode) - {SelfieCode("no_such_face")}))
def test_every_refusal_of_a_selfie_has_words(code: SelfieCode) -> None:
    assert f"error_{code}" in SCRIPT_TEXTS


@pytest.mark.parametrize("kind", sorted(set(FileKind) - {FileKind.PHOTO, FileKind.HIDDEN}))
def test_every_kind_of_file_that_is_left_out_has_words(kind: FileKind) -> None:
    assert f"report_kind_{kind}" in SCRIPT_TEXTS


@pytest.mark.parametrize("reason", PhotoReason)
def test_every_reason_of_a_photo_has_words(reason: PhotoReason) -> None:
    assert f"reason_{reason}" in SCRIPT_TEXTS


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 лиц"), (1, "1 лицо"), (2, "2 лица"), (4, "4 лица"), (5, "5 лиц"), (11, "11 лиц"),
        (12, "12 лиц"), (14, "14 лиц"), (21, "21 лицо"), (22, "22 лица"), (25, "25 лиц"),
        (100, "100 лиц"), (101, "101 лицо"), (111, "111 лиц"), (1003, "1003 лица"),
    ],
)  # fmt: skip
def test_russian_counts_as_it_is_spoken(count: int, words: str) -> None:
    assert tell("ru", "faces_in_picture", count) == f"На снимке {words}"


@given(st.integers(0, 10**9))
def test_a_russian_count_depends_on_its_last_two_digits_alone(count: int) -> None:
    assert choose_category("ru", count) == choose_category("ru", count % 100)
    teens = 11 <= count % 100 <= 14
    assert (choose_category("ru", count) == "one") == (count % 10 == 1 and not teens)
    assert choose_category("en", count) == ("one" if count == 1 else "other")


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        (None, None, "en"),
        (None, "", "en"),
        (None, "ru-RU,ru;q=0.9,en;q=0.8", "ru"),
        (None, "de,en;q=0.5,ru;q=0.7", "ru"),
        (None, "RU", "ru"),
        (None, "uk", "ru"),
        (None, "ru;q=0, en", "en"),
        (None, "fr, de", "en"),
        ("ru", "en", "ru"),
        ("en", "ru", "en"),
        ("de", "ru", "ru"),
    ],
)
def test_the_language_is_the_chosen_one_then_the_browsers(
    chosen: str | None, accepted: str | None, language: str
) -> None:
    assert choose_language(chosen, accepted) == language


@given(st.text(), st.text())
def test_no_header_is_too_odd_to_get_a_page(chosen: str, accepted: str) -> None:
    assert choose_language(chosen, accepted) in LANGUAGES
