"""The interactive page /docs in a browser: offline, with and without keys."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.public_api import PublicApi, name_keys, serve_api

KEY = "a-photographers-key"
# No part of the stack is asked: the page, and calls that are refused before that.
ALONE = {
    "FACEPASS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "FACEPASS_S3_BUCKET": "none",
    "PREFECT_API_URL": "http://127.0.0.1:1/api",
}


@pytest.fixture(scope="module", params=["", name_keys(anna=KEY)], ids=["without keys", "with keys"])
def api(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PublicApi]:
    """A served API, with a key or without."""
    settings = {**ALONE, "FACEPASS_API_KEYS": request.param}
    with serve_api(tmp_path_factory.mktemp("api"), ["api"], settings) as served:
        yield served


@pytest.fixture
def page(browser: Browser, api: PublicApi) -> Iterator[Page]:
    """/docs, opened; nobody but this machine was asked for anything, and nothing went wrong."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    asked: list[str] = []
    failed: list[str] = []
    told: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("response", lambda answer: answer.ok or failed.append(urlsplit(answer.url).path))
    opened.on("console", lambda message: told.append(message.text))
    opened.on("pageerror", lambda error: told.append(str(error)))
    opened.goto(f"{api.url}/docs")
    expect(opened.locator(".opblock")).not_to_have_count(0)
    yield opened
    hosts = {urlsplit(url).hostname for url in asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {"127.0.0.1"}
    # Calls that were tried may be refused, and the browser says so in a line of its own.
    assert [path for path in failed if not path.startswith("/api/")] == []
    assert [line for line in told if "responded with a status" not in line] == []
    context.close()


def call(page: Page, operation: str, **values: str) -> str:
    """Try an operation out; the status that the page shows."""
    block = page.locator(f'[id^="operations-"][id$="-{operation}"]')
    block.locator(".opblock-summary-control").click()
    for name, value in values.items():
        block.locator(f'tr[data-param-name="{name}"] input').fill(value)
    block.locator(".execute").click()
    return block.locator(".live-responses-table .response-col_status").last.inner_text().strip()


def test_every_operation_is_listed_and_can_be_tried(page: Page, api: PublicApi) -> None:
    listed = page.locator(".opblock-summary-path").all_inner_texts()
    document = page.request.get(f"{api.url}/openapi.json").json()
    assert len(listed) == sum(len(calls) for calls in document["paths"].values())
    assert document["info"]["version"] in page.locator(".info").inner_text()
    assert call(page, "read_health") == "200"


def test_a_key_is_typed_in_once(page: Page, api: PublicApi) -> None:
    needs_key = page.request.get(f"{api.url}/api/v1/events/x").status == 401
    assert call(page, "read_sync", task_id="x") == ("401" if needs_key else "503")
    page.locator(".btn.authorize").click()
    page.locator(".modal-ux input").fill(KEY)
    page.locator(".modal-ux button[type=submit]").click()
    page.locator(".modal-ux .btn-done").click()
    block = page.locator('[id$="-read_sync"]')
    with page.expect_response("**/faces/sync-s3/x") as answer:
        block.locator(".execute").click()
    assert answer.value.status == 503  # behind the key there is no database
    assert answer.value.json()["code"] == "database_unavailable"
