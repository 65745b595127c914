"""The parameters that a person fills in to start a run: their types in Prefect's form, and reading.

An event is named by its id, its UUID or its name. Whatever else is written there reaches the flow,
so that it ends in a sentence: Prefect's own check would end the run below a traceback.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from models.errors import ConfigurationError, EventNotFoundError
from models.queries.events import choose_event, read_event_id
from models.session import open_session
from models.vocabulary import ProfileName
from tasks.sync.artifacts import publish_page


def _read_text(value: object) -> str:
    """What was sent, as text: programs send null for what they leave open."""
    return "" if value is None else str(value).strip()


def _read_event(value: object) -> str:
    """Programs send numbers, which are ids even where another event is called so."""
    return f"#{value}" if isinstance(value, int) else _read_text(value)


def _read_prefix(value: object) -> str:
    """What was sent, with the spaces that a key may begin or end with."""
    text = "" if value is None else str(value)
    return text if text.strip() else ""


EventText = Annotated[
    str,
    BeforeValidator(_read_event),
    Field(examples=["12", "550e8400-e29b-41d4-a716-446655440000", "Свадьба"]),
]
PrefixText = Annotated[
    str, BeforeValidator(_read_prefix), Field(examples=["events/12/previews/day2/"])
]
PackText = Annotated[str, BeforeValidator(_read_text), Field(examples=["buffalo_l"])]
ProfileText = Annotated[
    str,
    BeforeValidator(_read_text),
    WithJsonSchema({"type": "string", "enum": ["", *ProfileName]}),
]


@dataclass(frozen=True)
class AskedEvent:
    """The event that a form names, and the prefix of its previews that is to be synced."""

    id: int
    s3_prefix: str


def find_asked_event(event: str, s3_prefix: str = "") -> AskedEvent:
    """The event that a form names; without a prefix, with that of all its previews.

    Says on the run's page what is wrong with the form. Raises EventNotFoundError.
    """
    event_id = read_event_id(event) if event.startswith("#") else None
    if event_id is not None and s3_prefix:
        return AskedEvent(event_id, s3_prefix)  # a program's, which is looked at later
    try:
        with open_session() as session:
            found = choose_event(session, event)
            return AskedEvent(found.id or 0, s3_prefix or found.s3_prefix)
    except EventNotFoundError as error:
        _tell(str(error))
        raise


def read_asked_event(event: object) -> tuple[int, str]:
    """The id and the name of the event that a form names, as it was sent.

    Raises EventNotFoundError and DatabaseUnavailableError.
    """
    with open_session() as session:
        found = choose_event(session, _read_event(event))
        return found.id or 0, found.name


def read_profile(profile: str) -> ProfileName | None:
    """The profile that a form asks for; none where it is left open. Raises ConfigurationError."""
    if profile and profile not in set(ProfileName):
        known = " or ".join(ProfileName)
        sentence = f"There is no profile {profile[:200]}: choose {known}, or leave it empty."
        _tell(sentence)
        raise ConfigurationError(sentence)
    return ProfileName(profile) if profile else None


def _tell(sentence: str) -> None:
    """Say on the run's page what is wrong with its form."""
    text = f"# Nothing was done\n\n{sentence}\n\nStart it again with that corrected."
    publish_page("form", text, sentence)
