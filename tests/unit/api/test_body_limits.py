"""Bodies: refused by what they announce, or by what they turn out to be."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from api import middleware
from api.errors import install_error_handlers
from api.middleware import MAX_BODY_BYTES, BodyLimits
from models.settings import Settings

UPLOAD = "/api/v1/faces/search"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> TestClient:
    settings = Settings(max_upload_bytes=MAX_BODY_BYTES * 2)  # and what a form has around it
    monkeypatch.setattr(middleware, "get_settings", lambda: settings)
    app = FastAPI()
    app.add_middleware(BodyLimits)
    install_error_handlers(app)

    async def measure(request: Request) -> int:
        return len(await request.body())

    app.post("/")(measure)
    app.post(UPLOAD)(measure)
    return TestClient(app)


def send_in_chunks(total: int) -> Iterator[bytes]:
    for _ in range(total // 1024):
        yield b"x" * 1024
    yield b"x" * (total % 1024)


@pytest.mark.parametrize(("path", "limit"), [("/", MAX_BODY_BYTES), (UPLOAD, MAX_BODY_BYTES * 3)])
@pytest.mark.parametrize("announced", [True, False])
def test_the_last_byte_allowed_and_the_first_refused(
    client: TestClient, path: str, limit: int, announced: bool
) -> None:
    def send(size: int) -> tuple[int, object]:
        answer = client.post(path, content=b"x" * size if announced else send_in_chunks(size))
        return answer.status_code, answer.json()

    assert send(limit) == (200, limit)
    detail = f"The request is too large: at most {limit} bytes."
    refused = {"detail": detail, "code": "body_too_large"}
    assert send(limit + 1) == (413, refused)


@pytest.mark.parametrize(
    ("length", "status"), [("9" * 5000, 413), ("-1", 400), ("1e3", 400), ("²", 400)]
)
def test_an_odd_announcement_is_refused_and_breaks_nothing(
    client: TestClient, length: str, status: int
) -> None:
    headers = {b"content-length": length.encode("latin-1")}
    assert client.post("/", content=b"", headers=headers).status_code == status
