"""Plural forms: 1 фото, 2 фото, 5 фото. The categories are CLDR's, as in a browser's Intl."""

from typing import Literal

Language = Literal["ru", "en"]
Category = Literal["one", "few", "many", "other"]

# Which forms a language has for whole numbers.
CATEGORIES: dict[Language, tuple[Category, ...]] = {
    "ru": ("one", "few", "many"),
    "en": ("one", "other"),
}


def choose_category(language: Language, count: int) -> Category:
    """The plural category of a count, which is 0 or more."""
    if language == "en":
        return "one" if count == 1 else "other"
    last, last_two = count % 10, count % 100
    if last == 1 and last_two != 11:
        return "one"
    if last in {2, 3, 4} and last_two not in {12, 13, 14}:
        return "few"
    return "many"
