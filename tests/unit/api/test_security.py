"""The closed door: without keys this machine alone is answered; with keys the key decides."""

from collections.abc import Iterator
from hashlib import sha256

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from api import security
from api.security import CLOSED, LocalOnly, is_loopback
from models.settings import Settings

KEYS = f"anna:{sha256(b'key').hexdigest()}"


@pytest.fixture(params=[None])
def settings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    values = Settings(api_keys=request.param, cors_origins="https://studio.example.org")
    monkeypatch.setattr(security, "get_settings", lambda: values)
    return iter([None])


with_keys = pytest.mark.parametrize("settings", [KEYS], indirect=True)


def call(client: str = "127.0.0.1", host: str = "127.0.0.1:8000", **headers: str) -> int:
    app = FastAPI()
    app.add_middleware(LocalOnly)
    app.post("/")(lambda: "in")
    caller = TestClient(app, base_url="http://127.0.0.1", client=(client, 1))
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = caller.post("/", headers={"host": host, **named})
    if answer.status_code == 403:
        assert answer.json() == {"detail": CLOSED, "code": "local_calls_only"}
    return answer.status_code


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("client", ["127.0.0.1", "127.8.8.8", "::1"])
@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1", "[::1]:8000"])
def test_this_machine_is_answered(client: str, host: str) -> None:
    assert call(client, host) == 200


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("client", ["192.168.1.7", "8.8.8.8", "::2", "testclient", ""])
def test_another_machine_is_not_whatever_it_calls_itself(client: str) -> None:
    assert call(client, "localhost") == 403


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[::]", "2130706433"],
)
def test_a_page_that_had_its_name_rebound_to_this_machine_is_not(host: str) -> None:
    assert call(host=host) == 403


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://[", "file://"])
def test_a_foreign_page_in_this_machines_browser_is_not(origin: str) -> None:
    assert call(origin=origin) == 403


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "https://studio.example.org"])
def test_an_own_or_named_page_is(origin: str) -> None:
    assert call(origin=origin) == 200


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize(("site", "status"), [("same-origin", 200), ("cross-site", 403)])
def test_a_form_without_a_referrer_is_let_in_from_the_own_page_only(site: str, status: int) -> None:
    # As Chromium posts the gallery's form for a zip: its page sends no referrer.
    assert call(origin="null", sec_fetch_site=site) == status


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("name", ["x_forwarded_for", "forwarded", "x_real_ip", "via"])
def test_a_proxy_on_this_machine_opens_nothing(name: str) -> None:
    assert call(**{name: "127.0.0.1"}) == 403


@with_keys
@pytest.mark.parametrize(("client", "host"), [("8.8.8.8", "api.example.org"), ("::2", "x")])
def test_with_keys_everybody_may_knock(settings: None, client: str, host: str) -> None:
    assert call(client, host, origin="https://elsewhere.example") == 200


@with_keys
@pytest.mark.parametrize("host", ["[", "[::1", "a b", "a/b", "a@b", "a:b", "a:99999999"])
def test_a_host_that_is_none_is_400_and_never_500(settings: None, host: str) -> None:
    assert call(host=host) == 400


@given(st.text(max_size=30))
def test_no_text_but_this_machines_own_is_loopback(text: str) -> None:
    assert not is_loopback(text) or text.startswith(("127.", "::1", "localhost"))
