"""A browser, and the gallery of a demo event on the real stack."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from deployments.demo import add_demo_event

# As root Chromium has no sandbox; the rest keeps it from talking to anybody but the stack.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    # A name of somebody else's that leads to this machine, as DNS rebinding makes one.
    "--host-resolver-rules=MAP rebound.example 127.0.0.1",
]  # fmt: skip
PHONE = {
    "viewport": {"width": 360, "height": 740},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
COUNT_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) shifts.push(entry.value);
}).observe({ type: "layout-shift", buffered: true });
"""


# No longer than its module: while Playwright lives its event loop runs in the main thread, and
# Prefect would take every later test for asynchronous code.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. Without it these tests are skipped, except in CI: there they fail."""
    program = shutil.which("chromium")
    if program is None:
        reason = "Chromium is missing: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def gallery_url(browser: Browser, stack_environment: dict[str, str]) -> str:
    """The gallery of an event with the sample photos, made and synced as `make demo-event` does."""
    return add_demo_event(stack_environment)


@pytest.fixture
def visit(browser: Browser, gallery_url: str) -> Iterator[Callable[..., Page]]:
    """Open the gallery in a browser of one's own: visit(PHONE, "ru-RU", path="/x")."""
    contexts: list[BrowserContext] = []

    def open_gallery(
        device: dict[str, Any] = DESKTOP, locale: str = "en-GB", *, url: str = gallery_url
    ) -> Page:
        context = browser.new_context(**device, locale=locale, accept_downloads=True)
        contexts.append(context)
        context.add_init_script(COUNT_SHIFTS)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto(url)
        page.wait_for_load_state("networkidle")
        return page

    yield open_gallery
    for context in contexts:
        context.close()
