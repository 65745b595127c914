"""A guest asks for notices in a real browser, confirms by the mail's link, and withdraws."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.conftest import PHONE
from tests.e2e.test_gallery import find_person
from tests.support.guests import ASTRONAUT
from tests.support.mail_server import MailServer, serve_mail
from tests.support.public_api import serve_api

ANNA = "anna@example.com"
PUBLIC = "http://photos.example.com"
WORDS = {
    "ru-RU": ("Сообщайте мне о новых фото со мной", "Да, сообщайте мне", "Удалено"),
    "en-GB": ("Tell me when there are new photos of me", "Yes, tell me", "Deleted at"),
}


@pytest.fixture(scope="module")
def post() -> Iterator[MailServer]:
    with serve_mail() as server:
        yield server


@pytest.fixture(scope="module")
def offering_url(
    gallery_url: str,
    stack_environment: dict[str, str],
    post: MailServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The demo event's gallery, its notices switched on, by an API that sends mail."""
    token = gallery_url.rpartition("/")[2]
    change = "UPDATE event SET notices = %s WHERE gallery_token = %s"
    settings = {
        **stack_environment,
        "FACEPASS_SMTP_URL": post.url,
        "FACEPASS_MAIL_FROM": "photos@example.com",
        "FACEPASS_PUBLIC_URL": PUBLIC,
    }
    connection = psycopg2.connect(stack_environment["FACEPASS_DATABASE_URL"])
    connection.autocommit = True
    connection.cursor().execute(change, (True, token))
    with serve_api(tmp_path_factory.mktemp("notices"), ["api"], settings) as api:
        yield f"{api.url}/gallery/{token}"
    connection.cursor().execute("DELETE FROM subscription")
    connection.cursor().execute(change, (False, token))
    connection.close()


def test_nothing_is_offered_where_notices_are_off(visit: Callable[..., Page]) -> None:
    page = visit()
    find_person(page, ASTRONAUT)
    expect(page.locator("#notify")).to_have_count(0)


@pytest.mark.parametrize("locale", WORDS)
def test_a_guest_asks_confirms_looks_and_withdraws(
    visit: Callable[..., Page], offering_url: str, post: MailServer, locale: str, tmp_path: Path
) -> None:
    title, confirm, deleted = WORDS[locale]
    page = visit(PHONE, locale, url=offering_url)
    expect(page.locator("#notify")).to_be_hidden()
    find_person(page, ASTRONAUT)
    page.get_by_text(title, exact=True).click()
    send = page.locator("#notify-send")
    send.click()
    expect(page.locator("#notify-message")).to_have_class(re.compile("error"))
    expect(page.locator("#notify-consent")).to_be_focused()
    page.locator("#notify-consent").check()
    page.locator("#notify-address").fill("anna")
    send.click()
    expect(page.locator("#notify-address")).to_be_focused()
    assert post.mails == []
    page.locator("#notify-address").fill(ANNA)
    assert Axe().run(page).response["violations"] == []
    send.click()
    expect(page.locator("#notify-form")).to_be_hidden()
    expect(page.locator("#notify-message")).not_to_be_empty()

    # Another selfie on the same phone may be another guest's.
    page.locator("#try-again").click()
    find_person(page, ASTRONAUT)
    page.get_by_text(title, exact=True).click()
    expect(page.locator("#notify-form")).to_be_visible()
    expect(page.locator("#notify-consent")).not_to_be_checked()
    expect(page.locator("#notify-address")).to_have_value("")
    expect(page.locator("#notify-message")).to_be_empty()

    (mail,) = post.mails
    post.mails.clear()
    (path,) = re.findall(rf"{PUBLIC}(/\S+)", mail.text)
    page.goto(offering_url.partition("/gallery/")[0] + path)
    assert Axe().run(page).response["violations"] == []
    page.get_by_role("button", name=confirm).click()
    pictures = page.locator(".grid img")
    expect(pictures.first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]  # type: ignore[index]
    assert Axe().run(page).response["violations"] == []
    page.screenshot(path=tmp_path / "notices.png")
    page.locator("#withdraw").click()
    expect(page.locator("#receipt")).to_contain_text(deleted)
    assert Axe().run(page).response["violations"] == []
