"""What an answer tells, and what it never does: headers, 422, 500, CORS, the interactive pages."""

import logging
import re
from collections.abc import Callable, Iterator
from hashlib import sha256

import pytest
from fastapi import FastAPI

from api.app import create_app
from api.middleware import read_call
from models.settings import get_settings
from tests.support.local_client import open_local_client

KEYS = f"anna:{sha256(b'key').hexdigest()}"
SECRET = "a secret of whoever calls"


@pytest.fixture
def build_app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FastAPI]]:
    """Applications of other settings."""

    def build(**settings: str) -> FastAPI:
        for name, value in settings.items():
            monkeypatch.setenv(f"FACEPASS_{name.upper()}", value)
        get_settings.cache_clear()
        return create_app()

    yield build
    get_settings.cache_clear()


@pytest.mark.parametrize("path", ["/health", "/nowhere", "/openapi.json", "/api/v1/events/x"])
def test_every_answer_is_guarded(build_app: Callable[..., FastAPI], path: str) -> None:
    headers = open_local_client(build_app()).get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "access-control-allow-origin" not in headers


def test_a_page_may_have_a_policy_of_its_own(build_app: Callable[..., FastAPI]) -> None:
    from fastapi.responses import HTMLResponse

    app = build_app()
    policy = {"Content-Security-Policy": "default-src 'self'"}
    app.get("/page")(lambda: HTMLResponse("x", headers=policy))
    headers = open_local_client(app).get("/page").headers
    assert headers["Content-Security-Policy"] == "default-src 'self'"
    assert headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("settings", [{}, {"api_keys": KEYS}])
def test_the_interactive_page_is_all_the_servers_own(
    build_app: Callable[..., FastAPI], settings: dict[str, str]
) -> None:
    client = open_local_client(build_app(**settings))
    page = client.get("/docs")
    policy = page.headers["Content-Security-Policy"]
    assert "http" not in policy and "unsafe" not in policy
    assert client.get("/redoc").status_code == 404
    addresses = re.findall(r'(?:href|src|data-document)="([^"]+)"', page.text)
    assert "/openapi.json" in addresses
    served = [address for address in addresses if address != "data:,"]
    assert all(address.startswith("/") and address[1] != "/" for address in served)
    kinds = [client.get(address).headers["content-type"].partition(";")[0] for address in served]
    assert {"text/css", "text/javascript", "application/json"} == set(kinds)
    assert re.search(r"<script[^>]*>\s*</script>", page.text)
    assert not re.search(r"<script[^>]*>[^<]|<style|style=|onload=", page.text)
    assert client.get("/docs/x/page.html").json()["code"] == "not_found"


def test_cors_is_closed_but_for_the_sites_that_are_named(
    build_app: Callable[..., FastAPI],
) -> None:
    def ask(app: FastAPI, origin: str) -> str | None:
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        answer = open_local_client(app).options("/api/v1/events", headers=asked)
        return answer.headers.get("access-control-allow-origin")

    site = "https://studio.example.org"
    assert ask(build_app(api_keys=KEYS), site) is None
    app = build_app(api_keys=KEYS, cors_origins=site)
    assert ask(app, site) == site
    assert ask(app, "https://evil.example") is None


@pytest.mark.parametrize(
    "body",
    [
        f'{{"name": ["{SECRET}"]}}',
        f'{{"name": "\\ud800{SECRET}"}}',
        f'{{"name": "\\u0000{SECRET}"}}',
        f'{{"name": "x", "event_uuid": "{SECRET}"}}',
        f'{{"name": "x", "event_id": "{SECRET}"}}',
        f'{{"name": "{SECRET}"',
        f'"{SECRET}"',
        f'{{"name": "x", "event_id": {"9" * 5000}}}',
        f'{{"name": "x", "event_id": {"9" * 50}}}',
        '{"name": "x", "event_id": NaN}',
        "[" * 20_000,
        "",
        "\x00",
    ],
)
def test_wrong_input_gets_a_sentence_and_is_never_repeated(
    build_app: Callable[..., FastAPI], body: str
) -> None:
    client = open_local_client(build_app())
    for kind in ("application/json", "text/plain", "multipart/form-data", "application/xml"):
        answer = client.post(
            "/api/v1/events", content=body.encode(), headers={"Content-Type": kind}
        )
        assert answer.status_code in {400, 422}
        assert isinstance(answer.json()["detail"], str)
        assert answer.json()["detail"]
        assert SECRET not in answer.text


def test_bytes_that_are_no_text_are_the_callers_mistake(
    build_app: Callable[..., FastAPI],
) -> None:
    client = open_local_client(build_app())
    answer = client.post(
        "/api/v1/events",
        content=b'{"name": "\xff\xfe"}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code in {400, 422}


def test_what_nobody_foresaw_is_a_number_that_stands_in_the_log(
    build_app: Callable[..., FastAPI], caplog: pytest.LogCaptureFixture
) -> None:
    app = build_app()

    @app.get("/broken")
    def fail() -> None:
        raise RuntimeError(SECRET)

    with caplog.at_level(logging.ERROR, "api"):
        answer = open_local_client(app).get("/broken")
    assert answer.status_code == 500
    assert SECRET not in answer.text
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    incident = answer.json()["detail"].removesuffix(".").split()[-1]
    (record,) = [record for record in caplog.records if incident in record.getMessage()]
    assert record.exc_info is not None


def test_an_audit_line_holds_ids_and_nothing_a_caller_made_up() -> None:
    uuid = "550e8400-e29b-41d4-a716-446655440000"
    scope = {
        "path_params": {
            "event_uuid": uuid.upper(),
            "task_id": "x\nINFO forged",
            "photo_id": "7",
            "gallery_token": SECRET,
        },
        "state": {"key_name": "anna"},
        "client": ("8.8.8.8", 1),
    }
    assert read_call(scope) == {
        "event_uuid": uuid,
        "task_id": "-",
        "photo_id": "7",
        "key": "anna",
        "from": "8.8.8.8",
    }
