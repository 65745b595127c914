"""The event that a form of Prefect's UI names: found for sure, or told in a sentence."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from models.errors import EventNotFoundError
from models.queries.events import choose_event
from models.session import open_session
from tasks.forms.event import AskedEvent, find_asked_event, read_asked_event
from tests.support.event_box import EventBox


def choose(wanted: str) -> int:
    with open_session() as session:
        return choose_event(session, wanted).id or 0


def refuse(wanted: str) -> str:
    with pytest.raises(EventNotFoundError) as refused:
        choose(wanted)
    return str(refused.value)


def test_an_event_is_named_by_id_uuid_or_name(make_event: Callable[..., EventBox]) -> None:
    name = f"Юбилей Ёлкиных {uuid4().hex[:8]}"
    event = make_event(name)
    for wanted in (str(event.id), f"#{event.id}", str(event.uuid), name, name.upper()):
        assert choose(wanted) == event.id
        assert read_asked_event(wanted) == (event.id, name)
    assert read_asked_event(event.id) == (event.id, name)
    assert choose(f"#{event.id}") == event.id


def test_a_form_without_a_prefix_asks_for_all_previews(event: EventBox) -> None:
    assert find_asked_event(f"#{event.id}") == AskedEvent(event.id, event.prefix)
    assert find_asked_event(str(event.uuid)) == AskedEvent(event.id, event.prefix)
    part = f"{event.prefix}day2/"
    assert find_asked_event(str(event.id), part) == AskedEvent(event.id, part)
    # A program's run says itself that its event is gone.
    assert find_asked_event("#999999", part) == AskedEvent(999999, part)


def test_what_names_no_event_or_several_is_told(make_event: Callable[..., EventBox]) -> None:
    name = f"Выпускной {uuid4().hex[:8]}"
    twins = sorted(make_event(name).id for _ in range(2))
    assert refuse(name).endswith(f"give one's id instead of its name: {twins[0]}, {twins[1]}.")
    assert "facepass events" in refuse("")
    assert refuse("Никто").startswith("No event is called Никто")
    assert refuse("99999999").startswith("No event has the id 99999999")
    assert refuse("9" * 5000).startswith("No event is called 999")
    assert "No event has the UUID" in refuse(str(uuid4()))


def test_a_number_that_is_one_events_id_and_anothers_name_is_neither(
    make_event: Callable[..., EventBox],
) -> None:
    first = make_event("Свадьба")
    second = make_event(str(first.id))
    assert f"write #{first.id} for the id" in refuse(str(first.id))
    assert choose(f"#{first.id}") == first.id
    assert read_asked_event(first.id)[0] == first.id
    assert choose(str(second.uuid)) == second.id
