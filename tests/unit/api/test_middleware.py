"""What stands around every route: limits of size, headers, the log, what errors tell."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import BaseModel

from api.body_limits import JSON_BYTES, UPLOAD_PATH, BodyLimit
from api.errors import install_error_handlers
from api.observing import RequestMetrics, RequestObserver
from api.security_headers import HEADERS, SecurityHeaders
from models.settings import get_settings

SECRET = "s3cret-token-of-a-gallery"


class Body(BaseModel):
    """A request that takes a number."""

    number: int


@pytest.fixture
def registry() -> CollectorRegistry:
    """Of one application."""
    return CollectorRegistry()


@pytest.fixture
def client(registry: CollectorRegistry) -> Iterator[TestClient]:
    """A small application with all that stands around the real one's routes."""
    app = FastAPI()
    install_error_handlers(app)

    @app.post("/json")
    def take_json(body: Body) -> int:
        return body.number

    @app.post(UPLOAD_PATH)
    async def take_upload(request: Request) -> int:
        return len(await request.body())

    @app.get("/gallery/{gallery_token}")
    def show(gallery_token: str) -> str:
        return "page"

    @app.get("/broken/{gallery_token}")
    def fail(gallery_token: str) -> None:
        raise RuntimeError(f"SELECT {gallery_token} FROM /home/somebody")

    app.add_middleware(BodyLimit)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestObserver, metrics=RequestMetrics(registry))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_a_large_body_is_refused_by_its_announced_length(client: TestClient) -> None:
    answer = client.post("/json", content=b"x" * (JSON_BYTES + 1))
    assert answer.status_code == 413
    assert "at most" in answer.json()["detail"]


def test_a_large_body_without_a_length_is_refused_when_it_has_come_too_far(
    client: TestClient,
) -> None:
    taken = 0

    def send() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(3):
            taken += JSON_BYTES
            yield b"1" * JSON_BYTES

    assert client.post("/json", content=send()).status_code == 413


def test_an_upload_may_be_as_large_as_the_setting_says_and_no_larger(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = get_settings().max_upload_bytes
    assert client.post(UPLOAD_PATH, content=b"x" * limit).json() == limit
    assert client.post(UPLOAD_PATH, content=b"x" * (limit + JSON_BYTES + 1)).status_code == 413


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "٣"])
def test_a_length_that_is_no_number_counts_as_none(client: TestClient, length: str) -> None:
    answer = client.post(
        "/json", content=b'{"number": 1}', headers={b"Content-Length": length.encode()}
    )
    assert answer.status_code < 500


@pytest.mark.parametrize("path", ["/gallery/x", "/nowhere", "/broken/x"])
def test_every_answer_carries_the_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    if path != "/broken/x":  # Starlette answers what is unexpected outside of all middleware
        assert {name: headers[name] for name in HEADERS} == HEADERS


def test_the_log_and_the_metrics_name_the_route_and_never_the_path(
    client: TestClient, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        client.get(f"/gallery/{SECRET}", params={"signature": SECRET})
        client.get(f"/{SECRET}")
        client.get(f"/broken/{SECRET}")
    ours = [line for line in caplog.messages if "gallery" in line and "ms" in line]
    assert any("GET /gallery/{gallery_token} 200" in line for line in ours)
    records = [record for record in caplog.records if record.name.startswith(("facepass", "api"))]
    assert not any(SECRET in record.getMessage() for record in records)
    figures = generate_latest(registry).decode()
    assert 'route="/gallery/{gallery_token}",status="200"} 1.0' in figures
    assert SECRET not in figures


def test_what_is_unexpected_tells_a_number_and_nothing_else(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/broken/abc")
    assert answer.status_code == 500
    detail = answer.json()["detail"]
    assert not {"SELECT", "/home", "RuntimeError", "Traceback"} & set(detail.split())
    number = detail.split()[-1].rstrip(".")
    assert any(number in message for message in caplog.messages)


def test_a_refused_request_is_not_repeated_in_its_answer(client: TestClient) -> None:
    answer: Any = client.post("/json", json={"number": SECRET})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "number"]
    assert SECRET not in answer.text
