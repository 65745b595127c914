"""The API below a path, whether a proxy cuts it off or not; and HEAD."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.gallery import pages, photos
from api.gallery.rendering import hash_static
from api.middleware import ROOTS
from api.reference.page import hash_files
from models.errors import EventNotFoundError
from models.settings import get_settings
from tests.support.local_client import open_local_client


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Sets FACEPASS_PUBLIC_URL, and no event is known."""

    def fail(*_: object) -> None:
        raise EventNotFoundError("Event not found")

    for module in (pages, photos):
        monkeypatch.setattr(module, "open_session", fail)

    def set_url(url: str) -> TestClient:
        monkeypatch.setenv("FACEPASS_PUBLIC_URL", url)
        get_settings.cache_clear()
        return open_local_client(create_app(), follow_redirects=False)

    yield set_url
    get_settings.cache_clear()


BASES = pytest.mark.parametrize(
    "base", ["/facepass", "/photos/facepass", "/gallery", "/api", "/api/v1", "/health", "/g%20x"]
)


@BASES
@pytest.mark.parametrize("cuts", [True, False])
def test_every_page_is_below_the_path(settings: Any, base: str, cuts: bool) -> None:
    client = settings(f"https://example.com{base}/")
    before = "" if cuts else base
    assert client.get(f"{before}/health").json() == {"status": "ok"}
    page = client.get(f"{before}/gallery/unknown", headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert f'href="{base}/gallery/static/{hash_static()}/gallery.css"' in page.text
    assert client.get(f"{before}/gallery/static/x/gallery.css").status_code == 200
    reference = client.get(f"{before}/docs")
    assert f'data-document="{base}/openapi.json"' in reference.text
    assert "script-src 'self'" in reference.headers["content-security-policy"]
    assert client.get(f"{before}/docs/{hash_files()}/start.js").status_code == 200
    servers = client.get(f"{before}/openapi.json").json()["servers"]
    assert servers == [{"url": unquote(base)}]
    moved = client.get(f"{before}/health/")
    assert (moved.status_code, moved.headers["location"]) == (307, f"http://127.0.0.1{base}/health")


@BASES
def test_uploads_below_the_path_may_be_as_large(settings: Any, base: str) -> None:
    client = settings(f"https://example.com{base}")
    for before in ("", base):
        answer = client.post(f"{before}/api/v1/faces/search", content=b"x" * 200_000)
        assert answer.status_code == 400  # no form; 413 would be the limit of other bodies
    assert client.post("/api/v1/events", content=b"x" * 200_000).status_code == 413


def test_without_a_path_nothing_changes(settings: Any) -> None:
    for url in ("https://example.com", "https://example.com/", "http://127.0.0.1:8000"):
        client = settings(url)
        page = client.get("/gallery/unknown", headers={"Accept": "text/html"})
        assert f'href="/gallery/static/{hash_static()}/gallery.css"' in page.text
        assert client.get("/facepass/health").status_code == 404
        assert "servers" not in client.get("/openapi.json").json()


def test_the_roots_are_those_of_the_routes() -> None:
    app = create_app()
    paths = [*app.openapi()["paths"], app.openapi_url, "/docs", "/gallery/x"]
    assert {path.split("/")[1] for path in paths if path} == ROOTS


# --- HEAD ---


def test_head_is_get_without_a_body(settings: Any) -> None:
    client = settings("https://example.com")
    for path in ("/health", "/docs", "/openapi.json", "/gallery/static/x/gallery.js"):
        asked, got = client.head(path), client.get(path)
        assert (asked.status_code, asked.content) == (200, b""), path
        assert asked.headers["content-length"] == got.headers["content-length"]
        assert asked.headers["content-type"] == got.headers["content-type"]
    page = client.head("/gallery/unknown", headers={"Accept": "text/html"})
    assert (page.status_code, page.content) == (404, b"")
    assert client.head("/nothing").status_code == 404
    app = client.app
    app.state.readiness = SimpleNamespace(list_missing=_list_nothing)
    assert client.head("/ready").status_code == 200
    assert client.head("/metrics").status_code == 200


async def _list_nothing() -> list[str]:
    return []


@pytest.mark.parametrize("path", ["/api/v1/faces/search", "/gallery/unknown/zip"])
def test_head_starts_no_search_and_no_download(settings: Any, path: str) -> None:
    assert settings("https://example.com").head(path).status_code == 405


def test_a_head_is_logged_and_counted_as_such(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "api.middleware")
    assert settings("https://example.com").head("/health").status_code == 200
    assert [line for line in caplog.messages if line.startswith("HEAD /health 200 ")]
