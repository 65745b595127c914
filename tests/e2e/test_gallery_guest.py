"""A guest's own way in a real browser: face, bands, verdicts, history, taking home, what is new."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserType, Page, Route, expect

from deployments.demo import open_api, sync_photos, upload_photos
from deployments.sample_photos import make_sample_photos
from tests.e2e.conftest import DESKTOP, FLAGS, PHONE
from tests.e2e.test_gallery import (
    ENGLISH,
    NOISE,
    RUSSIAN,
    add_selfie,
    describe_photo,
    find_person,
    hand_over,
    list_found,
    name_samples,
    read_original,
)
from tests.support.guests import ASTRONAUT, take_selfie
from tests.support.photos import encode_jpeg, read_group
from tests.support.waiting import wait_until

SEARCH = "**/api/v1/faces/search"
# Chromium tells a form with files to nobody else.
RECORD_FORMS = """
window.forms = [];
const send = window.fetch;
window.fetch = (url, options) => {
  if (options?.body instanceof FormData)
    forms.push([...options.body].filter(([, value]) => typeof value === "string"));
  return send(url, options);
};
"""
SHARING = """
window.shared = [];
navigator.canShare = ({ files }) => files.every((file) => file.type === "image/jpeg");
navigator.share = async ({ files }) => { shared.push(files); };
"""
REFUSED_ONCE = """
let refused = 0;
const share = navigator.share;
navigator.share = (data) =>
  refused++ ? share(data) : Promise.reject(new DOMException("", "NotAllowedError"));
"""


def check_access(page: Page) -> None:
    violations = Axe().run(page).response["violations"]
    assert [(found["id"], [node["html"] for node in found["nodes"]]) for found in violations] == []


def read_numbers(form: str, name: str) -> set[int]:
    """The ids in a form's field, one after the other with commas between."""
    values = re.findall(rf'name="{name}"\s+([\d,]+)', form)
    return {int(number) for value in values for number in value.split(",")}


def agree(page: Page) -> None:
    """Tick the consent, where need be after "Find my photos"."""
    if page.locator("#find-me").is_visible():
        page.locator("#find-me").click()
    page.get_by_role("checkbox").check()


class Searches:
    """The API's own answer about a person, its bands as the test wants them.

    A guest's `me` are surely theirs then, and their `not_me` are left out.
    """

    def __init__(self, matches: list[dict[str, Any]], maybe: int) -> None:
        self.matches = matches
        self.maybe = {match["photo_id"] for match in matches[len(matches) - maybe :]}
        self.hidden: set[int] = set()  # photos that are not there yet
        self.refusal: tuple[int, dict[str, Any]] | None = None

    def answer(self, route: Route) -> None:
        if self.refusal:
            status, body = self.refusal
            return route.fulfill(status=status, json=body)
        fields = (route.request.post_data_buffer or b"").decode("latin-1")
        me, not_me = (read_numbers(fields, name) for name in ("me", "not_me"))
        matches = [
            match | {"band": "maybe" if match["photo_id"] in self.maybe - me else "surely"}
            for match in self.matches
            if match["photo_id"] not in not_me | self.hidden
        ]
        answer = {"matches": matches, "next_cursor": None, "face_token": "sealed"}
        return route.fulfill(json=answer)


@pytest.fixture(scope="module")
def api(stack_environment: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack_environment["FACEPASS_API_URL"], trust_env=False) as client:
        yield client


@pytest.fixture
def answer_with(api: httpx.Client, gallery_url: str) -> Callable[..., Searches]:
    """Have a page's searches answered: answer_with(page, person=1, surely=5, maybe=3)."""

    def build(page: Page, person: int = ASTRONAUT, *, surely: int, maybe: int) -> Searches:
        events = api.get("/api/v1/events").json()
        (event,) = [e for e in events if e["gallery_url"] == gallery_url]
        selfie = encode_jpeg(take_selfie(person), quality=95)
        found = api.post(
            "/api/v1/faces/search",
            data={"event_uuid": event["event_uuid"]},
            files={"file": ("me.jpg", selfie, "image/jpeg")},
        ).json()["matches"]
        sizes = {"original_bytes": 4_000_000, "view_bytes": 500_000}
        searches = Searches([match | sizes for match in found[: surely + maybe]], maybe)
        page.route(SEARCH, searches.answer)
        return searches

    return build


def read_ids(page: Page, band: str) -> list[int]:
    links = page.locator(f"#{band} a[data-id]").all()
    return [int(link.get_attribute("data-id") or 0) for link in links]


# --- consent ---


def test_consent_is_told_once_and_goes_with_each_search(visit: Callable[..., Page]) -> None:
    page = visit(DESKTOP, RUSSIAN)
    page.evaluate(RECORD_FORMS)
    told: list[dict[str, str]] = []

    def take(route: Route) -> None:
        told.append(route.request.post_data_json or {})
        route.fulfill(status=201, json={"consent": "signed 1"})

    page.route("**/consents", take)
    page.route(SEARCH, lambda route: route.fulfill(json={"matches": [], "next_cursor": None}))
    version = page.locator("#find").get_attribute("data-consent-version")
    hand_over(page, take_selfie(ASTRONAUT))
    expect(page.locator("#results-title")).to_be_focused()
    add_selfie(page, take_selfie(ASTRONAUT))
    wait_until(lambda: page.evaluate("forms.length") == 2)

    assert re.fullmatch("[0-9a-f]{12}", version or "")
    assert told == [{"version": version, "language": "ru"}]
    assert (
        page.evaluate("forms.map((f) => f.find(([name]) => name === 'consent')[1])")
        == ["signed 1"] * 2
    )
    # Whoever unticks it is asked again.
    page.locator("#try-again").click()
    page.get_by_role("checkbox").uncheck()
    with page.expect_response("**/consents"):
        page.get_by_role("checkbox").check()
    assert len(told) == 2


@pytest.mark.parametrize(
    ("path", "status", "body", "words"),
    [
        (SEARCH, 422, {"code": "consent_needed"}, "tick your consent once more"),
        ("**/consents", 422, {"detail": "…"}, "have changed"),
        ("**/consents", 410, {"detail": "closed"}, "is closed"),
        ("**/consents", 500, {}, "did not work"),
    ],
)
def test_without_a_valid_consent_nothing_is_found_and_the_guest_is_asked_again(
    visit: Callable[..., Page], path: str, status: int, body: dict[str, str], words: str
) -> None:
    page = visit()
    page.route(path, lambda route: route.fulfill(status=status, json=body))
    hand_over(page, take_selfie(ASTRONAUT))
    expect(page.locator("#message.error")).to_contain_text(words)
    expect(page.locator("#results")).to_be_hidden()
    if path == SEARCH:
        expect(page.get_by_role("checkbox")).not_to_be_checked()
    check_access(page)


# --- which face ---


def test_the_chooser_shows_each_face_large_and_round(visit: Callable[..., Page]) -> None:
    page = visit(PHONE, RUSSIAN)
    hand_over(page, read_group())
    crops = page.locator("#chooser .crop")
    expect(crops).to_have_count(6)
    expect(crops.first).to_be_focused()
    box = crops.first.bounding_box()
    assert box and box["width"] >= 80 and abs(box["width"] - box["height"]) < 1
    # Each shows another part of the picture, and all of the window is filled by it.
    places = page.evaluate(
        """() => [...document.querySelectorAll(".crop")].map((crop) => {
          const image = crop.querySelector("img").getBoundingClientRect();
          const window = crop.getBoundingClientRect();
          return [image.left <= window.left + 4, image.right >= window.right - 4,
                  image.top <= window.top + 4, image.bottom >= window.bottom - 4,
                  Math.round(image.left - window.left), image.width > 2 * window.width];
        })"""
    )
    assert all(place[:4] == [True] * 4 and place[5] for place in places)
    assert len({place[4] for place in places}) == 6
    check_access(page)
    page.keyboard.press("Tab")
    expect(crops.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#results-title")).to_be_focused()
    assert list_found(page) == name_samples("ceremony")


# --- the camera ---


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a camera sees in which the astronaut looks: one frame, again and again."""
    file = tmp_path_factory.mktemp("film") / "astronaut.mjpeg"
    file.write_bytes(encode_jpeg(take_selfie(ASTRONAUT, margin=0.6).resize((640, 640)), quality=95))
    return file


@pytest.fixture
def film_page(visit: Callable[..., Page], gallery_url: str, film: Path) -> Iterator[Page]:
    """The gallery in a browser of its own, which has a camera."""
    program: BrowserType = visit().context.browser.browser_type  # type: ignore[union-attr]
    flags = [
        *FLAGS,
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]
    browser = program.launch(executable_path="/usr/bin/chromium", args=flags)
    device: dict[str, Any] = PHONE
    context = browser.new_context(**device, locale=ENGLISH)
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.goto(gallery_url)
    page.wait_for_load_state("networkidle")
    yield page
    browser.close()


LIVE_TRACKS = "document.querySelector('#video').srcObject?.getTracks().length ?? 0"


def expect_camera_off(page: Page) -> None:
    """A dialog is hidden a moment before its `close` event, which lets go of the camera."""
    wait_until(lambda: page.evaluate(LIVE_TRACKS) == 0, limit_s=30)


def test_a_guest_takes_their_selfie_by_the_live_camera(film_page: Page) -> None:
    page = film_page
    agree(page)
    page.get_by_role("checkbox").uncheck()
    page.get_by_role("button", name="Take a selfie").click()
    expect(page.locator("#message")).to_contain_text("tick your consent")
    agree(page)
    page.get_by_role("button", name="Take a selfie").click()
    viewfinder = page.get_by_role("dialog", name="Your selfie")
    expect(viewfinder.get_by_role("button", name="Take the picture")).to_be_enabled()
    transform = page.evaluate("getComputedStyle(document.querySelector('#video')).transform")
    assert transform.startswith("matrix(-1")  # a mirror
    check_access(page)

    # Left alone, the camera is let go of.
    viewfinder.get_by_role("button", name="Cancel").click()
    expect(viewfinder).to_be_hidden()
    expect_camera_off(page)
    expect(page.get_by_role("button", name="Take a selfie")).to_be_enabled()

    page.get_by_role("button", name="Take a selfie").click()
    viewfinder.get_by_role("button", name="Take the picture").click()
    expect(page.locator("#results-title")).to_be_focused()
    assert list_found(page) == name_samples("portrait")
    expect_camera_off(page)


def test_a_camera_whose_canvas_is_spoilt_takes_the_picture_itself(film_page: Page) -> None:
    page = film_page
    page.evaluate(f"() => {{ {NOISE} }}")
    agree(page)
    page.get_by_role("button", name="Take a selfie").click()
    page.get_by_role("button", name="Take the picture").click()
    expect(page.locator("#results-title")).to_be_focused()
    assert list_found(page) == name_samples("portrait")

    page.locator("#try-again").click()
    page.evaluate("() => { delete window.ImageCapture; }")
    page.get_by_role("button", name="Take a selfie").click()
    page.get_by_role("button", name="Take the picture").click()
    expect(page.locator("#message.error")).to_contain_text("no true picture")
    expect_camera_off(page)


def test_a_camera_stops_when_the_page_is_hidden(film_page: Page) -> None:
    page = film_page
    agree(page)
    page.get_by_role("button", name="Take a selfie").click()
    expect(page.get_by_role("button", name="Take the picture")).to_be_enabled()
    page.evaluate(
        """() => {
          Object.defineProperty(document, "hidden", { value: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    expect(page.locator("#viewfinder")).to_be_hidden()
    expect_camera_off(page)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("NotAllowedError", "not allowed"),
        ("NotFoundError", "No camera was found"),
        ("NotReadableError", "another program"),
        ("AbortError", "did not start"),
    ],
)
def test_a_camera_that_does_not_start_is_told_and_a_file_does_as_well(
    visit: Callable[..., Page], failure: str, words: str
) -> None:
    page = visit()
    page.evaluate(
        f"""() => {{ navigator.mediaDevices.getUserMedia = () =>
          Promise.reject(new DOMException("", "{failure}")); }}"""
    )
    agree(page)
    page.get_by_role("button", name="Take a selfie").click()
    expect(page.locator("#message.error")).to_contain_text(words)
    expect(page.locator("#viewfinder")).to_be_hidden()
    find_person(page, ASTRONAUT)
    assert list_found(page) == name_samples("portrait")


def test_where_no_live_camera_can_be_had_the_phones_own_is_opened(
    visit: Callable[..., Page], gallery_url: str
) -> None:
    page = visit(PHONE)
    page.context.add_init_script("delete Navigator.prototype.mediaDevices")
    page.reload()
    agree(page)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Take a selfie").click()
    assert chooser.value.element.get_attribute("capture") == "user"

    desktop = visit(DESKTOP)
    desktop.context.add_init_script("delete Navigator.prototype.mediaDevices")
    desktop.reload()
    agree(desktop)
    expect(desktop.get_by_role("button", name="Choose a photo")).to_be_visible()
    expect(desktop.get_by_role("button", name="Take a selfie")).to_be_hidden()


# --- bands and verdicts ---


@pytest.mark.parametrize(
    ("locale", "surely", "maybe", "title"),
    [
        (ENGLISH, 8, 3, "Found you in 8 photos, and maybe in 3 more"),
        (ENGLISH, 1, 0, "Found you in 1 photo"),
        (ENGLISH, 0, 10, "No sure match; here are 10 photos that may show you"),
        (RUSSIAN, 8, 3, "Нашли вас на 8 фото и, возможно, ещё на 3"),
        (RUSSIAN, 0, 10, "Точных совпадений нет; вот 10 фото, где, возможно, вы"),
    ],
)
def test_the_headline_tells_what_is_sure_from_what_may_be(
    visit: Callable[..., Page],
    answer_with: Callable[..., Searches],
    locale: str,
    surely: int,
    maybe: int,
    title: str,
) -> None:
    page = visit(PHONE, locale)
    answer_with(page, surely=surely, maybe=maybe)
    find_person(page, ASTRONAUT)
    expect(page.locator("#results-title")).to_have_text(title)
    check_access(page)
    # A band's button takes that band alone.
    if surely:
        page.locator("#surely .take-bar .primary").click()
        taken = page.locator("#take-zips [name=photo_ids]").evaluate_all(
            "all => all.flatMap(e => e.value.split(',').map(Number))"
        )
        assert taken == read_ids(page, "surely")


def test_cells_show_the_face_that_was_found(
    visit: Callable[..., Page], answer_with: Callable[..., Searches]
) -> None:
    page = visit(PHONE)
    answer_with(page, 2, surely=6, maybe=0)  # a person at the right of a wide picture, and mirrored
    find_person(page, 2)
    expect(page.locator("#surely img").first).not_to_have_js_property("naturalWidth", 0)
    boxes = {
        int(match): box
        for match, box in page.evaluate(
            """() => {
              const key = Object.keys(sessionStorage).find((key) => key.startsWith("facepass-"));
              return JSON.parse(sessionStorage[key]).result.photos.map((p) => [p.id, p.box]);
            }"""
        )
    }
    for link in page.locator("#surely a[data-id]").all():
        link.scroll_into_view_if_needed()
        image = link.locator("img")
        expect(image).not_to_have_css("object-position", "50% 50%")
        x1, _, x2, _ = boxes[int(link.get_attribute("data-id") or 0)]
        left, width, shown = image.evaluate(
            """(image) => {
              const scale = image.clientHeight / image.naturalHeight;
              const width = image.naturalWidth * scale;
              const place = parseFloat(image.style.objectPosition) / 100;
              return [(width - image.clientWidth) * place, width, image.clientWidth];
            }"""
        )
        assert left - 1 <= x1 * width and x2 * width <= left + shown + 1


def test_this_is_me_and_not_me_change_this_guests_result_alone(
    visit: Callable[..., Page], answer_with: Callable[..., Searches]
) -> None:
    page = visit(PHONE)
    page.context.add_init_script(RECORD_FORMS)
    page.reload()
    searches = answer_with(page, surely=5, maybe=4)
    late = searches.matches[4]["photo_id"]
    searches.hidden = {late}
    find_person(page, ASTRONAUT)
    expect(page.locator("#results-title")).to_have_text(
        "Found you in 4 photos, and maybe in 4 more"
    )
    first, second, third, fourth = read_ids(page, "maybe")

    page.locator("#maybe .verdicts").first.get_by_role("button", name="Not me").click()
    expect(page.locator("#verdict-message")).to_contain_text("no longer among yours")
    assert read_ids(page, "maybe") == [second, third, fourth]
    expect(page.locator("#maybe .verdicts button").first).to_be_focused()
    expect(page.locator("#hidden")).to_contain_text("1 photo hidden")

    searches.hidden = set()
    page.locator("#maybe .verdicts").first.get_by_role("button", name="This is me").click()
    expect(page.locator("#verdict-message")).to_contain_text("1 photo more")
    expect(page.locator("#results-title")).to_have_text(
        "Found you in 6 photos, and maybe in 2 more"
    )
    assert {second, late} <= set(read_ids(page, "surely"))
    asked = dict(page.evaluate("forms.at(-1)"))
    assert (asked["face_token"], asked["me"], asked["not_me"]) == (
        "sealed",
        str(second),
        str(first),
    )
    assert "face" not in asked
    check_access(page)

    # Large, in the viewer, one judges best.
    page.locator("#maybe a[data-id]").first.click()
    viewer = page.locator("#viewer")
    viewer.get_by_role("button", name="Not me").click()
    expect(viewer.get_by_role("button", name="Not me")).to_have_count(0)
    expect(page.locator("#position")).to_contain_text("no longer among yours")
    page.locator("#close").click()
    assert read_ids(page, "maybe") == [fourth]

    # What was confirmed by mistake goes, and is no seed of the next search.
    page.locator("#surely .verdicts").get_by_role("button", name="Not me").click()
    expect(page.locator("#hidden")).to_contain_text("3 photos hidden")
    assert second not in read_ids(page, "surely")
    wait_until(lambda: "me" not in dict(page.evaluate("forms.at(-1)")))

    # What was said is known after a reload, and can be taken back.
    page.reload()
    assert read_ids(page, "maybe") == [fourth]
    page.get_by_role("button", name="Show them again").click()
    assert set(read_ids(page, "maybe")) == {first, second, third, fourth}
    expect(page.locator("#hidden")).to_be_hidden()


def test_a_verdict_stands_where_no_further_search_is_possible(
    visit: Callable[..., Page], answer_with: Callable[..., Searches]
) -> None:
    page = visit(PHONE)
    searches = answer_with(page, surely=3, maybe=2)
    find_person(page, ASTRONAUT)
    searches.refusal = 422, {"code": "selfie_needed"}
    page.locator("#maybe .verdicts").first.get_by_role("button", name="This is me").click()
    expect(page.locator("#verdict-message")).to_contain_text("take your selfie once more")
    expect(page.locator("#results-title")).to_have_text(
        "Found you in 4 photos, and maybe in 1 more"
    )


# --- reload, Back, the other language ---


def test_a_result_survives_back_forward_reload_and_the_other_language(
    visit: Callable[..., Page],
) -> None:
    page = visit(PHONE, ENGLISH)
    find_person(page, ASTRONAUT)
    found = list_found(page)
    page.reload()
    expect(page.locator("#results-title")).to_have_text("Found you in 18 photos")
    assert list_found(page) == found
    # The selfie was not kept: nothing can be added to it.
    expect(page.locator("#add")).to_be_hidden()
    expect(page.locator("#add-gone")).to_be_visible()
    check_access(page)

    page.go_back()
    expect(page.locator("#results")).to_be_hidden()
    expect(page.locator("#photos")).to_be_visible()
    page.go_forward()
    expect(page.locator("#results-title")).to_be_visible()

    page.get_by_role("link", name="Русский").click()
    expect(page.locator("#results-title")).to_have_text("Нашли вас на 18 фото")
    assert list_found(page) == found
    page.go_back()
    expect(page.locator("#photos")).to_be_visible()
    expect(page.locator("#results")).to_be_hidden()
    # From all photos the result is one tap away.
    page.locator("#show-found").click()
    expect(page.locator("#results-title")).to_be_focused()
    page.locator("#show-all").click()
    expect(page.locator("#photos")).to_be_focused()
    page.go_back()
    expect(page.locator("#results")).to_be_visible()


def test_the_place_in_a_result_stays_with_a_reload_and_the_other_language(
    visit: Callable[..., Page],
) -> None:
    page = visit(PHONE, ENGLISH)
    find_person(page, ASTRONAUT)
    links = page.locator("#surely a[data-id]")
    links.nth(9).evaluate("(link) => scrollBy(0, link.getBoundingClientRect().top - 40)")
    before = links.nth(9).bounding_box() or {}
    assert before["y"] == pytest.approx(40, abs=1)
    page.reload()
    expect(page.locator("#results-title")).to_have_text("Found you in 18 photos")
    assert links.nth(9).bounding_box() == pytest.approx(before, abs=1)
    page.get_by_role("link", name="Русский").evaluate("(link) => link.click()")
    expect(page.locator("#results-title")).to_have_text("Нашли вас на 18 фото")
    assert links.nth(9).bounding_box() == pytest.approx(before, abs=1)


def test_the_tab_keeps_no_selfie_and_another_tab_knows_nothing(
    visit: Callable[..., Page], gallery_url: str
) -> None:
    page = visit(PHONE)
    find_person(page, ASTRONAUT)
    kept = page.evaluate("JSON.stringify(sessionStorage)")
    assert "blob:" not in kept and "base64" not in kept and len(kept) < 40_000
    assert page.evaluate("Object.keys(localStorage).length + document.cookie.length") == 0
    other = page.context.new_page()
    other.goto(gallery_url)
    expect(other.locator("#photos")).to_be_visible()
    expect(other.locator("#results")).to_be_hidden()
    expect(other.locator("#consent")).not_to_be_checked()


# --- taking home ---


def test_chosen_photos_alone_are_in_the_zip(visit: Callable[..., Page]) -> None:
    page = visit(DESKTOP, RUSSIAN)
    find_person(page, ASTRONAUT)
    page.locator("#surely .choose").click()
    ticks = page.locator("#surely .tick")
    expect(ticks).to_have_count(18)
    ticks.nth(0).check()
    page.locator("#surely a[data-id]").nth(3).click()  # a tap on the photo ticks it as well
    expect(page.locator("#viewer")).to_be_hidden()
    expect(ticks.nth(3)).to_be_checked()
    expect(page.locator("#selection")).to_contain_text("Выбрано 2 снимка")
    check_access(page)
    names = {
        (page.locator("#surely img").nth(index).get_attribute("alt") or "").rpartition(": ")[2]
        for index in (0, 3)
    }
    page.get_by_role("button", name="Сохранить", exact=True).click()
    check_access(page)
    page.get_by_role("radio", name="Оригиналы").check()
    with page.expect_download() as download:
        page.locator("#take-zips button").click()
    expect(page.locator("#take-message")).to_contain_text("Загрузка началась")
    archive = ZipFile(download.value.path())
    assert set(archive.namelist()) == names
    assert all(archive.read(name) == read_original(name) for name in names)

    page.locator("#take-close").click()
    page.locator("#surely .choose-all").click()
    expect(page.locator("#selection")).to_contain_text("Выбрано 18 снимков")
    page.locator("#selection-end").click()
    expect(page.locator("#selection")).to_be_hidden()
    expect(page.locator(".tick")).to_have_count(0)
    page.locator("#surely a[data-id]").first.click()
    expect(page.locator("#viewer")).to_be_visible()


def test_photos_of_the_whole_gallery_can_be_chosen_too(visit: Callable[..., Page]) -> None:
    page = visit(PHONE)
    page.locator("#take-all .choose").click()
    page.locator("#grid .tick").nth(1).check()
    page.keyboard.press("Tab")
    expect(page.locator("#selection")).to_contain_text("1 photo selected")
    page.locator("#selection-take").click()
    expect(page.locator("#take-zips [name=photo_ids]")).to_have_count(1)
    expect(page.get_by_role("button", name="Download all")).to_have_count(0)


def test_sizes_are_told_and_many_photos_come_in_parts(
    visit: Callable[..., Page], answer_with: Callable[..., Searches]
) -> None:
    page = visit(DESKTOP)
    searches = answer_with(page, surely=10, maybe=0)
    first = min(searches.matches, key=lambda match: str(match["s3_key"]))
    first |= {"original_bytes": None, "has_original": False}
    page.evaluate("document.body.dataset.zipLimit = 4")
    find_person(page, ASTRONAUT)
    page.locator("#surely .take-bar .primary").click()
    page.get_by_role("radio", name="Originals").check()
    expect(page.locator("#size-original")).to_have_text("about 40 MB")
    expect(page.locator("#size-phone")).to_have_text("5 MB")
    expect(page.locator("#take-missing")).to_contain_text("1 original is not in the storage")
    parts = page.locator("#take-zips button").all_text_contents()
    assert [re.sub(r"\s", " ", part) for part in parts][1:] == [
        "Part 2 of 3: 4 photos, 16 MB (zip)",
        "Part 3 of 3: 2 photos, 8 MB (zip)",
    ]
    expect(page.locator("#take-parts")).to_contain_text("3 parts")
    page.get_by_role("radio", name="For the phone").check()
    sizes = page.locator("#take-zips [name=size]").evaluate_all("all => all.map((e) => e.value)")
    assert sizes == ["phone"] * 3
    expect(page.locator("#take-missing")).to_be_empty()


def test_the_share_sheet_gets_pictures_in_lots_that_phones_take(
    visit: Callable[..., Page], answer_with: Callable[..., Searches]
) -> None:
    page = visit(PHONE)
    page.context.add_init_script(SHARING + REFUSED_ONCE)
    page.reload()
    jpeg = encode_jpeg(take_selfie(1), quality=85)
    page.route("**/view.jpg?*", lambda route: route.fulfill(body=jpeg, content_type="image/jpeg"))
    searches = answer_with(page, surely=18, maybe=0)
    searches.matches += [
        match | {"photo_id": 10_000 + n} for n, match in enumerate(searches.matches)
    ]
    find_person(page, ASTRONAUT)
    page.locator("#surely .take-bar .primary").click()
    expect(page.locator("#take-phone")).to_be_checked()
    share = page.locator("#take-share")
    expect(share).to_have_text("Share or save photos 1 to 20 of 36")
    share.click()
    # The browser has forgotten the tap meanwhile: the files wait for another one.
    expect(share).to_have_text("20 photos are ready: tap once more")
    share.click()
    expect(page.locator("#take-message")).to_have_text("Handed over; 16 are left.")
    share.click()
    expect(page.locator("#take-message")).to_have_text("Handed over.")
    files = page.evaluate("shared.map((files) => files.map((f) => [f.name, f.type, f.size]))")
    assert [len(lot) for lot in files] == [20, 16]
    assert all(kind == "image/jpeg" and size == len(jpeg) for lot in files for _, kind, size in lot)
    assert all(name.endswith(".jpg") for lot in files for name, _, _ in lot)


def test_one_photo_is_shared_from_the_viewer(visit: Callable[..., Page]) -> None:
    page = visit(PHONE)
    page.locator("#grid a[data-id]").first.click()
    viewer = page.locator("#viewer")
    small = viewer.get_by_role("link", name="For the phone")
    assert "/view.jpg?" in (small.get_attribute("href") or "")
    assert (small.get_attribute("download") or "").endswith(".jpg")

    page.context.add_init_script(SHARING)
    page.reload()
    page.wait_for_load_state("networkidle")  # a viewer that was open opens again
    page.route("**/view.jpg?*", lambda r: r.fulfill(body=b"\xff\xd8", content_type="image/jpeg"))
    if not viewer.is_visible():
        page.locator("#grid a[data-id]").first.click()
    viewer.get_by_role("button", name="Share").click()
    wait_until(lambda: page.evaluate("shared.length") == 1)
    check_access(page)

    # What cannot be loaded is told.
    page.unroute("**/view.jpg?*")
    page.route("**/view.jpg?*", lambda route: route.fulfill(status=503))
    viewer.get_by_role("button", name="Share").click()
    expect(page.locator("#take-message")).to_contain_text("could not be loaded")


def test_all_photos_can_be_taken_where_the_photographer_allows_it(
    visit: Callable[..., Page], gallery_url: str
) -> None:
    page = visit(DESKTOP)

    def allow(route: Route) -> None:
        answer = route.fetch()
        body = answer.text().replace("<body ", '<body data-download-all="true" ', 1)
        route.fulfill(response=answer, body=body)

    def list_photos(route: Route) -> None:
        after = re.findall("after=([a-z]*)", route.request.url)[0]
        photos = [describe_photo(number) for number in ((1, 2) if after == "" else (3,))]
        cursor = None if after else "next"
        route.fulfill(json={"photos": photos, "next_cursor": cursor, "total": 3})

    page.route(gallery_url, allow)
    page.reload()
    page.route("**/photos?*", list_photos)
    page.get_by_role("button", name="Download all").click()
    expect(page.locator("#take-title")).to_have_text("3 photos")
    expect(page.locator("#size-original")).to_have_text("12 MB")
    check_access(page)


# --- what is new ---


class Gallery:
    """The gallery's list and state, which grow when the test says so."""

    def __init__(self, page: Page) -> None:
        self.photos = page.evaluate(
            "[...document.querySelectorAll('#grid a[data-id]')].map((a) => Number(a.dataset.id))"
        )
        self.tags: list[str | None] = []
        page.route("**/status*", self.tell)
        page.route("**/photos?*", self.list)

    def tell(self, route: Route) -> None:
        number = len(self.photos)
        route.fulfill(
            json={"photos": number, "photos_text": f"{number} photos", "syncing": True,
                  "newest": str(number)}
        )  # fmt: skip

    def list(self, route: Route) -> None:
        photos = [describe_photo(number) for number in self.photos]
        route.fulfill(json={"photos": photos, "next_cursor": None, "total": len(photos)})


@pytest.fixture
def hurry(visit: Callable[..., Page], gallery_url: str) -> Callable[..., Page]:
    """Open the gallery as one that is just being synced: it looks for new photos every 4 s."""

    def open_page(device: dict[str, Any] = PHONE, locale: str = ENGLISH) -> Page:
        page = visit(device, locale)

        def mark(route: Route) -> None:
            answer = route.fetch()
            body = answer.text().replace('data-syncing="false"', 'data-syncing="true"', 1)
            route.fulfill(response=answer, body=body)

        page.route(gallery_url, mark)
        page.reload()
        page.wait_for_load_state("networkidle")
        return page

    return open_page


def test_new_photos_come_to_an_open_page_and_the_count_agrees(hurry: Callable[..., Page]) -> None:
    page = hurry()
    gallery = Gallery(page)
    before = len(gallery.photos)
    gallery.photos += [20_001, 20_002]
    expect(page.locator("#grid .cell")).to_have_count(before + 2)
    expect(page.locator("#count")).to_have_text(f"{before + 2} photos")
    expect(page.locator("#news")).to_be_empty()
    check_access(page)


def test_new_photos_of_the_guest_are_told_and_shown_on_a_tap(
    hurry: Callable[..., Page], answer_with: Callable[..., Searches]
) -> None:
    page = hurry()
    gallery = Gallery(page)
    searches = answer_with(page, surely=18, maybe=0)
    late = {match["photo_id"] for match in searches.matches[:3]}
    searches.hidden = late
    find_person(page, ASTRONAUT)
    expect(page.locator("#results-title")).to_have_text("Found you in 15 photos")

    searches.hidden = set()
    gallery.photos.append(20_003)
    news = page.locator("#news")
    expect(news).to_contain_text("3 new photos of you")
    expect(page.locator("#results-title")).to_have_text("Found you in 15 photos")
    check_access(page)
    news.get_by_role("button", name="Show").click()
    expect(page.locator("#results-title")).to_have_text("Found you in 18 photos")
    assert late <= set(read_ids(page, "surely"))
    expect(news).to_be_empty()
    assert page.evaluate("Number(document.activeElement.dataset.id)") in late


def test_a_result_learns_of_new_photos_after_a_reload_too(
    hurry: Callable[..., Page], answer_with: Callable[..., Searches]
) -> None:
    page = hurry()
    searches = answer_with(page, surely=18, maybe=0)
    searches.hidden = {searches.matches[0]["photo_id"]}
    find_person(page, ASTRONAUT)
    page.reload()
    gallery = Gallery(page)
    page.wait_for_timeout(5_000)  # its first look
    searches.hidden = set()
    gallery.photos.append(20_004)
    expect(page.locator("#news")).to_contain_text("1 new photo of you")


@pytest.mark.parametrize(
    ("status", "words"),
    [(404, "no longer works"), (410, "is closed"), (403, "asks for its PIN")],
)
def test_a_gallery_that_goes_away_meanwhile_says_so(
    hurry: Callable[..., Page], status: int, words: str
) -> None:
    page = hurry()
    asked: list[str] = []

    def end(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=status, json={"detail": "…"})

    page.route("**/status*", end)
    expect(page.locator("#news")).to_contain_text(words)
    check_access(page)
    page.wait_for_timeout(5_000)
    assert len(asked) == 1


def test_pictures_that_do_not_come_are_told(visit: Callable[..., Page]) -> None:
    page = visit(PHONE)
    held: list[Route] = []
    for address in ("**/thumb*", "**/preview*", re.compile("X-Amz-Signature")):
        page.route(address, lambda route: held.append(route))
    page.reload(wait_until="commit")
    expect(page.locator("#news")).to_contain_text("pictures are slow to come")
    expect(page.locator("[data-slow]").first).to_have_attribute("data-slow", "Still loading…")
    for route in held:
        route.continue_()
    expect(page.locator("#news")).to_be_empty()


# --- a guest's wishes, and the photographer who reads them ---


@pytest.mark.parametrize(
    ("kind", "label", "words"),
    [
        ("hide_me", "Я на этом фото", "стереть данные о вашем лице"),
        ("remove_photo", "Уберите это фото", "решит, убрать ли"),
    ],
)
def test_a_guest_asks_to_be_hidden_or_a_photo_to_be_removed(
    visit: Callable[..., Page], kind: str, label: str, words: str
) -> None:
    page = visit(PHONE, RUSSIAN)
    sent: list[dict[str, Any]] = []
    answers = [429, 201]

    def take(route: Route) -> None:
        sent.append(route.request.post_data_json or {})
        route.fulfill(status=answers.pop(0), json={"is_new": True})

    page.route("**/gallery/*/requests", take)
    page.locator("#grid a[data-id]").first.click()
    number = page.locator("#grid a[data-id]").first.get_attribute("data-id")
    page.get_by_role("button", name="Скрыть меня").click()
    dialog = page.get_by_role("dialog", name="Скрыть меня или убрать фото")
    check_access(page)
    dialog.get_by_role("radio", name=label).check()
    dialog.get_by_role("button", name="Отправить просьбу").click()
    expect(page.locator("#wish-message.error")).to_contain_text("Подождите минуту")
    dialog.get_by_role("button", name="Отправить просьбу").click()
    expect(page.locator("#wish-message")).to_contain_text(words)
    assert sent == [{"photo_id": int(number or 0), "kind": kind, "pass": None}] * 2


def test_the_photographer_tells_photos_apart_and_settles_requests(
    visit: Callable[..., Page],
) -> None:
    page = visit(DESKTOP, RUSSIAN)
    photos = [
        {
            "photo_id": number,
            "s3_key": f"events/1/previews/card {card}/IMG_0001.jpg",
            "reason": None,
        }
        for number, card in ((7, "A"), (8, "B"))
    ]
    wishes = [
        {"request_id": 3, "photo_id": 7, "s3_key": photos[0]["s3_key"], "kind": "hide_me",
         "created_at": "2026-06-20T12:00:00Z", "settled_at": None},
    ]  # fmt: skip
    settled: list[str] = []

    def settle(route: Route) -> None:
        settled.append(route.request.method)
        route.fulfill(json=wishes[0])

    page.route(
        "**/api/v1/events/*/photos?status=no_face*",
        lambda route: route.fulfill(json={"photos": photos, "next_cursor": None}),
    )
    page.route("**/api/v1/events/*/requests?*", lambda route: route.fulfill(json=wishes))
    page.route("**/requests/3/settle", settle)
    pixel = encode_jpeg(take_selfie(1).resize((8, 8)))
    page.route("**/thumb*", lambda r: r.fulfill(body=pixel, content_type="image/jpeg"))
    page.get_by_text("Для фотографа").click()
    page.get_by_role("button", name="Показать отчёт").click()

    report = page.locator("#report")
    expect(report).to_contain_text("card A/IMG_0001.jpg — лиц не найдено")
    expect(report).to_contain_text("card B/IMG_0001.jpg — лиц не найдено")
    link = report.get_by_role("link", name="Открыть card B/IMG_0001.jpg")
    assert (link.get_attribute("href") or "").endswith("/photos/8")
    expect(link.locator("img")).not_to_have_js_property("naturalWidth", 0)
    expect(report).to_contain_text("Просьбы гостей: 1")
    expect(report).to_contain_text("просит, чтобы его здесь не находили")
    check_access(page)
    report.get_by_role("button", name="Выполнено").click()
    expect(report).to_contain_text("— выполнено")
    assert settled == ["POST"]


# --- the real calls, all together ---


def test_new_photos_are_found_by_the_real_api_while_the_page_is_open(
    visit: Callable[..., Page], api: httpx.Client, stack_environment: dict[str, str]
) -> None:
    """Two photos, a result, two photos more: the page says so by itself, and shows them."""
    event = api.post("/api/v1/events", json={"name": "Банкет"}).json()
    photos = [photo for photo in make_sample_photos() if photo.name.startswith("portrait")]
    prefect = stack_environment["PREFECT_API_URL"].removesuffix("/api")
    upload_photos(stack_environment, event["s3_prefix"], photos[:2])
    with open_api(stack_environment["FACEPASS_API_URL"]) as photographer:
        sync_photos(photographer, event, "Sync", prefect)
    page = visit(PHONE, ENGLISH, url=event["gallery_url"])
    find_person(page, ASTRONAUT)
    expect(page.locator("#results-title")).to_have_text("Found you in 2 photos")

    upload_photos(stack_environment, event["s3_prefix"], photos[2:4])
    with open_api(stack_environment["FACEPASS_API_URL"]) as photographer:
        sync_photos(photographer, event, "Sync again", prefect)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#news")).to_contain_text("2 new photos of you")
    page.locator("#news").get_by_role("button", name="Show").click()
    expect(page.locator("#results-title")).to_have_text("Found you in 4 photos")
    expect(page.locator("#count")).to_have_text("4 photos")

    # A wish reaches the photographer, and is settled.
    page.locator("#surely a[data-id]").first.click()
    page.get_by_role("button", name="Hide me").click()
    page.get_by_role("button", name="Send the request").click()
    expect(page.locator("#wish-message")).to_contain_text("Sent.")
    (wish,) = api.get(f"/api/v1/events/{event['event_uuid']}/requests").json()
    assert wish["kind"] == "hide_me" and wish["settled_at"] is None
