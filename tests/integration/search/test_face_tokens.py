"""Searches by an earlier answer's face token, and by what guests say of photos."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from tests.support.event_box import EventBox
from tests.support.guests import (
    ASTRONAUT,
    find,
    give_consent,
    make_album,
    read_token,
    search,
    take_selfie,
)

SEARCH = "/api/v1/faces/search"
EVENTS = "/api/v1/events"


def list_found(answer: dict[str, Any]) -> list[tuple[int, float, str]]:
    return [(m["photo_id"], m["similarity"], m["band"]) for m in answer["matches"]]


def again(api: httpx.Client, event: EventBox, token: str, **fields: Any) -> httpx.Response:
    fields = {"event_uuid": str(event.uuid), "face_token": token, "limit": 100} | fields
    return api.post(SEARCH, data=fields, files={"none": b""})


def test_a_token_finds_what_its_selfie_found(api: httpx.Client, wedding: EventBox) -> None:
    for selfies in ([take_selfie(ASTRONAUT)], [take_selfie(0), take_selfie(0, margin=0.8)]):
        first = find(api, wedding, *selfies, limit=100)
        second = again(api, wedding, first["face_token"]).json()
        assert list_found(second) == list_found(first)
        assert second["selfies"] == first["selfies"]
        assert second["thresholds"] == first["thresholds"]
        # A search by it does not make it last longer.
        assert second["face_token"] == first["face_token"]


def test_the_pages_of_a_selfies_search_go_on_by_its_token(
    api: httpx.Client, wedding: EventBox
) -> None:
    whole = list_found(find(api, wedding, take_selfie(0), limit=100))
    page = find(api, wedding, take_selfie(0), limit=3)
    found, token = list_found(page), page["face_token"]
    while page["next_cursor"]:
        page = again(api, wedding, token, cursor=page["next_cursor"], limit=3).json()
        found += list_found(page)
    assert found == whole


def test_a_match_tells_a_page_all_that_it_shows(api: httpx.Client, wedding: EventBox) -> None:
    for match in find(api, wedding, take_selfie(ASTRONAUT))["matches"]:
        assert match["s3_key"].endswith(match["name"])
        assert len(match["version"]) == 12
        assert match["pass"] is None
        assert {"width", "height", "colour", "original_bytes", "view_bytes"} < match.keys()


def test_a_new_photo_is_found_by_the_token(
    api: httpx.Client, make_event: Callable[..., EventBox]
) -> None:
    event = make_event()
    photos = dict(make_album())
    event.put("a.jpg", photos["6 plain.jpg"])
    event.sync()
    guest = read_token(event)
    consent = give_consent(api, guest)
    first = find(api, event, take_selfie(ASTRONAUT), gallery_token=guest, consent=consent)
    event.put("b.jpg", photos["6 mirrored.jpg"])
    event.sync()
    fields = {"gallery_token": guest, "face_token": first["face_token"], "consent": consent}
    second = api.post(SEARCH, data=fields, files={"none": b""})
    assert second.status_code == 200, second.text
    assert (len(first["matches"]), len(second.json()["matches"])) == (1, 2)


def test_a_token_ends_with_its_event_its_link_and_an_erasure(
    api: httpx.Client, make_event: Callable[..., EventBox]
) -> None:
    event, other = make_event(), make_event()
    for one in (event, other):
        one.put("a.jpg", dict(make_album())["6 plain.jpg"])
        one.sync()
    for end in (f"{EVENTS}/{event.uuid}/gallery-token", None):
        token = find(api, event, take_selfie(ASTRONAUT))["face_token"]
        assert again(api, event, token).status_code == 200
        assert again(api, other, token).json()["code"] == "selfie_needed"
        done = api.post(end) if end else api.delete(f"{EVENTS}/{event.uuid}/faces")
        assert done.is_success
        refused = again(api, event, token)
        assert (refused.status_code, refused.json()["code"]) == (422, "selfie_needed")
        assert refused.json()["detail"].endswith("again.")


@pytest.mark.parametrize("token", ["x", "A" * 400, "я", "A" * 20_001])
def test_what_is_no_token_is_refused(api: httpx.Client, wedding: EventBox, token: str) -> None:
    answer = again(api, wedding, token)
    assert answer.status_code == (400 if len(token) > 20_000 else 422)
    assert isinstance(answer.json()["detail"], str)


def test_a_selfie_and_a_token_at_once_or_neither_are_refused(
    api: httpx.Client, wedding: EventBox
) -> None:
    token = find(api, wedding, take_selfie(ASTRONAUT))["face_token"]
    assert search(api, wedding, take_selfie(ASTRONAUT), face_token=token).status_code == 400
    empty = {"event_uuid": str(wedding.uuid)}
    assert api.post(SEARCH, data=empty, files={"none": b""}).status_code == 400


def test_a_token_of_another_pack_asks_for_the_selfie(wedding: EventBox, api: httpx.Client) -> None:
    from api.gallery.face_tokens import open_face, seal_face
    from models.queries.events import read_event
    from models.session import open_session

    with open_session() as session:
        event = read_event(session, wedding.id)
    token = find(api, wedding, take_selfie(ASTRONAUT))["face_token"]
    pack, faces, vector = open_face(event, token)
    assert again(api, wedding, seal_face(event, pack, faces, vector)).status_code == 200
    other = again(api, wedding, seal_face(event, f"{pack}x", faces, vector))
    assert other.json()["code"] == "selfie_needed"


# --- without the engine ---


@pytest.fixture
def here(joined_stack: dict[str, str], configure: Callable[..., None]) -> Iterator[TestClient]:
    """The API in this process, whose engines no background task loads."""
    configure()
    yield TestClient(create_app(), base_url="http://127.0.0.1", client=("127.0.0.1", 50_000))


def test_a_search_by_a_token_needs_no_engine(
    here: TestClient, wedding: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks import search as searching
    from tasks.faces import cache

    first = find(here, wedding, take_selfie(ASTRONAUT), limit=100)

    def fail(*_: object) -> None:
        raise AssertionError("an engine was asked for")

    cache.reset_model_cache()
    for module in (cache, searching):
        monkeypatch.setattr(module, "get_face_engine", fail)
    second = again(here, wedding, first["face_token"])
    assert second.status_code == 200, second.text
    assert list_found(second.json()) == list_found(first)


# --- what a guest says of photos ---


def test_photos_that_are_not_the_guest_are_left_out(api: httpx.Client, wedding: EventBox) -> None:
    first = find(api, wedding, take_selfie(0), limit=100)
    out = [match["photo_id"] for match in first["matches"]][:2]
    for not_me in (",".join(map(str, out)), [str(number) for number in out]):
        answer = again(api, wedding, first["face_token"], not_me=not_me).json()
        kept = {match["photo_id"] for match in answer["matches"]}
        assert kept == {match["photo_id"] for match in first["matches"]} - set(out)
        # Nor are their faces averaged in.
        assert answer["thresholds"]["expanded_by"] == first["thresholds"]["expanded_by"] - 2


def test_a_photo_that_is_the_guest_is_sure_and_is_searched_by(
    api: httpx.Client, wedding: EventBox
) -> None:
    first = find(api, wedding, take_selfie(0), limit=100, min_similarity="0.2")
    own = [m for m in first["matches"] if m["selfie_similarity"] > 0.5]
    doubted = [m for m in first["matches"] if m["band"] == "maybe"]
    assert own
    told = own[-1]["photo_id"]
    answer = again(api, wedding, first["face_token"], me=str(told)).json()
    bands = {match["photo_id"]: match["band"] for match in answer["matches"]}
    assert bands[told] == "surely"
    # One whose face is not like the selfie changes nothing.
    stranger = next(m for m in reversed(first["matches"]) if m["selfie_similarity"] < 0.4)
    assert stranger in doubted
    same = again(api, wedding, first["face_token"], me=str(stranger["photo_id"])).json()
    plain = again(api, wedding, first["face_token"]).json()
    assert list_found(same) == list_found(plain)
    assert same["thresholds"] == plain["thresholds"]


@pytest.mark.parametrize("value", ["x", "0", "-1", "1.5", "9" * 30, "1,,2", ",".join(["1"] * 501)])
def test_ids_that_cannot_be_are_refused(api: httpx.Client, wedding: EventBox, value: str) -> None:
    for field in ("me", "not_me"):
        answer = search(api, wedding, take_selfie(ASTRONAUT), **{field: value})
        assert answer.status_code == 400, answer.text


def test_ids_of_another_event_say_nothing(
    api: httpx.Client, wedding: EventBox, make_event: Callable[..., EventBox]
) -> None:
    other = make_event()
    other.put("a.jpg", dict(make_album())["6 plain.jpg"])
    other.sync()
    ids = ",".join(str(row.id) for row in other.photos().values())
    plain = find(api, wedding, take_selfie(ASTRONAUT), limit=100)
    told = find(api, wedding, take_selfie(ASTRONAUT), limit=100, me=ids, not_me=ids)
    assert list_found(told) == list_found(plain)
