"""What a photographer sets for guests, and what these send: PINs, consents, requests."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from api.app import create_app
from api.gallery import guests
from api.gallery.texts import hash_consent
from api.security import _get_rate_limiter
from tests.support.event_box import EventBox
from tests.support.guests import give_consent, search, take_selfie
from tests.support.photos import encode_jpeg, read_sample

EVENTS = "/api/v1/events"
HTML = {"Accept": "text/html"}
CLOSED = {"detail": "closed", "code": "gallery_closed"}
PIN_NEEDED = {"detail": "pin", "code": "pin_needed"}
WISH = {"version": hash_consent(), "language": "ru"}


@pytest.fixture
def api(joined_stack: dict[str, str], configure: Callable[..., None]) -> Iterator[TestClient]:
    """The API in this process, its counts of tries its own."""
    configure()
    _get_rate_limiter.cache_clear()
    home = ("127.0.0.1", 50_000)
    yield TestClient(create_app(), base_url="http://127.0.0.1", client=home, follow_redirects=False)
    _get_rate_limiter.cache_clear()


@pytest.fixture
def party(make_event: Callable[..., EventBox]) -> EventBox:
    event = make_event()
    event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))
    event.put("b.jpg", encode_jpeg(read_sample("coffee.png")))
    event.sync()
    return event


def read_path(event: EventBox) -> str:
    ((token,),) = event.query("SELECT gallery_token FROM event WHERE id = :event")
    return f"/gallery/{token}"


def change(api: httpx.Client, event: EventBox, **values: Any) -> httpx.Response:
    return api.patch(f"{EVENTS}/{event.uuid}", json=values)


def read(api: httpx.Client, event: EventBox) -> dict[str, Any]:
    return dict(api.get(f"{EVENTS}/{event.uuid}").raise_for_status().json())


# --- what a photographer sets ---

LOOKS = {
    "name": "Свадьба Ёжи",
    "visibility": "own",
    "closes_at": "2030-01-02T03:04:05Z",
    "download_all": True,
    "held_on": "2026-06-20",
    "place": "Ярославль, «Усадьба»",
    "studio": "Студия",
    "accent": "#aabbcc",
}


def test_an_events_looks_are_changed_one_by_one_and_told(api: TestClient, party: EventBox) -> None:
    for name, value in LOOKS.items():
        sent = value.upper() if name == "accent" else value  # type: ignore[attr-defined]  # a union's member that the test knows
        answer = change(api, party, **{name: sent})
        assert answer.status_code == 200, answer.text
        assert name in answer.json()["message"]
        assert read(api, party)[name] == value
    assert {name: read(api, party)[name] for name in LOOKS} == LOOKS
    emptied = dict.fromkeys(("closes_at", "held_on", "place", "studio", "accent"))
    assert change(api, party, **emptied).status_code == 200
    assert {name: read(api, party)[name] for name in emptied} == emptied
    assert read(api, party)["profile"] == "standard"


def test_a_new_event_has_its_looks_from_the_beginning(api: TestClient) -> None:
    created = api.post(EVENTS, json=LOOKS | {"pin": "4821"})
    assert created.status_code == 201, created.text
    details = api.get(f"{EVENTS}/{created.json()['event_uuid']}").json()
    assert {name: details[name] for name in LOOKS} == LOOKS
    assert details["has_pin"] is True
    assert "4821" not in str(details) and "pin_hash" not in details


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"nonsense": 1},
        {"name": ""},
        {"name": None},
        {"profile": None},
        {"visibility": None},
        {"visibility": "all"},
        {"download_all": None},
        {"pin": "123"},
        {"pin": "1234567890123"},
        {"pin": "１２３４"},
        {"pin": "12a4"},
        {"pin": 1234},
        {"closes_at": "tomorrow"},
        {"closes_at": "2030-01-02T03:04:05"},
        {"held_on": "2026-02-30"},
        {"closes_at": "9999-12-31T23:59:59-12:00"},
        {"closes_at": "0001-01-01T00:00:00+12:00"},
        {"held_on": "0202-06-20"},
        {"accent": "red"},
        {"accent": "#12345"},
        {"accent": "#12345g"},
        {"place": ""},
        {"studio": "x" * 201},
        {"place": "a\x00b"},
        {"cover_photo_id": 0},
        {"cover_photo_id": "x"},
    ],
)
def test_a_change_that_cannot_be_is_refused_in_words(
    api: TestClient, event: EventBox, wrong: dict[str, Any]
) -> None:
    before = read(api, event)
    answer = change(api, event, **wrong)
    assert answer.status_code == 422, answer.text
    assert isinstance(answer.json()["detail"], str)
    assert read(api, event) == before
    if not wrong:
        assert "visibility" in answer.json()["detail"]


def test_a_cover_is_one_of_the_events_own_photos(
    api: TestClient, party: EventBox, make_event: Callable[..., EventBox]
) -> None:
    other = make_event()
    other.put("a.jpg", encode_jpeg(read_sample("coffee.png")))
    other.sync()
    own, theirs = (event.photos()["a.jpg"].id for event in (party, other))
    assert change(api, party, cover_photo_id=own).status_code == 200
    assert read(api, party)["cover_photo_id"] == own
    refused = change(api, party, cover_photo_id=theirs, name="Другое")
    assert refused.status_code == 404
    assert "cover_photo_id" in refused.json()["detail"]
    assert read(api, party)["name"] == party.name
    assert change(api, party, cover_photo_id=None).status_code == 200
    assert read(api, party)["cover_photo_id"] is None


def test_a_logo_is_made_small_served_and_taken_away(api: TestClient, party: EventBox) -> None:
    buffer = BytesIO()
    Image.new("RGBA", (900, 300), (200, 20, 20, 90)).save(buffer, "PNG")
    path = f"{EVENTS}/{party.uuid}/logo"
    assert api.get(f"{read_path(party)}/logo").status_code == 404
    assert api.put(path, content=buffer.getvalue()).status_code == 204
    assert read(api, party)["has_logo"] is True
    shown = api.get(f"{read_path(party)}/logo")
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/webp")
    with Image.open(BytesIO(shown.content)) as logo:
        assert (logo.size, logo.mode) == ((400, 133), "RGBA")
    known = {"If-None-Match": f'"x", W/{shown.headers["etag"]}'}
    again = api.get(f"{read_path(party)}/logo", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    for content in (b"", b"<svg/>", buffer.getvalue()[:50]):
        refused = api.put(path, content=content)
        assert refused.status_code == 422 and "logo" in refused.json()["detail"]
    assert api.put(path, content=b"x" * (1024 * 1024 + 1)).status_code == 413
    assert read(api, party)["has_logo"] is True
    for _ in range(2):
        assert api.delete(path).status_code == 204
    assert api.get(f"{read_path(party)}/logo").status_code == 404
    assert api.put(f"{EVENTS}/{uuid4()}/logo", content=buffer.getvalue()).status_code == 404


# --- who comes in ---


def list_doors(event: EventBox) -> list[tuple[str, str, dict[str, Any]]]:
    """Every route of the gallery, called so that it would answer."""
    photo = event.photos()["a.jpg"].id
    asked = {"photo_id": photo, "kind": "hide_me"}
    return [
        ("GET", "", {}),
        ("GET", "/status", {}),
        ("GET", "/logo", {}),
        ("GET", f"/photos/{photo}/preview", {}),
        ("GET", f"/photos/{photo}/original", {}),
        ("POST", "/zip", {"data": {"photo_ids": photo}}),
        ("POST", "/consents", {"json": WISH}),
        ("POST", "/requests", {"json": asked}),
    ]


def test_a_closed_gallery_says_since_when(api: TestClient, party: EventBox) -> None:
    path, moment = read_path(party), datetime.now(UTC) - timedelta(seconds=1)
    consent = give_consent(api, path.rpartition("/")[2])
    assert change(api, party, closes_at=moment.isoformat()).status_code == 200
    for method, door, body in [*list_doors(party), ("POST", "/pin", {"data": {"pin": "1"}})]:
        answer = api.request(method, path + door, **body)
        assert (answer.status_code, answer.json()) == (410, CLOSED), door
        page = api.request(method, path + door, headers=HTML, **body)
        assert page.status_code == 410 and moment.strftime("%d.%m.%Y") in page.text
        assert party.name not in page.text
    token = path.rpartition("/")[2]
    found = search(api, party, take_selfie(6), gallery_token=token, consent=consent)
    assert found.status_code == 410
    assert search(api, party, take_selfie(6)).status_code == 200  # the photographer
    later = datetime.now(UTC) + timedelta(hours=1)
    assert change(api, party, closes_at=later.isoformat()).status_code == 200
    assert api.get(f"{path}/status").status_code == 200


def test_a_pin_is_asked_at_every_door_and_once(api: TestClient, party: EventBox) -> None:
    path = read_path(party)
    token = path.rpartition("/")[2]
    consent = give_consent(api, token)
    assert change(api, party, pin="4821").status_code == 200
    for method, door, body in list_doors(party):
        answer = api.request(method, path + door, **body)
        assert (answer.status_code, answer.json()) == (403, PIN_NEEDED), door
        page = api.request(method, path + door, headers=HTML, **body)
        assert page.status_code == 403 and 'name="pin"' in page.text
        assert party.name not in page.text and "a.jpg" not in page.text
    fields = {"gallery_token": token, "consent": consent}
    assert search(api, party, take_selfie(6), **fields).status_code == 403

    wrong = api.post(f"{path}/pin?lang=ru", data={"pin": "0000"}, headers=HTML)
    assert wrong.status_code == 403 and "не подходит" in wrong.text
    assert "set-cookie" not in wrong.headers
    right = api.post(f"{path}/pin?lang=ru", data={"pin": " 4821 "}, headers=HTML)
    assert (right.status_code, right.headers["location"]) == (303, f"{path}?lang=ru")
    for method, door, body in list_doors(party):
        answer = api.request(method, path + door, **body)
        assert answer.status_code not in {403, 410}, door
    assert search(api, party, take_selfie(6), **fields).status_code == 200

    # Another PIN, another link: the cookie of before is worth nothing.
    assert change(api, party, pin="9999").status_code == 200
    assert api.get(f"{path}/status").status_code == 403
    assert api.post(f"{path}/pin", data={"pin": "9999"}).status_code == 303
    assert api.get(f"{path}/status").status_code == 200
    assert api.post(f"{EVENTS}/{party.uuid}/gallery-token").status_code == 200
    path = read_path(party)
    assert api.get(f"{path}/status").status_code == 403
    assert change(api, party, pin=None).status_code == 200
    assert api.get(f"{path}/status").status_code == 200


def test_a_pins_cookie_opens_no_other_event(
    api: TestClient, party: EventBox, make_event: Callable[..., EventBox]
) -> None:
    other = make_event()
    for event in (party, other):
        assert change(api, event, pin="4821").status_code == 200
    entered = api.post(f"{read_path(party)}/pin", data={"pin": "4821"})
    value = entered.headers["set-cookie"].partition(";")[0].partition("=")[2]
    stolen = {"Cookie": f"facepass_pin_{other.id}={value}"}
    assert api.get(f"{read_path(other)}/status", headers=stolen).status_code == 403


def test_wrong_pins_are_slow_and_the_right_one_does_not_count(
    api: TestClient, party: EventBox, make_event: Callable[..., EventBox]
) -> None:
    other = make_event()
    for event in (party, other):
        assert change(api, event, pin="4821").status_code == 200
    path = f"{read_path(party)}/pin"
    allowed = int(guests.PIN_TRIES[0].partition("/")[0])
    for _ in range(2 * allowed):
        assert api.post(path, data={"pin": "4821"}).status_code == 303
    for _ in range(allowed):
        assert api.post(path, data={"pin": "0000"}).json()["code"] == "pin_wrong"
    for pin in ("0000", "4821"):
        slow = api.post(path, data={"pin": pin}, headers=HTML)
        assert (slow.status_code, 'name="pin"' in slow.text) == (429, True)
        assert 0 < int(slow.headers["retry-after"]) <= 60
        assert "set-cookie" not in slow.headers
    # Another event is another lock.
    assert api.post(f"{read_path(other)}/pin", data={"pin": "4821"}).status_code == 303


# --- consents ---


def test_a_guests_search_needs_a_consent_and_a_photographers_does_not(
    api: TestClient, party: EventBox, make_event: Callable[..., EventBox]
) -> None:
    token = read_path(party).rpartition("/")[2]
    other = give_consent(api, read_path(make_event()).rpartition("/")[2])
    for consent in ("", "x", "я", other):
        refused = search(api, party, take_selfie(6), gallery_token=token, consent=consent)
        assert (refused.status_code, refused.json()["code"]) == (422, "consent_needed")
    consent = give_consent(api, token)
    for _ in range(2):
        found = search(api, party, take_selfie(6), gallery_token=token, consent=consent)
        assert found.status_code == 200, found.text
    assert search(api, party, take_selfie(6)).status_code == 200
    assert api.post(f"{EVENTS}/{party.uuid}/gallery-token").status_code == 200
    token = read_path(party).rpartition("/")[2]
    refused = search(api, party, take_selfie(6), gallery_token=token, consent=consent)
    assert refused.json()["code"] == "consent_needed"


def test_a_consent_is_recorded_without_its_guest_and_outlives_the_faces(
    api: TestClient, party: EventBox
) -> None:
    begin = datetime.now(UTC)
    give_consent(api, read_path(party).rpartition("/")[2])
    (row,) = party.query("SELECT * FROM consent WHERE event_id = :event")
    assert set(row._fields) == {"id", "event_id", "given_at", "text_version", "language"}
    assert (row.text_version, row.language) == (hash_consent(), "ru")
    assert begin - timedelta(minutes=1) < row.given_at < datetime.now(UTC) + timedelta(minutes=1)
    assert api.delete(f"{EVENTS}/{party.uuid}/faces").status_code == 200
    assert read(api, party)["consents"] == 1


@pytest.mark.parametrize(
    "form", [{}, {"version": "old", "language": "ru"}, WISH | {"language": "de"}, [], "x"]
)
def test_a_consent_to_another_text_is_none(api: TestClient, party: EventBox, form: object) -> None:
    answer = api.post(f"{read_path(party)}/consents", json=form)
    assert answer.status_code == 422
    assert read(api, party)["consents"] == 0


# --- requests ---


def test_a_request_reaches_the_photographer_once_and_is_settled(
    api: TestClient, party: EventBox, make_event: Callable[..., EventBox]
) -> None:
    path, list_path = f"{read_path(party)}/requests", f"{EVENTS}/{party.uuid}/requests"
    first, second = (party.photos()[name].id for name in ("a.jpg", "b.jpg"))
    asked = [(first, "hide_me"), (first, "remove_photo"), (second, "remove_photo")]
    for photo, kind in asked:
        for status in (201, 200):
            answer = api.post(path, json={"photo_id": photo, "kind": kind})
            assert (answer.status_code, answer.json()) == (status, {"is_new": status == 201})
    waiting = api.get(list_path).json()
    assert [(one["photo_id"], one["kind"]) for one in waiting] == asked
    assert waiting[0]["s3_key"] == f"{party.prefix}a.jpg"
    assert api.get(list_path, params={"after": waiting[0]["request_id"], "limit": 1}).json() == [
        waiting[1]
    ]
    assert read(api, party)["open_requests"] == 3

    settle = f"{list_path}/{waiting[0]['request_id']}/settle"
    foreign = f"{EVENTS}/{make_event().uuid}/requests/{waiting[0]['request_id']}/settle"
    assert api.post(foreign).status_code == 404
    assert api.post(f"{list_path}/999999999/settle").status_code == 404
    settled = api.post(settle).json()
    assert settled["settled_at"] and api.post(settle).json() == settled
    assert api.get(list_path).json() == waiting[1:]
    assert api.get(list_path, params={"settled": True}).json() == [settled]
    again = api.post(path, json={"photo_id": first, "kind": "hide_me"})
    assert again.status_code == 201
    assert party.query("SELECT 1 FROM webhook_delivery WHERE event_id = :event") == []


def test_a_request_is_about_a_photo_that_the_guest_sees(
    api: TestClient, party: EventBox, make_event: Callable[..., EventBox]
) -> None:
    other = make_event()
    other.put("a.jpg", encode_jpeg(read_sample("coffee.png")))
    other.sync()
    path = f"{read_path(party)}/requests"
    for photo in (other.photos()["a.jpg"].id, 2**62):
        answer = api.post(path, json={"photo_id": photo, "kind": "hide_me"})
        assert answer.status_code == 404
    for wrong in ({"photo_id": 0}, {"photo_id": 2**63}, {"kind": "x"}, {"photo_id": "x"}):
        asked = {"photo_id": party.photos()["a.jpg"].id, "kind": "hide_me"} | wrong
        assert api.post(path, json=asked).status_code == 422
    assert read(api, party)["open_requests"] == 0


def test_many_requests_of_one_address_are_refused(api: TestClient, party: EventBox) -> None:
    asked = {"photo_id": party.photos()["a.jpg"].id, "kind": "hide_me"}
    allowed = int(guests.REQUEST_TRIES[0].partition("/")[0])
    answers = [api.post(f"{read_path(party)}/requests", json=asked) for _ in range(allowed + 1)]
    assert [answer.status_code for answer in answers] == [201, *[200] * (allowed - 1), 429]
    assert "Retry-After" in answers[-1].headers


def test_a_request_is_told_by_a_webhook_without_anybody(
    api: TestClient, party: EventBox, configure: Callable[..., None]
) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    configure(webhook_url="http://127.0.0.1:9/hook", webhook_secret=secret)
    photo = party.photos()["a.jpg"].id
    for _ in range(2):
        api.post(f"{read_path(party)}/requests", json={"photo_id": photo, "kind": "hide_me"})
    (row,) = party.query("SELECT * FROM webhook_delivery WHERE event_id = :event")
    (request,) = api.get(f"{EVENTS}/{party.uuid}/requests").json()
    assert row.payload["type"] == "guest_request.hide_me"
    assert row.payload["data"] == {
        "event_id": party.id,
        "event_uuid": str(party.uuid),
        "event_name": party.name,
        "request_id": request["request_id"],
        "photo_id": photo,
        "s3_key": f"{party.prefix}a.jpg",
    }
    assert row.next_try_at is not None
    party.query("DELETE FROM webhook_delivery WHERE event_id = :event RETURNING id")


# --- the live state ---


def test_the_state_is_new_with_a_photo_and_costs_nothing_while_it_is_not(
    api: TestClient, party: EventBox
) -> None:
    path = f"{read_path(party)}/status"
    first = api.get(path, params={"lang": "ru"})
    assert first.json() | {"newest": ""} == {
        "photos": 2, "photos_text": "2 фото", "syncing": False, "newest": "",
    }  # fmt: skip
    known = {"If-None-Match": first.headers["etag"]}
    same = api.get(path, params={"lang": "ru"}, headers=known)
    assert (same.status_code, same.content) == (304, b"")
    assert api.get(path, params={"lang": "en"}, headers=known).status_code == 200
    party.put("c.jpg", encode_jpeg(read_sample("coffee.png"), quality=60))
    party.sync()
    more = api.get(path, params={"lang": "ru"}, headers=known)
    assert (more.status_code, more.json()["photos"]) == (200, 3)
    assert more.json()["newest"] != first.json()["newest"]
    # A photo that is replaced is news too: the count is the same.
    party.put("c.jpg", encode_jpeg(read_sample("coffee.png"), quality=50))
    party.sync()
    replaced = api.get(path, params={"lang": "ru"}).json()
    assert replaced["photos"] == 3 and replaced["newest"] != more.json()["newest"]
