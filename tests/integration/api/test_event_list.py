"""The list of events: days, counts, filters and pages, as the REST API answers them."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_group, read_sample

EVENTS = "/api/v1/events"


@pytest.fixture
def api(joined_stack: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=joined_stack["FACEPASS_API_URL"], timeout=60) as client:
        yield client


def read(api: httpx.Client, **query: object) -> list[dict[str, Any]]:
    answer = api.get(EVENTS, params={name: str(value) for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    return list(answer.json())


def test_an_event_is_listed_with_its_days_and_counts(api: httpx.Client, event: EventBox) -> None:
    event.put("a.jpg", encode_jpeg(read_group()))
    event.put("b.jpg", encode_jpeg(read_sample("coffee.png")))
    event.put("c.jpg", b"broken")
    task_id = event.sync().task_id
    api.patch(f"{EVENTS}/{event.uuid}", json={"held_on": "2026-06-20", "notices": True})

    (listed,) = [one for one in read(api) if one["event_id"] == event.id]

    details = api.get(f"{EVENTS}/{event.uuid}").json()
    for name in ("photos", "faces", "held_on", "erased_at", "last_sync", "gallery_url"):
        assert listed[name] == details[name], name
    assert details["notices"] is True
    assert (listed["faces"], listed["photos"]["failed"]) == (6, 1)
    assert listed["last_sync"]["task_id"] == str(task_id)
    assert listed["created_at"] < listed["active_until"]


def test_it_is_filtered_by_name_in_any_case_by_day_and_by_activity(api: httpx.Client) -> None:
    mark = uuid4().hex
    days = {"Ёлка": "2026-01-01", "ЙОГА": "2026-06-20", "100%_отпуск": None}
    ids = {}
    for name, day in days.items():
        body = {"name": f"{name} {mark}", "held_on": day}
        ids[name] = api.post(EVENTS, json=body).json()

    def find(**query: object) -> list[str]:
        return [e["name"].rpartition(" ")[0] for e in read(api, **query) if mark in e["name"]]

    assert find(name=mark.upper()) == ["100%_отпуск", "ЙОГА", "Ёлка"]
    assert find(name="ёлка") == ["Ёлка"]
    assert find(name="и\u0306ога") == ["ЙОГА"]
    assert find(name="%_") == ["100%_отпуск"]
    assert find(name="%") == ["100%_отпуск"]
    assert find(name="\x00") == []
    assert find(held_from="2026-01-02") == ["ЙОГА"]
    assert find(held_from="2026-01-01", held_to="2026-06-20") == ["ЙОГА", "Ёлка"]
    api.delete(f"{EVENTS}/{ids['Ёлка']['event_uuid']}/faces")
    assert find(active=True, name=mark) == ["100%_отпуск", "ЙОГА"]
    assert find(active=False, name=mark) == ["Ёлка"]


def test_its_pages_hold_every_event_once(api: httpx.Client) -> None:
    mark = uuid4().hex
    ids = [api.post(EVENTS, json={"name": f"{mark} {n}"}).json()["event_id"] for n in range(5)]
    answer = api.get(EVENTS, params={"name": mark, "limit": 2})
    pages = [answer.json()]
    while "next" in answer.links:
        added = api.post(EVENTS, json={"name": f"{mark} later"}).json()["event_id"]
        assert added > ids[0]
        answer = api.get(answer.links["next"]["url"])
        pages.append(answer.json())
    assert [[event["event_id"] for event in page] for page in pages] == [
        [ids[4], ids[3]],
        [ids[2], ids[1]],
        [ids[0]],
    ]
    for query in ({"limit": 0}, {"limit": 501}, {"after": 0}, {"held_from": "yesterday"}):
        assert api.get(EVENTS, params=query).status_code == 422


@pytest.mark.parametrize("days", [-1, 40_000, "x", 1.5])
def test_a_retention_that_cannot_be_is_refused(
    api: httpx.Client, event: EventBox, days: object
) -> None:
    answer = api.patch(f"{EVENTS}/{event.uuid}", json={"retention_days": days})
    assert answer.status_code == 422
    assert "retention_days" in answer.json()["detail"]
