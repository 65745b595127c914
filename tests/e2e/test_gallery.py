"""The gallery in a real browser, on the real stack: a guest's whole way, and a photographer's."""

import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageFilter, ImageOps
from playwright.sync_api import Page, Route, expect

from deployments.sample_photos import make_sample_photos
from tests.e2e.conftest import DESKTOP, PHONE
from tests.support.guests import ASTRONAUT, take_selfie
from tests.support.path_proxy import PathProxy
from tests.support.photos import encode_jpeg, read_group, read_sample
from tests.support.public_api import serve_api

# The first search loads the models; a busy machine is slow, not wrong.
expect.set_options(timeout=30_000)
RUSSIAN, ENGLISH = "ru-RU", "en-GB"
VISITS = pytest.mark.parametrize(
    ("device", "locale"), [(PHONE, RUSSIAN), (DESKTOP, ENGLISH)], ids=["phone-ru", "desktop-en"]
)
FIRST_VIEW_BYTES = 200_000
# What the page sends: Chromium tells a form with files to nobody else.
RECORD_FORMS = """() => {
  window.forms = [];
  const send = window.fetch;
  window.fetch = (url, options) => {
    const form = options?.body;
    if (form instanceof FormData)
      forms.push({ files: form.getAll("file").length, cursor: form.get("cursor") });
    return send(url, options);
  };
}"""


def hand_over(page: Page, selfie: "Image.Image | bytes", name: str = "me.jpg") -> None:
    """Consent, and choose a file, as a guest's browser does."""
    if not page.get_by_role("checkbox").is_visible():
        page.locator("#find-me").click()
    page.get_by_role("checkbox").check()
    content = selfie if isinstance(selfie, bytes) else encode_jpeg(selfie, quality=95)
    file = {"name": name, "mimeType": "image/jpeg", "buffer": content}
    page.locator("#file").set_input_files(files=[file])  # type: ignore[list-item]  # its TypedDict is private


def add_selfie(page: Page, selfie: "Image.Image | bytes") -> None:
    """Choose one more file, with results on the page."""
    content = selfie if isinstance(selfie, bytes) else encode_jpeg(selfie, quality=95)
    file = {"name": "me too.jpg", "mimeType": "image/jpeg", "buffer": content}
    page.locator("#file").set_input_files(files=[file])  # type: ignore[list-item]  # its TypedDict is private


def find_person(page: Page, person: int) -> None:
    hand_over(page, take_selfie(person))
    expect(page.locator("#results-title")).to_be_focused()


def list_found(page: Page) -> list[str]:
    """File names of the photos shown as found."""
    alts = [image.get_attribute("alt") or "" for image in page.locator("#results img").all()]
    return sorted(alt.rpartition(": ")[2] for alt in alts)


def describe_photo(number: int) -> dict[str, Any]:
    """A photo as the gallery's list tells it."""
    return {
        "id": number, "name": f"{number}.jpg", "version": "1", "pass": None, "width": 640,
        "height": 480, "colour": "8899aa", "has_original": True, "original_bytes": 4_000_000,
        "view_bytes": 400_000, "taken_at": None,
    }  # fmt: skip


def name_samples(title: str) -> list[str]:
    return [f"{title}_{number:02d}.jpg" for number in range(1, 19)]


def read_original(name: str) -> bytes:
    (photo,) = [photo for photo in make_sample_photos() if photo.name == name]
    return photo.original


def check_access(page: Page) -> None:
    """axe-core finds nothing serious in the page as it is now."""
    violations = Axe().run(page).response["violations"]
    bad = [
        (found["id"], [node["html"] for node in found["nodes"]])
        for found in violations
        if found["impact"] in {"serious", "critical"}
    ]
    assert bad == []


# --- a guest's whole way ---


@VISITS
def test_a_guest_finds_exactly_their_photos_and_downloads_them(
    visit: Callable[..., Page], device: dict[str, Any], locale: str
) -> None:
    page = visit(device, locale)
    expect(page.locator("html")).to_have_attribute("lang", locale[:2])
    expect(page.get_by_role("heading", level=1)).to_have_text("Свадьба")
    expect(page.locator("#count")).to_have_text("41 фото" if locale == RUSSIAN else "41 photos")
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]
    assert page.evaluate("shifts") == []
    check_access(page)

    find_person(page, ASTRONAUT)

    assert list_found(page) == name_samples("portrait")
    words = "Нашли вас на 18 фото" if locale == RUSSIAN else "Found you in 18 photos"
    expect(page.locator("#results-title")).to_have_text(words)
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]
    check_access(page)

    page.locator("#surely .cell a").first.click()
    check_access(page)
    with page.expect_download() as one:
        page.locator("#download").click()
    name = one.value.suggested_filename
    assert name in name_samples("portrait")
    assert Path(one.value.path()).read_bytes() == read_original(name)
    page.keyboard.press("Escape")

    page.locator("#surely .take-bar .primary").click()
    page.get_by_role("radio", name=re.compile("Оригиналы|Originals")).check()
    with page.expect_download() as download:
        page.locator("#take-zips button").click()
    assert download.value.suggested_filename == "Свадьба.zip"
    archive = ZipFile(download.value.path())
    assert archive.testzip() is None
    assert archive.read(name) == read_original(name)
    assert set(archive.namelist()) <= set(name_samples("portrait"))


def test_a_guest_of_the_group_finds_the_group(visit: Callable[..., Page]) -> None:
    page = visit()
    find_person(page, 1)
    assert list_found(page) == name_samples("ceremony")


def test_of_several_faces_a_guest_chooses_theirs(visit: Callable[..., Page]) -> None:
    page = visit(PHONE, RUSSIAN)
    hand_over(page, read_group())
    chooser = page.get_by_role("dialog", name="Кто из них вы?")
    expect(chooser).to_contain_text("На снимке 6 лиц.")
    expect(chooser.get_by_role("button", name="Лицо 1 из 6")).to_be_focused()
    check_access(page)

    page.keyboard.press("Escape")
    expect(page.locator("#message")).to_have_text("На снимке несколько лиц. Выберите своё.")
    hand_over(page, read_group())
    chooser.get_by_role("button", name="Лицо 3 из 6").click()

    expect(page.locator("#results-title")).to_be_focused()
    assert list_found(page) == name_samples("ceremony")


# --- one more selfie ---


@VISITS
def test_a_guest_adds_selfies_from_other_sides(
    visit: Callable[..., Page], device: dict[str, Any], locale: str
) -> None:
    page = visit(device, locale)
    page.evaluate(RECORD_FORMS)
    find_person(page, ASTRONAUT)
    title = "Добавить селфи с другого" if locale == RUSSIAN else "Add a selfie from another side"
    page.get_by_text(title).click()
    button = "Выбрать ещё одно" if locale == RUSSIAN else "Choose one more"
    expect(page.get_by_role("button", name=button)).to_be_visible()
    expect(page.get_by_role("button", name=button)).to_be_enabled()
    check_access(page)

    add_selfie(page, ImageOps.mirror(take_selfie(ASTRONAUT, margin=0.8)))

    words = "По 2 селфи новых фотографий" if locale == RUSSIAN else "With 2 selfies: no further"
    expect(page.locator("#results-lead")).to_contain_text(words)
    expect(page.locator("#results-title")).to_be_focused()
    assert list_found(page) == name_samples("portrait")
    assert page.evaluate("document.documentElement.scrollWidth") == page.viewport_size["width"]
    check_access(page)
    add_selfie(page, take_selfie(ASTRONAUT, margin=0.3))
    expect(page.locator("#results-lead")).to_contain_text(words.replace("2", "3"))
    assert page.evaluate("forms.map((form) => form.files)") == [1, 2, 3]
    expect(page.locator("#add")).to_be_hidden()

    # From the start again, with one.
    page.locator("#try-again").click()
    find_person(page, 1)
    assert list_found(page) == name_samples("ceremony")
    expect(page.locator("#results-lead")).to_be_hidden()
    assert page.evaluate("forms.map((form) => form.files)") == [1, 2, 3, 1]


@VISITS
def test_a_selfie_that_cannot_be_added_leaves_what_was_found(
    visit: Callable[..., Page], device: dict[str, Any], locale: str
) -> None:
    page = visit(device, locale)
    find_person(page, 1)
    kept = "не добавлен" if locale == RUSSIAN else "was not added"
    for selfie, russian, english in (
        (read_sample("coffee.png"), "не видно лица", "No face can be seen"),
        (take_selfie(ASTRONAUT), "другой человек", "somebody else"),
    ):
        add_selfie(page, selfie)
        message = page.locator("#add-message.error")
        expect(message).to_contain_text(russian if locale == RUSSIAN else english)
        expect(message).to_contain_text(kept)
        assert list_found(page) == name_samples("ceremony")
    check_access(page)

    # Another one in its place: of several faces the largest is this person's.
    add_selfie(page, read_group())
    page.locator("#chooser .crop").first.click()
    expect(page.locator("#results-lead")).to_contain_text("2")
    expect(page.locator("#add-message")).to_be_empty()
    assert list_found(page) == name_samples("ceremony")


def test_the_photos_of_each_band_are_in_the_order_of_taking(visit: Callable[..., Page]) -> None:
    """The search's order, by similarity, is not the one in which a guest looks at them."""
    noon = "2026-06-20T12:00:00"
    found = [
        ("IMG_10.jpg", None, "surely"),
        ("DSC_0001.jpg", f"{noon}.500000", "surely"),
        ("IMG_9.jpg", None, "surely"),
        ("DSC_9999.jpg", noon, "surely"),
        ("z.jpg", noon, "maybe"),
        ("a.jpg", "2026-06-21T00:10:00", "maybe"),
    ]
    matches = [
        {
            "photo_id": number, "s3_key": f"events/1/previews/{name}", "band": band,
            "taken_at": taken_at, "preview_url": "data:,", "original_url": None,
            "box": [0, 0, 1, 1],
        }
        for number, (name, taken_at, band) in enumerate(found)
    ]  # fmt: skip
    pages = [
        {"matches": matches[:2], "next_cursor": "a"},
        {"matches": matches[2:], "next_cursor": None},
    ]
    page = visit()
    page.route("**/api/v1/faces/search", lambda route: route.fulfill(json=pages.pop(0)))
    find_person(page, ASTRONAUT)

    alts = [image.get_attribute("alt") or "" for image in page.locator("#results img").all()]
    assert [alt.rpartition(": ")[2] for alt in alts] == [
        *("DSC_9999.jpg", "DSC_0001.jpg", "IMG_9.jpg", "IMG_10.jpg"),
        *("z.jpg", "a.jpg"),
    ]
    page.locator("#surely .take-bar .primary").click()
    zipped = page.locator("#take-zips [name=photo_ids]").all()
    assert [field.get_attribute("value") for field in zipped] == ["3,1,2,0"]


def test_a_search_whose_pages_changed_meanwhile_begins_again_by_itself(
    visit: Callable[..., Page],
) -> None:
    """A photo that the first page began with is erased before the second is asked for."""
    page = visit(PHONE, RUSSIAN)
    page.evaluate(RECORD_FORMS)
    answers: list[tuple[int, Any]] = []
    page.route(
        "**/api/v1/faces/search",
        lambda route: route.fulfill(status=answers[0][0], json=answers.pop(0)[1]),
    )

    def make_page(number: int, cursor: str | None) -> tuple[int, Any]:
        match = {
            "photo_id": number, "s3_key": f"events/1/previews/{number}.jpg", "band": "surely",
            "preview_url": "data:,", "original_url": None, "box": [0, 0, 1, 1],
        }  # fmt: skip
        return 200, {"matches": [match], "next_cursor": cursor}

    gone = 400, {"detail": "The photos were changed: ask for the first page again."}
    answers += [make_page(7, "a"), gone, make_page(1, "b"), make_page(2, None)]
    find_person(page, ASTRONAUT)

    assert page.evaluate("forms.map((form) => form.cursor)") == [None, "a", None, "b"]
    assert list_found(page) == ["1.jpg", "2.jpg"]

    # Where that never ends the guest is told to try again.
    page.locator("#try-again").click()
    answers += [make_page(1, "a"), gone] * 4
    hand_over(page, take_selfie(ASTRONAUT))
    expect(page.locator("#message.error")).to_contain_text("Попробуйте ещё раз")
    assert answers == []


def test_the_whole_way_by_keyboard_alone(visit: Callable[..., Page]) -> None:
    page = visit()
    press = page.keyboard.press
    page.on("filechooser", lambda _: None)  # from now on: asked for late, the first one is missed
    press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    for _ in range(2):
        press("Tab")
    expect(page.get_by_role("button", name="Find my photos")).to_be_focused()
    press("Enter")
    expect(page.get_by_role("checkbox")).to_be_focused()
    press("Tab")
    expect(page.get_by_role("button", name="Take a selfie")).to_be_focused()
    press("Tab")
    expect(page.get_by_role("button", name="Choose a photo")).to_be_focused()
    press("Enter")  # without consent nothing is chosen, and the guest is told why
    expect(page.get_by_role("checkbox")).to_be_focused()
    expect(page.locator("#message")).to_contain_text("tick your consent")
    press("Space")
    press("Tab")
    press("Tab")
    with page.expect_file_chooser() as chooser:
        press("Enter")
    selfie = encode_jpeg(take_selfie(ASTRONAUT), quality=95)
    chooser.value.set_files({"name": "me.jpg", "mimeType": "image/jpeg", "buffer": selfie})
    expect(page.locator("#results-title")).to_be_focused()

    while not page.evaluate("document.activeElement.matches('#results a[data-id]')"):
        press("Tab")
    press("Enter")
    viewer = page.get_by_role("dialog", name="Photo viewer")
    expect(viewer.get_by_role("button", name="Close")).to_be_focused()
    press("ArrowRight")
    expect(page.locator("#position")).to_have_text("2 of 18")
    for _ in range(8):  # around and around, and never out of the dialog
        press("Tab")
        assert page.evaluate("document.activeElement.closest('body > :not(#viewer)')") is None
    viewer.get_by_role("button", name="Show the face").focus()
    press("Enter")
    expect(page.locator("#viewer #face")).to_be_visible()
    check_access(page)
    press("Escape")
    expect(page.locator("#results a[data-id]").nth(1)).to_be_focused()


# --- refusals in words ---


def make_small_face() -> Image.Image:
    selfie = take_selfie(ASTRONAUT, margin=1.0)
    canvas = Image.new("RGB", (200, 200), (90, 120, 150))
    canvas.paste(selfie.resize((selfie.width // 5, selfie.height // 5)), (60, 60))
    return canvas


def make_blurred_face() -> Image.Image:
    return take_selfie(1, margin=1.0).filter(ImageFilter.GaussianBlur(7))


REFUSED: dict[str, tuple[Callable[[], "Image.Image | bytes"], str, str]] = {
    "not_an_image": (lambda: b"%PDF-1.7", "не похож на фотографию", "not a photo we can read"),
    "no_face": (lambda: read_sample("coffee.png"), "не видно лица", "No face can be seen"),
    "face_too_small": (make_small_face, "слишком мелкое", "too small"),
    "face_too_blurred": (make_blurred_face, "размыто", "blurred"),
}


@VISITS
def test_a_selfie_that_cannot_be_used_is_refused_in_words(
    visit: Callable[..., Page], device: dict[str, Any], locale: str
) -> None:
    page = visit(device, locale)
    for make_selfie, russian, english in REFUSED.values():
        hand_over(page, make_selfie())
        words = re.compile(russian if locale == RUSSIAN else english)
        expect(page.locator("#message.error")).to_have_text(words)
    check_access(page)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (422, {"code": "needs_sync"}, "готовятся к поиску заново"),
        (422, {"code": "too_many_pixels"}, "Снимок слишком большой"),
        (413, {}, "Файл слишком большой"),
        (429, {}, "Подождите минуту"),
        (404, {}, "Ссылка больше не работает"),
        (500, {}, "Не получилось"),
        (0, {}, "Нет связи"),
    ],
)
def test_a_server_that_refuses_is_told_in_words(
    visit: Callable[..., Page], status: int, body: dict[str, str], words: str
) -> None:
    def refuse(route: Route) -> None:
        if status:
            route.fulfill(status=status, json=body)
        else:
            route.abort("internetdisconnected")

    page = visit(PHONE, RUSSIAN)
    page.route("**/api/v1/faces/search", refuse)
    hand_over(page, take_selfie(ASTRONAUT))
    expect(page.locator("#message.error")).to_contain_text(words)


# --- the page itself ---


def test_the_first_view_is_small_and_asks_nobody_else(visit: Callable[..., Page]) -> None:
    page = visit(PHONE, RUSSIAN)
    sizes: dict[str, int] = {}
    page.on("response", lambda answer: sizes.update({answer.url: len(answer.body())}))
    blocked: list[str] = []
    page.on("console", lambda message: blocked.append(message.text))
    page.reload()
    page.wait_for_load_state("networkidle")

    own = {url: size for url, size in sizes.items() if re.search("/gallery/[^/]+$|/static/", url)}
    assert sum(own.values()) < FIRST_VIEW_BYTES
    assert {url.split("/")[2].split(":")[0] for url in sizes} == {"127.0.0.1"}
    # Lazy: of 41 photos a phone has asked for those near its screen.
    assert len(sizes) - len(own) < 41
    assert blocked == []
    page.mouse.wheel(0, 20_000)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("shifts") == []


def test_previews_whose_links_have_expired_come_by_new_ones(visit: Callable[..., Page]) -> None:
    page = visit()
    page.evaluate(
        """() => {
          const image = document.querySelector(".cell img");
          image.src = "/gallery/another/photos/1/thumb";
        }"""
    )
    image = page.locator(".cell img").first
    expect(image).to_have_attribute("src", re.compile("/photos/[0-9]+/preview"))
    expect(image).to_have_js_property("naturalWidth", 640)


def test_without_a_script_all_photos_can_still_be_seen(
    visit: Callable[..., Page], gallery_url: str
) -> None:
    page = visit({**PHONE, "java_script_enabled": False}, RUSSIAN)
    expect(page.locator("#grid .cell")).to_have_count(41)
    assert "включите JavaScript" in page.locator("noscript").inner_html()
    expect(page.locator("noscript")).to_be_visible()
    expect(page.locator("#find-form")).to_be_hidden()
    answer = httpx.get(
        f"http://{gallery_url.split('/')[2]}"
        + (page.locator("#grid .cell img").first.get_attribute("src") or ""),
        follow_redirects=True,
        trust_env=False,
    )
    assert Image.open(BytesIO(answer.content)).width == 640


def test_a_guest_changes_the_language(visit: Callable[..., Page]) -> None:
    page = visit(PHONE, ENGLISH)
    page.get_by_role("link", name="Русский").click()
    expect(page.get_by_role("button", name="Найти мои фото")).to_be_visible()


@VISITS
def test_a_link_that_does_not_work_says_so(
    visit: Callable[..., Page], gallery_url: str, device: dict[str, Any], locale: str
) -> None:
    page = visit(device, locale, url=f"{gallery_url[:-1]}~")
    title = "Ссылка не работает" if locale == RUSSIAN else "This link does not work"
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    check_access(page)


def test_an_empty_gallery_fills_while_it_is_looked_at(
    visit: Callable[..., Page], stack_environment: dict[str, str]
) -> None:
    api = httpx.Client(base_url=stack_environment["FACEPASS_API_URL"], trust_env=False)
    with api:
        url = api.post("/api/v1/events", json={"name": "Юбилей"}).json()["gallery_url"]
    page = visit(PHONE, RUSSIAN, url=url)
    expect(page.get_by_text("Здесь пока нет фотографий")).to_be_visible()
    check_access(page)

    photos = [describe_photo(number) for number in (1, 2, 3)]
    status = {"photos": 3, "photos_text": "3 фото", "syncing": True, "newest": "a"}
    page.route("**/status*", lambda route: route.fulfill(json=status))
    answer = {"photos": photos, "next_cursor": None, "total": 3}
    page.route("**/photos?*", lambda route: route.fulfill(json=answer))
    expect(page.locator("#count")).to_have_text("3 фото")
    expect(page.get_by_text("Фотографии ещё добавляются.")).to_be_visible()
    expect(page.locator("#grid .cell")).to_have_count(3)
    expect(page.get_by_text("Здесь пока нет фотографий")).to_have_count(0)
    check_access(page)


def test_a_photographer_sees_what_could_not_be_read_and_why(visit: Callable[..., Page]) -> None:
    page = visit(DESKTOP, RUSSIAN)
    page.get_by_text("Для фотографа").click()
    page.get_by_label("Ключ API").fill("ключ")
    page.get_by_role("button", name="Показать отчёт").click()

    report = page.locator("#report")
    expect(report).to_contain_text("Не прочитались: 2")
    expect(report).to_contain_text("broken.jpg — файл оборван")
    expect(report).to_contain_text("invoice.jpg — это не изображение")
    expect(report).to_contain_text("Без лиц: 5")
    expect(report).to_contain_text("Нет оригинала: 0")
    expect(report).to_contain_text("Пропущены файлы, не фотографии: 0")
    check_access(page)
    assert page.evaluate("Object.keys(localStorage).length + document.cookie.length") == 0


def test_a_photographer_sees_which_files_the_newest_sync_left_out(
    visit: Callable[..., Page],
) -> None:
    page = visit(DESKTOP, RUSSIAN)

    def answer(route: Route) -> None:
        status = route.fetch().json()
        status["result"]["ignored"] = {"heic": 3, "video": 1}
        route.fulfill(json=status)

    page.route("**/api/v1/faces/sync-s3/*", answer)
    page.get_by_text("Для фотографа").click()
    page.get_by_role("button", name="Показать отчёт").click()

    report = page.locator("#report")
    expect(report).to_contain_text("Пропущены файлы, не фотографии: 4")
    expect(report).to_contain_text("3 файла HEIC")
    expect(report).to_contain_text("1 видео")
    check_access(page)


# --- below a path ---


@pytest.mark.parametrize("cuts", [True, False], ids=["cut-off", "whole"])
def test_the_gallery_works_below_a_path(
    visit: Callable[..., Page],
    gallery_url: str,
    stack_environment: dict[str, str],
    tmp_path: Path,
    cuts: bool,
) -> None:
    """A proxy serves the API at /facepass, and cuts that off before it hands a call on, or not."""
    with PathProxy("/facepass", cuts=cuts).serve() as proxy:
        settings = stack_environment | {"FACEPASS_PUBLIC_URL": proxy.url}
        with serve_api(tmp_path, ["api"], settings) as api:
            proxy.target = api.url
            with httpx.Client(base_url=api.url, trust_env=False) as client:
                events = client.get("/api/v1/events").json()
            token = gallery_url.rpartition("/")[2]
            (url,) = [e["gallery_url"] for e in events if e["gallery_url"].endswith(token)]
            assert url == f"{proxy.url}/gallery/{token}"

            page = visit(DESKTOP, RUSSIAN, url=url)
            style = "getComputedStyle(document.querySelector('.primary')).backgroundColor"
            assert page.evaluate(style) not in {"rgba(0, 0, 0, 0)", "rgb(239, 239, 239)"}
            find_person(page, ASTRONAUT)
            assert list_found(page) == name_samples("portrait")
            cell = page.locator("#surely .cell a").first
            assert (cell.get_attribute("href") or "").startswith("/facepass/gallery/")
            cell.click()
            with page.expect_download() as one:
                page.locator("#download").click()
            assert Path(one.value.path()).read_bytes() == read_original(
                one.value.suggested_filename
            )
            page.keyboard.press("Escape")
            page.locator("#surely .take-bar .primary").click()
            with page.expect_download() as download:
                page.locator("#take-zips button").click()
            assert ZipFile(download.value.path()).testzip() is None
            page.keyboard.press("Escape")

            page.evaluate(
                """() => {
                  const image = document.querySelector("#surely .cell img");
                  image.src = "/facepass/gallery/another/photos/1/thumb";
                }"""
            )
            image = page.locator("#surely .cell img").first
            expect(image).to_have_attribute("src", re.compile("^/facepass/gallery/.*/preview"))
            expect(image).not_to_have_js_property("naturalWidth", 0)
            page.get_by_text("Для фотографа").click()
            page.get_by_role("button", name="Показать отчёт").click()
            expect(page.locator("#report")).to_contain_text("Не прочитались: 2")
            docs = httpx.get(f"{proxy.url}/docs", trust_env=False)
            assert 'data-document="/facepass/openapi.json"' in docs.text
            page.goto(f"{url[:-1]}~")
            expect(page.get_by_role("heading", level=1)).to_have_text("Ссылка не работает")
    assert proxy.strays == []


# --- browsers that do not draw ---

# What browsers do that hide who one is: whatever is read back from a canvas is noise, or white.
NOISE = """
const noise = (data) => { for (let i = 0; i < data.length; i++) data[i] = Math.random() * 256; };
const { getImageData, putImageData } = CanvasRenderingContext2D.prototype;
const { toBlob } = HTMLCanvasElement.prototype;
CanvasRenderingContext2D.prototype.getImageData = function (...where) {
  const image = getImageData.apply(this, where);
  noise(image.data);
  return image;
};
HTMLCanvasElement.prototype.toBlob = function (...how) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [this.width, this.height];
  const context = canvas.getContext("2d");
  const image = new ImageData(canvas.width, canvas.height);
  noise(image.data);
  putImageData.call(context, image, 0, 0);
  return toBlob.apply(canvas, how);
};
"""
WHITE = NOISE.replace("Math.random() * 256", "255")
ONLY_BLOBS = NOISE.replace("noise(image.data);\n  return image;", "return image;")
REFUSING = "HTMLCanvasElement.prototype.getContext = () => null;"
THROWING = "HTMLCanvasElement.prototype.toBlob = () => { throw new DOMException('no'); };"
SILENT = "HTMLCanvasElement.prototype.toBlob = (done) => done(null);"
RECORD_FILES = """() => {
  window.sent = [];
  const send = window.fetch;
  window.fetch = (url, options) => {
    if (options?.body instanceof FormData)
      sent.push(...options.body.getAll("file").map((file) => file.size));
    return send(url, options);
  };
}"""


@pytest.mark.parametrize(
    "canvas",
    [NOISE, WHITE, ONLY_BLOBS, REFUSING, THROWING, SILENT],
    ids=["noise", "white", "only-blobs", "refusing", "throwing", "silent"],
)
def test_a_browser_that_hides_its_canvas_sends_the_file_itself(
    visit: Callable[..., Page], canvas: str
) -> None:
    page = visit(PHONE, RUSSIAN)
    page.evaluate(f"() => {{ {canvas} }}")
    page.evaluate(RECORD_FILES)
    selfie = encode_jpeg(take_selfie(ASTRONAUT), quality=95, orientation=6)
    hand_over(page, selfie)
    expect(page.locator("#results-title")).to_be_focused()
    assert list_found(page) == name_samples("portrait")
    assert page.evaluate("sent") == [len(selfie)]


def test_a_browser_that_draws_sends_a_small_picture(visit: Callable[..., Page]) -> None:
    page = visit(PHONE, RUSSIAN)
    page.evaluate(RECORD_FILES)
    selfie = encode_jpeg(take_selfie(ASTRONAUT).resize((2400, 2400)), quality=100)
    hand_over(page, selfie)
    expect(page.locator("#results-title")).to_be_focused()
    assert page.evaluate("sent[0]") < len(selfie) / 2


@VISITS
def test_a_file_that_is_too_large_to_be_sent_is_told_before_it_is(
    visit: Callable[..., Page], device: dict[str, Any], locale: str
) -> None:
    page = visit(device, locale)
    page.evaluate(RECORD_FILES)
    hand_over(page, b"no picture" * 2_000_001, "IMG_1.HEIC")
    words = "Файл слишком большой" if locale == RUSSIAN else "This file is too large"
    expect(page.locator("#message.error")).to_contain_text(words)
    assert page.evaluate("sent") == []


def test_faces_in_a_picture_that_the_browser_cannot_show_are_no_choice(
    visit: Callable[..., Page],
) -> None:
    page = visit(PHONE, RUSSIAN)
    faces = [{"box": [0, 0, 0.5, 1], "det_score": 0.9}, {"box": [0.5, 0, 1, 1], "det_score": 0.9}]
    refusal = {"detail": "…", "code": "several_faces", "faces": faces, "file": 1}
    page.route("**/api/v1/faces/search", lambda route: route.fulfill(status=422, json=refusal))
    hand_over(page, b"a HEIC", "IMG_1.HEIC")
    expect(page.locator("#message.error")).to_contain_text("браузер не может его показать")
    expect(page.locator("#chooser")).to_be_hidden()
