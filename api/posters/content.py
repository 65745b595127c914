"""The words on an event's poster, in the language of its guests."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from api.gallery.looks import describe_facts
from api.gallery.texts import Language, tell
from api.posters.fonts import keep_letters
from deployments.qr import is_local
from models.tables import Event

MOST_CONTACT = 240  # characters: what is longer would leave no room for the code


@dataclass(frozen=True)
class Poster:
    """One event's poster; every text is of letters that the fonts have."""

    language: Language
    title: str
    facts: tuple[str, ...]  # a line each
    call: str  # to do what a guest has to do
    link: str  # of the code
    address: str  # the same, for who types it
    hint: str  # what one must know besides
    notice: str
    accent: str | None = None
    logo: bytes | None = None
    is_useless: bool = False  # no phone can open its link


def describe_poster(
    event: Event, link: str, language: Language, *, contact: str | None, logo: bytes | None
) -> Poster:
    """The poster of an event, whose gallery is at `link`; contact: who is asked for erasure."""
    local = is_local(link)
    conditions = {
        "poster_local": local,
        "poster_wifi": not local and _is_private(link),
        "poster_pin": event.pin_hash is not None,
    }
    told = " ".join((contact or "").split())
    if len(told) > MOST_CONTACT:
        told = f"{told[:MOST_CONTACT].rstrip()}…"
    return Poster(
        language=language,
        title=keep_letters(event.name) or tell(language, "poster_untitled"),
        facts=tuple(filter(None, map(keep_letters, describe_facts(event, language)))),
        call=tell(language, "poster_call"),
        link=link,
        address=keep_letters(link.partition("://")[2]),
        hint=" ".join(tell(language, key) for key, holds in conditions.items() if holds),
        notice=f"{tell(language, 'poster_notice')} "
        f"{keep_letters(told) or tell(language, 'poster_contact')}",
        accent=event.accent,
        logo=logo,
        is_useless=local,
    )


def _is_private(link: str) -> bool:
    """Whether a link leads to an address that is known in its own network alone."""
    try:
        return ip_address(urlsplit(link).hostname or "").is_private
    except ValueError:
        return False
