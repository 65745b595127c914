"""What the bare clients of Prefect's server send: the password, and a CSRF token for changes."""

import base64
from pathlib import Path

import httpx
import pytest

from deployments.stack.prefect import PrefectAuth, load_password
from models.errors import StackError

URL = "http://prefect/api/"
PASSWORD = "facepass:secret"
BASIC = f"Basic {base64.b64encode(PASSWORD.encode()).decode()}"


class GuardedServer:
    """As much of Prefect's API as its two guards need."""

    def __init__(self, *, has_csrf: bool = True) -> None:
        self.has_csrf = has_csrf
        self.tokens: dict[str, str] = {}
        self.asked: list[str] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        if request.headers.get("Authorization") != BASIC:
            return httpx.Response(401)
        if request.url.path == "/api/csrf-token":
            if not self.has_csrf:
                return httpx.Response(422, json={"detail": "CSRF protection is disabled."})
            client = request.url.params["client"]
            self.tokens[client] = f"token of {client}"
            return httpx.Response(200, json={"token": self.tokens[client]})
        if request.method != "GET" and self.has_csrf:
            sent = request.headers.get("Prefect-Csrf-Token")
            if sent is None or self.tokens.get(request.headers["Prefect-Csrf-Client"]) != sent:
                return httpx.Response(403, json={"detail": "Invalid CSRF token or client."})
        return httpx.Response(200, content=request.content)

    def open(self, environment: dict[str, str]) -> httpx.Client:
        transport = httpx.MockTransport(self.answer)
        auth = PrefectAuth(URL, environment)
        return httpx.Client(transport=transport, base_url=URL, auth=auth)


def test_a_change_brings_a_token_that_is_fetched_once_and_renewed_when_it_no_longer_counts() -> (
    None
):
    server = GuardedServer()
    with server.open({"PREFECT_API_AUTH_STRING": PASSWORD}) as client:
        assert client.get("flows").status_code == 200
        assert client.post("flows", json=[1]).json() == [1]
        assert client.patch("flows", json=[2]).json() == [2]
        assert server.asked == [
            "GET /api/flows",
            "GET /api/csrf-token",
            "POST /api/flows",
            "PATCH /api/flows",
        ]
        server.tokens.clear()  # an hour later
        assert client.delete("flows").status_code == 200


def test_a_server_without_the_protection_is_asked_for_a_token_once() -> None:
    server = GuardedServer(has_csrf=False)
    with server.open({"PREFECT_API_AUTH_STRING": PASSWORD}) as client:
        assert client.post("flows").status_code == 200
        assert client.post("flows").status_code == 200
    assert server.asked.count("GET /api/csrf-token") == 1


def test_without_the_password_the_refusal_comes_through() -> None:
    with GuardedServer().open({}) as client:
        assert client.get("flows").status_code == 401
        assert client.post("flows").status_code == 401


def test_a_key_goes_before_a_password() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"])
        return httpx.Response(200)

    both = {"PREFECT_API_KEY": "pnu_1", "PREFECT_API_AUTH_STRING": PASSWORD}
    with httpx.Client(transport=httpx.MockTransport(answer), auth=PrefectAuth(URL, both)) as client:
        client.get(URL)
    assert seen == ["Bearer pnu_1"]


def test_a_home_keeps_its_password_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "prefect-password"
    password = load_password(path)
    assert password.startswith("facepass:")
    assert len(password) > 40
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_password(path) == password
    assert load_password(tmp_path / "another") != password
    path.write_text("\n")
    with pytest.raises(StackError, match="is empty: remove it, and a new one is made"):
        load_password(path)
