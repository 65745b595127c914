"""Which language a guest reads: what they chose, else what their browser asks for."""

from api.gallery.plurals import Language

DEFAULT: Language = "en"
# Who reads these reads Russian sooner than English.
_SPOKEN: dict[str, Language] = {"en": "en", "ru": "ru", "be": "ru", "uk": "ru", "kk": "ru"}


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
