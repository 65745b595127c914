"""The gallery's page and its viewer in a real browser: bytes, the screen, places, many photos."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Error, Page, Route, expect

from tests.e2e.conftest import DESKTOP, PHONE
from tests.support.gallery_photos import GalleryBox

expect.set_options(timeout=30_000)
RUSSIAN, ENGLISH = "ru-RU", "en-GB"
PHOTOS = 41
MANY = 1000
FIRST_VIEW_BYTES, RELOAD_BYTES = 250_000, 10_000
MOST_MEMORY_BYTES = 100_000_000
SCREENS = [(360, 740), (740, 360), (768, 1024), (1440, 900), (1920, 1080)]


# As fast as a finger throws; how many photos came, and how often there was none in the middle.
SCROLL = """async () => {
  const count = () => document.querySelectorAll("#grid .cell").length;
  let gaps = 0;
  for (let step = 0; step < 3000; step++) {
    scrollBy(0, 300);
    await new Promise((done) => setTimeout(done, 30));
    const isEnd = scrollY + innerHeight + 2 > document.documentElement.scrollHeight;
    if (isEnd && count() === Number(document.body.dataset.photos)) break;
    const middle = document.elementFromPoint(innerWidth / 2, innerHeight / 2);
    const isBelow = middle?.closest("footer") && count() < Number(document.body.dataset.photos);
    if (!middle || middle.closest(".more") || isBelow) gaps++;
  }
  return [count(), gaps];
}"""


@pytest.fixture(scope="module")
def box(stack_environment: dict[str, str], gallery_url: str) -> GalleryBox:
    """The demo event, its views made."""
    box = GalleryBox(stack_environment, gallery_url)
    box.put_views()
    return box


@pytest.fixture(scope="module")
def many(stack_environment: dict[str, str]) -> GalleryBox:
    """An event of a thousand photos; their pictures are answered by the tests."""
    with httpx.Client(base_url=stack_environment["FACEPASS_API_URL"], trust_env=False) as api:
        url = api.post("/api/v1/events", json={"name": "Марафон"}).json()["gallery_url"]
    box = GalleryBox(stack_environment, url)
    box.add_rows(1, MANY)
    return box


@pytest.fixture
def looks(box: GalleryBox) -> Iterator[Callable[..., None]]:
    """Change how the demo event looks, for one test."""
    yield box.change
    box.change(
        visibility="everyone", held_on=None, place=None, studio=None, accent=None,
        cover_photo_id=None,
    )  # fmt: skip


def check_access(page: Page) -> None:
    """axe-core finds nothing of any level in the page as it is now."""
    violations = Axe().run(page).response["violations"]
    bad = [(found["id"], [node["html"] for node in found["nodes"]]) for found in violations]
    assert bad == []


def serve_pictures(page: Page) -> None:
    """Answer every picture of the page with one, as large as a real one."""
    buffer = BytesIO()
    Image.effect_noise((400, 267), 12).convert("RGB").save(buffer, "WEBP", quality=30)
    assert 8_000 < buffer.tell() < 20_000
    body = buffer.getvalue()

    def answer(route: Route) -> None:
        route.fulfill(body=body, content_type="image/webp")

    page.route(re.compile("/photos/[0-9]+/(thumb|view|preview)"), answer)


def open_viewer(page: Page, index: int) -> None:
    page.locator("#grid .cell a").nth(index).click()
    expect(page.locator("#picture.there")).to_be_visible()


def measure_transfer(page: Page, go: Callable[[], object]) -> int:
    """Bytes that came over the network, headers included, while a page was opened."""
    client = page.context.new_cdp_session(page)
    client.send("Network.enable")
    sizes: list[int] = []
    client.on("Network.loadingFinished", lambda told: sizes.append(told["encodedDataLength"]))
    go()
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)
    client.detach()
    return round(sum(sizes))


# --- the grid ---


def test_rows_are_filled_and_hold_whole_photos(visit: Callable[..., Page], box: GalleryBox) -> None:
    for device in (PHONE, DESKTOP):
        page = visit(device, RUSSIAN, url=box.url)
        cells = page.evaluate(
            """() => [...document.querySelectorAll("#grid .cell")].map((cell) => {
              const { left, right, top, bottom } = cell.getBoundingClientRect();
              const image = cell.querySelector("img");
              const [width, height] = ["width", "height"].map((name) => image.getAttribute(name));
              const shape = width / height;
              return { left, right, top, bottom, shape };
            })"""
        )
        assert len(cells) == PHOTOS
        rows: dict[int, list[dict[str, float]]] = {}
        for cell in cells:
            rows.setdefault(round(cell["top"]), []).append(cell)
            shown = (cell["right"] - cell["left"]) / (cell["bottom"] - cell["top"])
            assert shown == pytest.approx(cell["shape"], rel=0.05)
        tops = sorted(rows)
        left, right = min(c["left"] for c in cells), max(c["right"] for c in cells)
        for top in tops[:-1]:
            assert min(c["left"] for c in rows[top]) == pytest.approx(left, abs=1)
            assert max(c["right"] for c in rows[top]) == pytest.approx(right, abs=1.5)
        # A whole photo without scrolling.
        assert cells[0]["bottom"] < page.viewport_size["height"]
        assert page.evaluate("shifts") == []
        expect(page.locator("#grid img").nth(2)).to_have_attribute("alt", f"Фото 3 из {PHOTOS}")
        check_access(page)


def test_a_phone_gets_few_bytes_and_none_of_them_twice(
    visit: Callable[..., Page], box: GalleryBox
) -> None:
    page = visit({**PHONE, "device_scale_factor": 3}, RUSSIAN, url="about:blank")
    first = measure_transfer(page, lambda: page.goto(box.url))
    shown = page.evaluate(
        "[...document.querySelectorAll('.cell img')].filter((one) => one.naturalWidth).length"
    )
    kinds = page.evaluate(
        "[...document.querySelectorAll('.cell img')].map((one) => one.currentSrc).join(' ')"
    )
    assert shown >= 5 and "/preview" not in kinds
    again = measure_transfer(page, page.reload)
    assert first <= FIRST_VIEW_BYTES
    assert again <= RELOAD_BYTES


def test_a_thousand_photos_scroll_by_without_a_gap_in_little_memory(
    visit: Callable[..., Page], browser: Browser, many: GalleryBox
) -> None:
    page = visit(PHONE, RUSSIAN, url="about:blank")
    serve_pictures(page)
    page.goto(many.url)
    expect(page.locator("#count")).to_have_text(f"{MANY} фото")
    drawn, gaps = page.evaluate(SCROLL)
    assert (drawn, gaps) == (MANY, 0)
    expect(page.locator("#more")).to_be_hidden()
    alts = page.evaluate("[...document.querySelectorAll('.cell img')].map((one) => one.alt)")
    assert alts[0] == f"Фото 1 из {MANY}" and alts[-1] == f"Фото {MANY} из {MANY}"
    held = page.evaluate("document.querySelectorAll('.cell img[src]').length")
    assert held < 200
    assert page.evaluate("shifts") == []

    # Chromium keeps decoded pictures, half a gigabyte of them, until memory is wanted: what a page
    # holds is what is left then.
    client = page.context.new_cdp_session(page)
    client.send("HeapProfiler.collectGarbage")
    for level in ("moderate", "critical"):
        client.send("Memory.simulatePressureNotification", {"level": level})
        page.wait_for_timeout(3000)
    client.send("Performance.enable")
    metrics = client.send("Performance.getMetrics")["metrics"]
    assert {one["name"]: one["value"] for one in metrics}["JSHeapUsedSize"] < 20_000_000
    client = browser.new_browser_cdp_session()
    told = client.send("SystemInfo.getProcessInfo")["processInfo"]
    renderers = [psutil.Process(one["id"]) for one in told if one["type"] == "renderer"]
    memory = max(one.memory_full_info().uss for one in renderers)
    assert memory < MOST_MEMORY_BYTES


def test_new_photos_come_in_their_places_and_nothing_moves(
    visit: Callable[..., Page], many: GalleryBox
) -> None:
    page = visit(PHONE, ENGLISH, url="about:blank")
    serve_pictures(page)
    page.goto(many.url)
    page.locator("#grid .cell").nth(50).scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    seen = "document.elementFromPoint(180, 370).closest('.cell').querySelector('a').dataset"
    top = "document.elementFromPoint(180, 370).closest('.cell').getBoundingClientRect().top"
    before = page.evaluate(f"[{seen}.id, {top}]")
    page.evaluate(
        """async () => {
          const script = document.querySelector("script[type=module]").src;
          const { allPhotos } = await import(script.replace("gallery.js", "grid.js"));
          const shown = { ...allPhotos.photos[0], width: 2048, height: 1365 };
          const listed = [...allPhotos.photos];
          window.erased = listed.splice(1, 1)[0].id;
          listed.splice(3, 0, { ...shown, id: 900000 });
          listed.splice(8, 0, { ...shown, id: 900001 });
          allPhotos.merge(listed, allPhotos.total + 1, false);
        }"""
    )
    expect(page.locator("#count")).to_have_text(f"{MANY + 1} photos")
    after = page.evaluate(f"[{seen}.id, {top}]")
    assert after[0] == before[0] and after[1] == pytest.approx(before[1], abs=2)
    ids = page.evaluate("[...document.querySelectorAll('.cell a')].map((one) => one.dataset.id)")
    assert (ids.index("900000"), ids.index("900001")) == (3, 8)
    assert str(page.evaluate("erased")) not in ids


# --- the viewer ---


@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_the_picture_fills_the_screen(
    visit: Callable[..., Page], box: GalleryBox, width: int, height: int
) -> None:
    page = visit({"viewport": {"width": width, "height": height}}, RUSSIAN, url=box.url)
    page.locator("#grid .cell a").first.click()
    for _ in range(3):
        expect(page.locator("#picture.there")).to_be_visible()
        shown = page.locator("#picture").bounding_box() or {}
        assert max(shown["width"] / width, shown["height"] / height) >= 0.99
        assert shown["width"] <= width + 1 and shown["height"] <= height + 1
        for part in ("#close", "#download", "#position"):
            control = page.locator(part).bounding_box() or {}
            assert control["x"] >= 0 and control["x"] + control["width"] <= width
            assert control["y"] >= 0 and control["y"] + control["height"] <= height
        page.keyboard.press("End")
        page.keyboard.press("ArrowLeft")
    check_access(page)


def test_the_viewer_goes_on_to_the_events_end(visit: Callable[..., Page], many: GalleryBox) -> None:
    page = visit(DESKTOP, ENGLISH, url="about:blank")
    serve_pictures(page)
    page.goto(many.url)
    open_viewer(page, 58)
    for number in range(60, 64):
        page.keyboard.press("ArrowRight")
        expect(page.locator("#position")).to_have_text(f"{number} of {MANY}")
    page.keyboard.press("End")
    expect(page.locator("#position")).to_have_text(f"{MANY} of {MANY}")
    expect(page.locator("#next")).to_be_disabled()
    last = many.list_ids()[-1]
    page.wait_for_url(re.compile(f"/photos/{last}$"))
    page.keyboard.press("Escape")
    expect(page.locator(f".cell a[data-id='{last}']")).to_be_focused()
    expect(page.locator(f".cell a[data-id='{last}']")).to_be_in_viewport()


def pinch(page: Page, fingers: list[list[tuple[int, int]]]) -> None:
    """Move fingers over the screen: the places of each at each moment."""
    client = page.context.new_cdp_session(page)
    for moment, points in enumerate(fingers):
        kind = "touchStart" if moment == 0 else "touchMove"
        touches = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    client.detach()


def read_scale(page: Page) -> float:
    matrix: str = page.evaluate("getComputedStyle(document.getElementById('sheet')).transform")
    return 1.0 if matrix == "none" else float(matrix.split("(")[1].split(",")[0])


def test_fingers_swipe_zoom_and_pan(visit: Callable[..., Page], box: GalleryBox) -> None:
    page = visit(PHONE, ENGLISH, url=box.url)
    open_viewer(page, 0)
    position = page.locator("#position")
    pinch(page, [[(300, 370)], [(200, 372)], [(100, 374)]])
    expect(position).to_have_text(f"2 of {PHOTOS}")
    pinch(page, [[(100, 370)], [(200, 372)], [(300, 374)]])
    expect(position).to_have_text(f"1 of {PHOTOS}")

    pinch(page, [[(170, 370), (190, 370)], [(140, 370), (220, 370)], [(100, 370), (260, 370)]])
    assert read_scale(page) == pytest.approx(3)  # and no further
    moved = "document.getElementById('sheet').getBoundingClientRect().left"
    before = page.evaluate(moved)
    pinch(page, [[(300, 370)], [(200, 372)], [(100, 374)]])
    assert page.evaluate(moved) < before - 100
    expect(position).to_have_text(f"1 of {PHOTOS}")  # what is zoomed is moved, not turned
    pinch(page, [[(100, 370), (260, 370)], [(150, 370), (200, 370)], [(170, 370), (190, 370)]])
    assert read_scale(page) == pytest.approx(1)

    page.wait_for_timeout(400)
    for _ in range(2):
        page.touchscreen.tap(180, 370)
    expect(page.locator("#viewer")).to_have_class(re.compile("zoomed"))
    assert read_scale(page) == pytest.approx(3)
    page.keyboard.press("ArrowRight")
    assert read_scale(page) == pytest.approx(1)

    pinch(page, [[(180, 300)], [(182, 400)], [(184, 500)]])  # down: away with it
    expect(page.locator("#viewer")).to_be_hidden()


def test_controls_fade_but_not_for_a_keyboard(visit: Callable[..., Page], box: GalleryBox) -> None:
    page = visit(PHONE, ENGLISH, url=box.url)
    page.locator("#grid .cell a").first.tap()
    expect(page.locator("#viewer .bar.bottom")).to_have_css("opacity", "0")
    # A tap where a control is not to be seen brings it back, and does nothing else.
    page.locator("#close").tap(force=True)
    expect(page.locator("#viewer")).to_be_visible()
    expect(page.locator("#viewer .bar.bottom")).to_have_css("opacity", "1")
    page.keyboard.press("Tab")
    page.wait_for_timeout(4500)
    opacity = "getComputedStyle(document.querySelector('#viewer .bar.bottom')).opacity"
    assert page.evaluate(opacity) == "1"


def test_a_photo_that_does_not_come_is_told_in_words(
    visit: Callable[..., Page], box: GalleryBox
) -> None:
    page = visit(DESKTOP, ENGLISH, url=box.url)
    views = re.compile(r"/photos/[0-9]+/view")
    waiting: list[Route] = []
    page.route(views, lambda route: waiting.append(route))
    page.locator("#grid .cell a").first.click()
    expect(page.locator("#viewer-message")).to_have_text("Loading the photo…")
    check_access(page)
    page.route(views, lambda route: route.abort())
    for route in [*waiting]:
        with suppress(Error):  # of a picture that the page has let go of meanwhile
            route.abort()
    expect(page.locator("#viewer-message")).to_contain_text("did not load")
    check_access(page)
    page.unroute(views)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#picture.there")).to_be_visible()
    expect(page.locator("#viewer-message")).to_be_empty()


# --- places: Back, reload, an address, the other language ---


def test_back_closes_the_viewer_and_a_reload_keeps_it(
    visit: Callable[..., Page], box: GalleryBox
) -> None:
    page = visit(PHONE, RUSSIAN, url=box.url)
    ids = box.list_ids()
    open_viewer(page, 4)
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile(f"/photos/{ids[5]}$"))
    page.reload()
    expect(page.locator("#picture.there")).to_be_visible()
    expect(page.locator("#position")).to_have_text(f"6 из {PHOTOS}")
    page.go_back()
    expect(page.locator("#viewer")).to_be_hidden()
    assert page.url == box.url
    page.go_forward()
    expect(page.locator("#picture.there")).to_be_visible()
    expect(page.locator("#position")).to_have_text(f"6 из {PHOTOS}")
    page.get_by_role("button", name="Закрыть").click()
    page.wait_for_url(box.url)
    expect(page.locator("#grid .cell a").nth(5)).to_be_focused()


def test_a_photo_far_down_has_an_address(visit: Callable[..., Page], many: GalleryBox) -> None:
    number = 777
    photo = many.list_ids()[number - 1]
    page = visit(PHONE, ENGLISH, url="about:blank")
    serve_pictures(page)
    page.goto(f"{many.url}/photos/{photo}?lang=ru")
    expect(page.locator("#picture.there")).to_be_visible()
    expect(page.locator("#position")).to_have_text(f"{number} из {MANY}")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#position")).to_have_text(f"{number - 1} из {MANY}")
    page.wait_for_url(re.compile(f"/photos/{many.list_ids()[number - 2]}"))
    page.go_back()
    expect(page.locator("#viewer")).to_be_hidden()
    assert page.url == f"{many.url}?lang=ru"
    expect(page.locator("#grid .cell a").nth(number - 2)).to_be_in_viewport()


def read_middle(page: Page) -> str | None:
    """The id of the photo in the middle of the screen."""
    found: str | None = page.evaluate(
        "document.elementFromPoint(180, 370)?.closest('.cell')?.querySelector('a').dataset.id"
    )
    return found


def wait_for_middle(page: Page, photo_id: str | None) -> None:
    for _ in range(300):
        if read_middle(page) == photo_id:
            return
        page.wait_for_timeout(100)
    assert read_middle(page) == photo_id


def test_the_place_stays_with_a_reload_and_the_other_language(
    visit: Callable[..., Page], many: GalleryBox
) -> None:
    page = visit(PHONE, ENGLISH, url="about:blank")
    serve_pictures(page)
    page.goto(many.url)
    for _ in range(40):
        page.evaluate("scrollBy(0, 500)")
        page.wait_for_timeout(20)
    before = read_middle(page)
    assert page.evaluate("document.querySelectorAll('.cell').length") > 60
    page.reload()
    wait_for_middle(page, before)
    page.locator(".language").evaluate("(link) => link.click()")
    expect(page.locator("html")).to_have_attribute("lang", "ru")
    wait_for_middle(page, before)
    # Opened anew it begins at the beginning.
    page.goto(many.url)
    page.wait_for_timeout(500)
    assert page.evaluate("scrollY") == 0


def test_without_a_script_a_photo_is_large_and_its_original_can_be_had(
    visit: Callable[..., Page], box: GalleryBox
) -> None:
    page = visit({**PHONE, "java_script_enabled": False}, RUSSIAN, url=box.url)
    page.locator("#grid .cell a").nth(1).click()
    picture = page.locator(".photo img")
    expect(picture).to_have_attribute("alt", f"Фото 2 из {PHOTOS}")
    shown = picture.bounding_box() or {}
    assert shown["width"] == 360
    check_access_without_script = page.locator(".photo-links a")
    expect(check_access_without_script).to_have_count(4)
    with page.expect_download() as original:
        page.get_by_role("link", name="Скачать оригинал").click()
    assert Image.open(original.value.path()).width > 640
    page.get_by_role("link", name="Следующее фото").click()
    expect(picture).to_have_attribute("alt", f"Фото 3 из {PHOTOS}")
    page.locator(".photo-links").get_by_role("link", name="Все фотографии").click()
    expect(page.locator("#grid .cell")).to_have_count(PHOTOS)


# --- looks ---


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_decorated_gallery_can_be_read(
    visit: Callable[..., Page], box: GalleryBox, looks: Callable[..., None], scheme: str
) -> None:
    looks(
        held_on=date(2026, 6, 20), place="Псков, Кремль", studio="Студия «Ёж»", accent="#ffe000",
        cover_photo_id=box.list_ids()[-1],
    )  # fmt: skip
    for device in (PHONE, DESKTOP):
        page = visit({**device, "color_scheme": scheme}, RUSSIAN, url=box.url)
        expect(page.locator(".facts")).to_have_text("20 июня 2026 г. · Псков, Кремль · Студия «Ёж»")
        expect(page.locator(".cover")).to_have_js_property("complete", True)
        assert page.locator(".cover").evaluate("(image) => image.naturalWidth") > 0
        check_access(page)
        page.locator("#find-me").click()
        expect(page.get_by_role("checkbox")).to_be_focused()
        expect(page.locator("#find-me")).to_be_hidden()
        check_access(page)
        assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]
        assert page.evaluate("shifts") == []


def test_a_shared_link_has_a_card_without_anybodys_face(
    box: GalleryBox, looks: Callable[..., None]
) -> None:
    looks(cover_photo_id=box.list_ids()[0], place="Псков")
    html = httpx.get(box.url, headers={"Accept-Language": "ru"}, trust_env=False).text
    card = dict(re.findall(r'<meta property="(og:\w+)" content="(.*?)"', html))
    assert card["og:title"] == "Свадьба" and card["og:description"].startswith("Псков · ")
    assert urlsplit(card["og:image"]).netloc == urlsplit(box.url).netloc
    assert "/photos/" not in card["og:image"]
    picture = Image.open(BytesIO(httpx.get(card["og:image"], trust_env=False).content))
    assert picture.size == (1200, 630)


def test_guests_of_a_private_event_are_shown_none_but_asked_to_find_themselves(
    visit: Callable[..., Page], box: GalleryBox, looks: Callable[..., None]
) -> None:
    looks(visibility="own", cover_photo_id=box.list_ids()[0])
    page = visit(PHONE, RUSSIAN, url=box.url)
    expect(page.get_by_role("checkbox")).to_be_visible()
    assert page.locator(".cell, .cover, #count").count() == 0
    assert str(PHOTOS) not in page.locator("body").inner_text()
    check_access(page)
    listed = json.loads(page.locator("#listed").text_content() or "")
    assert listed == []
    photo = box.list_ids()[0]
    answer = httpx.get(f"{box.url}/photos/{photo}", trust_env=False)
    assert answer.status_code == 404


def test_an_empty_gallery_asks_for_no_selfie(
    visit: Callable[..., Page], stack_environment: dict[str, str]
) -> None:
    with httpx.Client(base_url=stack_environment["FACEPASS_API_URL"], trust_env=False) as api:
        url = api.post("/api/v1/events", json={"name": "Юбилей"}).json()["gallery_url"]
    page = visit(PHONE, RUSSIAN, url=url)
    expect(page.get_by_text("Здесь пока нет фотографий")).to_be_visible()
    expect(page.locator("#find-me")).to_be_hidden()
    expect(page.get_by_role("checkbox")).to_be_hidden()
    check_access(page)


def read_errors(page: Page) -> list[Any]:
    errors: list[Any] = []
    page.on("pageerror", lambda error: errors.append(error))
    page.on("console", lambda message: errors.append(message.text))
    return errors


def test_nothing_is_said_in_the_console(visit: Callable[..., Page], box: GalleryBox) -> None:
    page = visit(DESKTOP, ENGLISH, url="about:blank")
    errors = read_errors(page)
    page.goto(box.url)
    page.wait_for_load_state("networkidle")
    open_viewer(page, 2)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    page.mouse.wheel(0, 5000)
    page.wait_for_load_state("networkidle")
    assert errors == []
