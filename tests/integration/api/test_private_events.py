"""Events whose guests see only their own photos: every route, tried with every token.

The routes are the application's own list, so that one added later is tried too.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route

from api.app import create_app
from api.gallery import access
from models.queries.events import lock_event
from models.queries.photos import EventClock, PageCursor
from models.session import open_session
from models.vocabulary import Visibility
from tests.support.event_box import EventBox
from tests.support.guests import give_consent, read_token, search, take_selfie
from tests.support.photos import encode_jpeg, read_sample, vary
from tests.support.public_api import serve_api

EVENTS = "/api/v1/events"
NAMES = ("ёжик-70", "ёжик-71", "ёжик-72", "ёжик-73")  # one in which the guest is, and the rest
HTML = {"Accept": "text/html"}


@dataclass
class Private:
    """A private event, its guests' link, and the ids of its photos by name."""

    box: EventBox
    token: str
    photos: dict[str, int]

    @property
    def others(self) -> list[int]:
        """The photos in which the guest is not."""
        return [number for name, number in self.photos.items() if name != NAMES[0]]


def make_private(api: httpx.Client) -> Private:
    box = EventBox("Свадьба")
    box.put(f"{NAMES[0]}.jpg", encode_jpeg(read_sample("astronaut.png")))
    for number, name in enumerate(NAMES[1:]):
        box.put(f"{name}.jpg", vary(read_sample("coffee.png"), number))
    box.sync()
    changed = api.patch(f"{EVENTS}/{box.uuid}", json={"visibility": "own"})
    assert changed.status_code == 200, changed.text
    ids = {name.removesuffix(".jpg"): row.id for name, row in box.photos().items()}
    assert set(ids) == set(NAMES)
    return Private(box, read_token(box), ids)


@pytest.fixture(scope="module")
def api(
    joined_stack: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """An API of its own: so many calls that find nothing would have others refused."""
    settings = joined_stack | {"FACEPASS_GUEST_RATE_LIMIT": "100000/minute"}
    with (
        serve_api(tmp_path_factory.mktemp("api"), ["api"], settings) as served,
        httpx.Client(base_url=served.url, timeout=60, trust_env=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def private(api: httpx.Client) -> Private:
    return make_private(api)


def read_event(private: Private) -> Any:
    with open_session() as session:
        return lock_event(session, private.box.id)


def make_pass(private: Private, photo_id: int, late_s: float = 0) -> str:
    """The pass of a photo, as it was given some time ago."""
    with pytest.MonkeyPatch.context() as patch:
        now = access.time()
        patch.setattr(access, "time", lambda: now - late_s)
        return access.build_pass(read_event(private), photo_id) or ""


def list_gallery_routes() -> list[tuple[str, str]]:
    """Method and path of every route that a guest may call."""
    found = set()
    for route in walk(create_app().routes):
        if "{gallery_token}" in route.path:
            path = f"/gallery{route.path.removeprefix('/gallery')}"
            found |= {(method, path) for method in route.methods}
    assert len(found) >= 9
    return sorted(found)


def walk(routes: Sequence[Any]) -> Iterator[APIRoute]:
    """The routes of an application, those of its routers, and of theirs."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif (router := getattr(route, "original_router", route)) is not route:
            yield from walk(router.routes)
        else:
            assert isinstance(route, Route), route  # FastAPI's own pages, which take no token
            assert "gallery" not in route.path


def forge_cursor(photo_id: int) -> str:
    """A cursor of the list, which nobody signs."""
    return PageCursor(EventClock()).move(photo_id, None).encode()


def call(
    api: httpx.Client, method: str, path: str, token: str, photo_id: int, given: str, **more: Any
) -> httpx.Response:
    """One call as a guest makes it who tries this photo with this pass, wherever one may be."""
    path = path.replace("{gallery_token}", token)
    path = re.sub(r"\{photo_id(:\w+)?\}", str(photo_id), path)
    path = re.sub(r"\{kind(:\w+)?\}", "view", path)
    assert "{" not in path, f"this test does not know how to fill in {path}"
    # A route takes its own of these: a form's, a JSON body's or an address's.
    values = {
        "pass": given, "photo_id": photo_id, "photo_ids": photo_id, "kind": "remove_photo",
        "size": "original", "version": access.hash_consent(), "language": "ru", "pin": "0000",
    }  # fmt: skip
    address = {"pass": given, "photo": photo_id, "cursor": ""}
    bodies: list[dict[str, Any]] = [{}]
    if method in {"POST", "PUT", "PATCH"}:
        bodies = [{"data": values}, {"json": values}]
    answers = [
        api.request(method, path, params=address | {"after": after}, follow_redirects=True, **sent)
        for sent in (body | more for body in bodies)
        for after in ("", forge_cursor(photo_id))
    ]
    return min(answers, key=lambda answer: answer.status_code)


def require_nothing(answer: httpx.Response, private: Private, where: object) -> None:
    """No photo, no name of a file, no count, no link to S3 in an answer."""
    kind = answer.headers.get("content-type", "application/json")
    assert "json" in kind or kind.startswith("text/"), where
    text = answer.text
    for name in NAMES:
        assert name not in text, where
    for number in private.photos.values():
        assert not re.search(rf"photos?/{number}\b|data-id=\"{number}\"|\"id\": ?{number}\b", text)
    assert "X-Amz" not in text and private.box.folder not in text, where
    assert not re.search(r'data-first="(?!1")', text), where  # no place among all
    # The count: nowhere on the page in words, nor in an attribute or a field.
    assert not re.search(rf"\b{len(NAMES)} (photo|фото)", text), where
    assert not re.search(rf'data-photos="{len(NAMES)}"|"(photos|total)": ?{len(NAMES)}\b', text)


def test_no_route_shows_a_guest_anything_without_a_pass_that_is_good(
    api: httpx.Client, private: Private
) -> None:
    other = make_private(api)
    rotated = make_private(api)
    old_token, old = rotated.token, make_pass(rotated, rotated.others[0])
    assert api.post(f"{EVENTS}/{rotated.box.uuid}/gallery-token").status_code == 200
    rotated.token = read_token(rotated.box)
    target = private.others[0]
    good = make_pass(private, target)
    wrong = {
        "none": (private, private.token, target, ""),
        "nonsense": (private, private.token, target, "9999999999.00"),
        "of another photo": (private, private.token, target, make_pass(private, private.others[1])),
        "expired": (private, private.token, target, make_pass(private, target, 13 * 3600)),
        "of another event": (private, private.token, target, make_pass(other, other.others[0])),
        "good, in another event": (other, other.token, target, good),
        "of a link that was changed": (rotated, rotated.token, rotated.others[0], old),
        "by the link of before": (rotated, old_token, rotated.others[0], old),
        "good, by no link": (private, "x" * 32, target, good),
    }
    # As a script asks and as a browser does.
    for headers in ({"Accept-Language": "en"}, HTML | {"Accept-Language": "ru"}):
        for method, path in list_gallery_routes():
            for what, (event, token, photo_id, given) in wrong.items():
                answer = call(api, method, path, token, photo_id, given, headers=headers)
                where = (method, path, what, answer.text[:300])
                require_nothing(answer, event, where)
                assert answer.status_code < 500, where
                if "{photo_id}" in path:
                    assert answer.status_code == 404, where


def test_the_pass_that_a_search_gave_opens_its_photo_and_no_other(
    api: httpx.Client, private: Private
) -> None:
    answer = search(api, private.box, take_selfie(6), gallery_token=private.token).json()
    (match,) = answer["matches"]
    own = private.photos[NAMES[0]]
    assert match["photo_id"] == own and match["pass"]
    opened = api.get(
        f"/gallery/{private.token}/photos/{own}/preview",
        params={"pass": match["pass"]},
        follow_redirects=True,
    )
    assert opened.status_code == 200 and opened.headers["content-type"].startswith("image/")
    for number in private.others:
        path = f"/gallery/{private.token}/photos/{number}/preview"
        assert api.get(path, params={"pass": match["pass"]}).status_code == 404
    asked = {"photo_id": own, "kind": "hide_me", "pass": match["pass"]}
    assert api.post(f"/gallery/{private.token}/requests", json=asked).status_code == 201


def test_a_guest_cannot_widen_a_search_to_photos_of_others(api: httpx.Client) -> None:
    """By the least similarity, by words about photos, by a cursor: strangers stay unseen."""
    event = make_private(api)
    event.box.put("чужая.jpg", encode_jpeg(take_selfie(0, margin=1.0)))
    event.box.sync()
    stranger = event.box.photos()["чужая.jpg"].id
    consent = give_consent(api, event.token)
    for fields in ({"min_similarity": "0"}, {"me": str(stranger)}, {"me": [str(stranger)] * 3}):
        answer = search(
            api,
            event.box,
            take_selfie(6),
            gallery_token=event.token,
            consent=consent,
            **fields | {"limit": 500},
        )
        assert answer.status_code == 200, answer.text
        assert [found["photo_id"] for found in answer.json()["matches"]] == [event.photos[NAMES[0]]]
    # The photographer may look, and so may guests where they see everything.
    found = search(api, event.box, take_selfie(6), min_similarity="0").json()["matches"]
    assert {match["photo_id"] for match in found} == {event.photos[NAMES[0]], stranger}


def test_the_state_tells_that_something_is_new_and_not_what(
    api: httpx.Client, private: Private
) -> None:
    status = api.get(f"/gallery/{private.token}/status")
    before = status.json()
    assert (before["photos"], before["photos_text"]) == (None, None)
    known = {"If-None-Match": status.headers["etag"]}
    assert api.get(f"/gallery/{private.token}/status", headers=known).status_code == 304
    private.box.put("новая.jpg", vary(read_sample("coffee.png"), 9))
    private.box.sync()
    after = api.get(f"/gallery/{private.token}/status", headers=known)
    assert after.status_code == 200
    assert after.json()["newest"] != before["newest"]
    assert api.get(f"{EVENTS}/{private.box.uuid}").json()["visibility"] == Visibility.OWN


def test_what_everybody_sees_becomes_private_at_once(
    api: httpx.Client, make_event: Callable[..., EventBox]
) -> None:
    event = make_event()
    event.put("a.jpg", encode_jpeg(read_sample("coffee.png")))
    event.sync()
    token, photo = read_token(event), event.photos()["a.jpg"].id
    path = f"/gallery/{token}/photos/{photo}/preview"
    assert api.get(path).status_code in {200, 303}
    assert api.patch(f"{EVENTS}/{event.uuid}", json={"visibility": "own"}).status_code == 200
    assert api.get(path).status_code == 404
    assert api.patch(f"{EVENTS}/{event.uuid}", json={"visibility": "everyone"}).status_code == 200
    assert api.get(path).status_code in {200, 303}
