"""Previews that lie are told for as long as they are there, by whatever reads or skips them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from models.queries.outcomes import PhotoOutcome
from tests.support.event_box import EventBox
from tests.support.photos import read_sample, vary


@pytest.fixture
def lie(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Say by how much previews lie, by their names; the engine itself is tested elsewhere."""
    from tasks.sync import batch, reembed

    build_outcome, turns = batch.build_outcome, dict[str, int]()

    def build(photo: Any, faces: Any) -> PhotoOutcome:
        outcome = build_outcome(photo, faces)
        return replace(outcome, turned=turns.get(photo.s3_key.rpartition("/")[2], 0))

    for module in (batch, reembed):
        monkeypatch.setattr(module, "build_outcome", build)
    return lambda **names: turns.update({f"{name}.jpg": turn for name, turn in names.items()})


def read_turns(event: EventBox) -> dict[str, int]:
    return {name: row.turned for name, row in event.photos().items()}


def test_lying_previews_are_told_while_they_are_there(
    event: EventBox, lie: Callable[..., None], joined_stack: dict[str, str]
) -> None:
    from flows.reembed_event import reembed_event

    photo = read_sample("astronaut.png")
    for index, name in enumerate(("day1/a.jpg", "day1/b.jpg", "day2/c.jpg")):
        event.put(name, vary(photo, index))
    lie(a=90, c=180)
    outcome = event.sync()
    assert outcome.result["lying_previews"] == 2
    assert outcome.state.name == "Completed: 3 new, 0 skipped, 2 lying"
    # Also by a sync that skips all, and by one of a folder those below it.
    assert event.sync().result["lying_previews"] == 2
    assert event.sync(f"{event.prefix}day1/").result["lying_previews"] == 1
    url = f"{joined_stack['FACEPASS_API_URL']}/api/v1/events/{event.uuid}"
    with httpx.Client(trust_env=False, timeout=60) as api:
        assert api.get(url).json()["lying_previews"] == 2
        photos = api.get(f"{url}/photos").json()["photos"]
        assert [photo["turned"] for photo in photos] == [90, 0, 180]

        # Made anew with its orientation applied.
        lie(a=0)
        event.put("day1/a.jpg", vary(photo, 7))
        assert event.sync().result["lying_previews"] == 1

        # A re-embedding looks again: by how much they lie is written for all it reads.
        lie(a=0, b=270, c=0)
        event.query("UPDATE photo SET pack_id = NULL WHERE event_id = :event RETURNING 1")
        result = reembed_event(event.id, return_state=True).result()
        assert (result["photos"], result["lying_previews"]) == (3, 1)
        assert read_turns(event) == {"day1/a.jpg": 0, "day1/b.jpg": 270, "day2/c.jpg": 0}

        for path in (f"/photos/{event.photos()['day1/b.jpg'].id}", "/faces"):
            api.delete(url + path).raise_for_status()
            assert set(read_turns(event).values()) == {0}
