"""A client of the running API, and an event of seven people, for all searches of a module."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.event_box import EventBox
from tests.support.guests import make_album


@pytest.fixture(scope="module")
def api(joined_stack: dict[str, str]) -> Iterator[httpx.Client]:
    url = joined_stack["FACEPASS_API_URL"]
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def wedding(joined_stack: dict[str, str]) -> EventBox:
    """An event of seven people, synced; who is in which photo is in the photos' names."""
    event = EventBox()
    for name, content in make_album():
        event.put(name, content)
    result = event.sync().result
    assert result["new_photos"] == result["total_found"]
    return event
