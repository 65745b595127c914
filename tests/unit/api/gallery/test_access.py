"""What guests hold: worth something for one photo, one event, one link, and for a time."""

from collections.abc import Callable
from uuid import uuid4

import numpy as np
import pytest
from fastapi import Request, Response
from hypothesis import given
from hypothesis import strategies as st

from api.gallery import access, face_tokens
from api.gallery.texts import hash_consent, read_texts
from models.errors import PhotoNotFoundError, SelfieError
from models.settings import Settings
from models.tables import Event, utc_now
from models.vocabulary import SelfieCode, SelfieFace, Visibility

VECTOR = np.random.default_rng(1).standard_normal(128).astype(np.float32)
FACES = (SelfieFace((0.1, 0.2, 0.5, 0.9), 0.93),)
PACK = "opencv_zoo@0123456789abcdef+look2"


def make_event(**values: object) -> Event:
    event = Event(name="x", gallery_token="t", active_until=utc_now(), id=7)
    event.visibility = Visibility.OWN
    for name, value in values.items():
        setattr(event, name, value)
    return event


EVENT = make_event()


def test_a_pass_opens_its_photo_alone() -> None:
    given = access.build_pass(EVENT, 5)
    assert given is not None
    access.require_pass(EVENT, 5, given)
    for event, photo in ((EVENT, 6), (make_event(), 5), (make_event(guest_key=uuid4()), 5)):
        with pytest.raises(PhotoNotFoundError):
            access.require_pass(event, photo, given)


def test_a_pass_is_the_same_for_an_hour_and_ends_after_twelve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1_800_000_000.0 // 3600 * 3600
    monkeypatch.setattr(access, "time", lambda: now)
    given = access.build_pass(EVENT, 5)
    monkeypatch.setattr(access, "time", lambda: now + 3599)
    assert access.build_pass(EVENT, 5) == given
    monkeypatch.setattr(access, "time", lambda: now + access.PASS_S - 1)
    access.require_pass(EVENT, 5, given or "")
    monkeypatch.setattr(access, "time", lambda: now + access.PASS_S)
    with pytest.raises(PhotoNotFoundError):
        access.require_pass(EVENT, 5, given or "")


@given(st.text())
@pytest.mark.parametrize("later", ["", "9999999999.", "99999999999999999999.", "9e9."])
def test_no_other_text_opens_a_photo(later: str, text: str) -> None:
    with pytest.raises(PhotoNotFoundError):
        access.require_pass(EVENT, 5, later + text)


def test_where_guests_see_everything_no_pass_is_asked_or_given() -> None:
    event = make_event(visibility=Visibility.EVERYONE)
    assert access.build_pass(event, 5) is None
    access.require_pass(event, 5, "")
    # As the database gives it back.
    event = make_event(visibility="own")
    assert access.may_list(event) is False
    assert access.may_list(make_event(visibility="everyone")) is True


def test_a_pin_is_stored_salted_and_slow() -> None:
    stored = access.hash_pin("4821")
    assert stored != access.hash_pin("4821")
    assert "4821" not in stored
    assert access.fits_pin("4821", stored)
    assert not any(
        access.fits_pin(pin, stored) for pin in ("", "482", "48210", "４８２１", "\udcff")
    )


@pytest.mark.parametrize(
    ("url", "public_url", "is_secure"),
    [
        ("http://a.example/", None, False),
        ("https://a.example/", None, True),
        ("http://a.example/", "https://a.example/p", True),
        ("http://192.168.0.2:8000/", "https://a.example", False),
    ],
)
def test_the_pins_cookie_is_kept_from_scripts_and_from_plain_http(
    monkeypatch: pytest.MonkeyPatch, url: str, public_url: str | None, is_secure: bool
) -> None:
    monkeypatch.setattr(access, "get_settings", lambda: Settings(public_url=public_url))
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0].encode()
    scope = {"type": "http", "scheme": scheme, "headers": [(b"host", host)], "path": "/p/gallery/t"}
    answer = Response()
    event = make_event(pin_hash="salt.hash")
    access.keep_pin(answer, event, Request(scope | {"root_path": "/p"}))
    cookie = answer.headers["set-cookie"].lower()
    assert ("secure" in cookie) is is_secure
    assert {"httponly", "samesite=lax", "path=/p"} < set(cookie.split("; "))
    assert "expires" not in cookie and "max-age" not in cookie
    # Another PIN or another link ends it.
    for other in (make_event(pin_hash="salt.other"), make_event(guest_key=uuid4())):
        fresh = Response()
        access.keep_pin(fresh, other, Request(scope | {"root_path": "/p"}))
        assert fresh.headers["set-cookie"] != answer.headers["set-cookie"]


def test_a_consent_is_to_this_text_and_for_this_event(monkeypatch: pytest.MonkeyPatch) -> None:
    given = access.sign_consent(EVENT, uuid4())
    access.require_consent(EVENT, given)
    other = access.sign_consent(EVENT, uuid4())
    mixed = other.partition(".")[0] + "." + given.partition(".")[2]
    for event, shown in ((make_event(), given), (EVENT, ""), (EVENT, "я"), (EVENT, mixed)):
        with pytest.raises(SelfieError) as refused:
            access.require_consent(event, shown)
        assert refused.value.code == SelfieCode.CONSENT_NEEDED
    monkeypatch.setattr(access, "hash_consent", lambda: "another text")
    with pytest.raises(SelfieError):
        access.require_consent(EVENT, given)


@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_changed_text_of_the_consent_is_another_version(
    monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    hash_consent.cache_clear()
    before = hash_consent()
    texts = read_texts(language)  # type: ignore[arg-type]
    monkeypatch.setitem(texts.page, "consent", f"{texts.page['consent']}.")
    hash_consent.cache_clear()
    assert hash_consent() != before
    monkeypatch.undo()
    hash_consent.cache_clear()
    assert hash_consent() == before


def test_a_face_token_gives_back_what_was_searched_with_and_shows_nothing() -> None:
    token = face_tokens.seal_face(EVENT, PACK, FACES, VECTOR)
    assert token != face_tokens.seal_face(EVENT, PACK, FACES, VECTOR)
    pack, faces, vector = face_tokens.open_face(EVENT, token)
    assert (pack, faces) == (PACK, FACES)
    assert np.array_equal(vector, VECTOR.astype(np.float16).astype(np.float32))
    assert vector.dtype == np.float32
    assert "opencv" not in token


def change_letter(token: str) -> str:
    middle = len(token) // 2
    return token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]


@pytest.mark.parametrize(
    "change",
    [
        change_letter,
        lambda token: token[:-4],
        lambda token: token + "AAAA",
        lambda token: token[4:],
        lambda token: "",
        lambda token: "я",
        lambda token: "AAAA",
        lambda token: "=" * 8,
    ],
)
def test_an_altered_face_token_is_refused(change: Callable[[str], str]) -> None:
    token = change(face_tokens.seal_face(EVENT, PACK, FACES, VECTOR))
    with pytest.raises(SelfieError) as refused:
        face_tokens.open_face(EVENT, token)
    assert refused.value.code == SelfieCode.SELFIE_NEEDED


def test_a_face_token_ends_with_its_time_its_link_and_its_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = face_tokens.seal_face(EVENT, PACK, FACES, VECTOR)
    for event in (make_event(), make_event(guest_key=uuid4())):
        with pytest.raises(SelfieError):
            face_tokens.open_face(event, token)
    now = face_tokens.time()
    monkeypatch.setattr(face_tokens, "time", lambda: now + face_tokens.TOKEN_S - 5)
    assert face_tokens.open_face(EVENT, token)[0] == PACK
    monkeypatch.setattr(face_tokens, "time", lambda: now + face_tokens.TOKEN_S + 1)
    with pytest.raises(SelfieError):
        face_tokens.open_face(EVENT, token)
