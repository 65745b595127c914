"""The event by its name or UUID, and what the API's refusals become."""

from typing import Any

import httpx
import pytest

from deployments.push.client import RestApi, read_wait
from deployments.push.event import resolve_event
from models.errors import ApiUnavailableError, ConfigurationError, PushRefusedError
from models.vocabulary import ProfileName
from tests.support.fake_api import OTHER_UUID, FakeApi, describe_event


def test_an_event_is_found_by_its_name_however_it_is_spelled() -> None:
    fake = FakeApi([describe_event("Йога", OTHER_UUID, 7)])
    event = resolve_event(fake.open(), "  И\u0306ога ", None)
    assert (event.event_id, event.is_new, event.recipe.side) == (7, False, 640)
    assert ("POST", "events") not in fake.calls


def test_a_name_that_is_not_there_is_added_once() -> None:
    fake = FakeApi()
    first = resolve_event(fake.open(), "Свадьба", ProfileName.GROUPS)
    second = resolve_event(fake.open(), "Свадьба", None)
    assert (first.is_new, second.is_new) == (True, False)
    assert first.event_uuid == second.event_uuid
    assert second.recipe.side == 1600


def test_two_pushes_that_add_an_event_at_once_have_one_event() -> None:
    fake, other = FakeApi(), FakeApi()
    twin = resolve_event(other.open(), "Свадьба", None)
    fake.before_adding = lambda: fake.events.extend(other.events)
    event = resolve_event(fake.open(), "Свадьба", None)
    assert (event.event_uuid, event.is_new) == (twin.event_uuid, False)
    assert len(fake.events) == 1


def test_two_events_of_one_name_are_told_by_their_uuids_days_and_photos() -> None:
    uuids = [OTHER_UUID, OTHER_UUID.replace("5", "6")]
    facts: list[dict[str, Any]] = [
        {"held_on": "2026-06-20", "photos": {"indexed": 1, "gone": 7}},
        {"held_on": None, "created_at": "2026-06-01T10:00:00Z", "photos": {"indexed": 5}},
    ]
    twins = [
        describe_event("Свадьба", event_uuid, **more)
        for event_uuid, more in zip(uuids, facts, strict=True)
    ]
    fake = FakeApi(twins)
    with pytest.raises(PushRefusedError, match="2 events called Свадьба") as caught:
        resolve_event(fake.open(), "Свадьба", None)
    assert f"{uuids[0]} (2026-06-20, 1 photo)" in str(caught.value)
    assert f"{uuids[1]} (added 2026-06-01, 5 photos)" in str(caught.value)
    assert resolve_event(fake.open(), uuids[1].upper(), None).event_uuid == uuids[1]


def test_a_uuid_that_is_not_there_is_not_added() -> None:
    with pytest.raises(PushRefusedError, match="Event not found"):
        resolve_event(FakeApi().open(), OTHER_UUID, None)


def test_an_erased_event_and_another_profile_are_refused_before_anything_is_sent() -> None:
    erased = describe_event("Свадьба", OTHER_UUID, erased_at="2026-07-20T12:00:00Z")
    with pytest.raises(PushRefusedError, match=r"were erased.*/resume"):
        resolve_event(FakeApi([erased]).open(), "Свадьба", None)
    fake = FakeApi([describe_event("Свадьба", OTHER_UUID)])
    with pytest.raises(PushRefusedError, match="has the profile standard"):
        resolve_event(fake.open(), "Свадьба", ProfileName.GROUPS)


@pytest.mark.parametrize(
    ("answer", "key", "kind", "sentence"),
    [
        (httpx.Response(401, json={"detail": "Missing"}), None, PushRefusedError, "asks for a key"),
        (httpx.Response(401, json={"detail": "?"}), "ключ", PushRefusedError, "not know this key"),
        (httpx.Response(403, json={"detail": "Keys first."}), None, PushRefusedError, "Keys first"),
        (httpx.Response(503, json={"detail": "No DB."}), None, ApiUnavailableError, r"\(No DB\)"),
        (httpx.Response(502, text="<html>"), None, ApiUnavailableError, "it answers 502"),
        (httpx.Response(200, text="<html>"), None, ConfigurationError, "is not FacePass's API"),
        (httpx.Response(404, json={"message": "?"}), None, ConfigurationError, "FACEPASS_API_URL"),
        (httpx.Response(301, headers={"Location": "/"}), None, ConfigurationError, "must be its"),
        (httpx.ConnectError("refused"), None, ApiUnavailableError, "does not answer at http"),
    ],
)
def test_what_the_api_refuses_is_a_sentence(
    answer: httpx.Response | Exception, key: str | None, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        resolve_event(FakeApi(answers=[answer]).open(key), "Свадьба", None)


@pytest.mark.parametrize("url", ["faces.example.org", "http://a:b", "ftp://x"])
def test_an_address_that_is_none_is_a_sentence(url: str) -> None:
    with pytest.raises(ConfigurationError, match="must be its address"):
        RestApi(url, None).get("events")


def test_calling_too_often_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("deployments.push.client.time.sleep", waits.append)
    slow = httpx.Response(429, headers={"Retry-After": "7"}, json={"detail": "Too often."})
    fake = FakeApi([describe_event("Свадьба", OTHER_UUID)], answers=[slow, slow])
    assert resolve_event(fake.open(), "Свадьба", None).event_id == 1
    assert waits == [7.0, 7.0]
    with pytest.raises(ApiUnavailableError, match="Too often"):
        resolve_event(FakeApi(answers=[slow] * 4).open(), "Свадьба", None)


@pytest.mark.parametrize(("header", "wait"), [("3", 3.0), ("0", 0.1), ("1e9", 60.0), ("x", 1.0)])
def test_a_wait_is_bounded(header: str, wait: float) -> None:
    assert read_wait(httpx.Response(429, headers={"Retry-After": header})) == wait
