"""Compression: for text that is sent whole, to who takes it, and for nothing else."""

import gzip
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from fastapi.testclient import TestClient

from api.middleware import LEAST_COMPRESSED, MOST_AT_ONCE, CompressText, HeadRequests

PAGE = "<p>Свадьба</p>" * LEAST_COMPRESSED


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    app.add_middleware(CompressText)
    app.add_middleware(HeadRequests)
    app.get("/page")(lambda: HTMLResponse(PAGE, headers={"ETag": '"of the bytes"'}))
    app.get("/large")(lambda: JSONResponse(["x" * MOST_AT_ONCE]))
    app.get("/small")(lambda: HTMLResponse("<p>"))
    app.get("/picture")(lambda: Response(b"\xff\xd8" * 9000, media_type="image/jpeg"))
    app.get("/metrics")(lambda: Response("n 1\n" * 9000, media_type="text/plain"))
    app.get("/pieces")(lambda: StreamingResponse(cut(), media_type="text/html"))
    return TestClient(app, headers={"Accept-Encoding": "br, gzip"})


def cut() -> Iterator[str]:
    yield PAGE
    yield PAGE


def test_text_is_sent_smaller_and_is_the_same(client: TestClient) -> None:
    answer = client.get("/page")
    assert answer.text == PAGE
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["content-length"] == str(len(gzip.compress(PAGE.encode(), 6, mtime=0)))
    assert answer.headers["etag"] == 'W/"of the bytes"'
    assert "accept-encoding" in answer.headers["vary"].lower()
    head = client.head("/page")
    assert (head.content, head.headers["content-length"]) == (b"", answer.headers["content-length"])
    assert client.get("/large").json() == ["x" * MOST_AT_ONCE]
    assert client.get("/large").headers["content-encoding"] == "gzip"


def test_who_does_not_take_it_gets_it_plain(client: TestClient) -> None:
    for accepted in ("identity", "", "br", "gzip;q=0"):
        answer = client.get("/page", headers={"Accept-Encoding": accepted})
        assert (answer.text, "content-encoding" in answer.headers) == (PAGE, False)
        assert "accept-encoding" in answer.headers["vary"].lower()


@pytest.mark.parametrize("path", ["/small", "/picture", "/metrics", "/pieces"])
def test_what_would_not_get_smaller_or_comes_in_pieces_is_left(
    client: TestClient, path: str
) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert "content-encoding" not in answer.headers
    assert answer.content
