"""The gallery's texts in Russian and English, and the choice of the guest's language.

Each language has one file in languages/. A text is one sentence, or one sentence for each CLDR
plural category (1 фото, 2 фото, 5 фото).
"""

import tomllib
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

Language = Literal["ru", "en"]
Category = Literal["one", "few", "many", "other"]
Text = str | dict[Category, str]

DEFAULT: Language = "en"
# Readers of these languages read Russian rather than English.
_SPOKEN: dict[str, Language] = {"en": "en", "ru": "ru", "be": "ru", "uk": "ru", "kk": "ru"}


class Texts(BaseModel):
    """One language's texts by their keys. `{…}` is filled in by who says it: page or script."""

    page: dict[str, Text]
    script: dict[str, Text]


@lru_cache(maxsize=2)
def read_texts(language: Language) -> Texts:
    """A language's file, its shape checked."""
    file = Path(__file__).parent / "languages" / f"{language}.toml"
    return Texts.model_validate(tomllib.loads(file.read_text("utf-8")))


def tell(language: Language, key: str, count: int | None = None, **values: object) -> str:
    """A text, filled in; `count` chooses the plural form and stands as {n}."""
    texts = read_texts(language)
    text = texts.page.get(key) or texts.script[key]
    if isinstance(text, dict):
        text = text[choose_category(language, count or 0)]
    return text.format(n=count, **values)


@lru_cache(maxsize=2)
def hash_consent(key: str = "consent") -> str:
    """The version of what guests agree to, in twelve digits: new with any word of it."""
    texts = [read_texts(language).page[key] for language in ("en", "ru")]
    return sha256("\n".join(map(str, texts)).encode()).hexdigest()[:12]


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


def choose_language(chosen: str | None, accepted: str | None) -> Language:
    """The page's language, from `?lang=` and the Accept-Language header (RFC 9110)."""
    if chosen in {"ru", "en"}:
        return _SPOKEN[chosen]
    ranked = sorted(_read_ranges(accepted or ""), key=lambda item: -item[1])
    for tag, weight in ranked:
        language = _SPOKEN.get(tag.partition("-")[0].lower())
        if language and weight > 0:
            return language
    return DEFAULT


def _read_ranges(header: str) -> list[tuple[str, float]]:
    """Language tags with their weights; what cannot be read weighs nothing."""
    ranges = []
    for part in header[:1000].split(","):
        tag, _, parameter = part.partition(";")
        name, _, value = parameter.strip().partition("=")
        try:
            weight = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            weight = 0.0
        ranges.append((tag.strip(), weight))
    return ranges
