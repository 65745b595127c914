"""Pages as a browser gets them: headers, escaping, failures told to a person."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api import gallery, security
from api.gallery import access, guests, pages, pictures, rendering
from api.gallery import photos as zips
from api.gallery.rendering import build_policy, read_origin
from api.report.openings import Openings
from models.errors import DatabaseUnavailableError, EventNotFoundError
from models.queries.photos import GalleryPhoto, GalleryState, PageCursor, PhotoPlace
from models.settings import Settings
from models.tables import Event, utc_now

TOKEN = "tOkEn-of-the-guests"
HOSTILE = '<script>alert("Анна")</script> & {{ 7 * 7 }} </title>'
STARTS_LATER = ("bytes=4-", "bytes=-2", "bytes=99-")
KEY = 'events/1/previews/"><img src=x onerror=alert(1)>.jpg'


class Signer:
    def sign_view(self, key: str) -> str:
        return f"https://photos.example.com/bucket/view?X-Amz-Signature=1&k={len(key)}"

    def sign_download(self, key: str) -> str:
        return "https://photos.example.com/bucket/save"


class Tags(HTMLParser):
    """Every tag of a page, and what is written into its title."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., TestClient]]:
    """The gallery's routes over an event in memory."""

    def build(
        name: str = "Свадьба",
        photos: int = 1,
        contact: str | None = None,
        *,
        syncing: bool = False,
        looks: dict[str, Any] | None = None,
        **settings: object,
    ) -> TestClient:
        event = Event(id=1, name=name, gallery_token=TOKEN, active_until=utc_now(), **(looks or {}))
        rows = [
            GalleryPhoto(number, KEY, KEY.replace("previews", "originals"), False)
            for number in range(1, photos + 1)
        ]

        @contextmanager
        def open_session() -> Iterator[None]:
            yield None

        def find_gallery(_: object, token: str) -> Event:
            if token != TOKEN:
                raise EventNotFoundError("Event not found")
            return event

        def place(number: int) -> PhotoPlace:
            return PhotoPlace(number, number - 1 or None, number + 1 if number < photos else None)

        fakes = {
            "open_session": open_session,
            "find_gallery": find_gallery,
            "count_gallery_photos": lambda *_: photos,
            "list_gallery_photos": lambda *_, after, limit, photo_ids=None: [
                row
                for row in rows
                if row.id > after.photo_id and (photo_ids is None or row.id in photo_ids)
            ][:limit],
            "find_gallery_photos": lambda _, asked: {
                (token, photo_id): (event, {row.id: row for row in rows}.get(photo_id))
                for token, photo_id in asked
                if token == TOKEN
            },
            "list_face_boxes": lambda *_: [(0.7, 0.1, 0.9, 0.3), (0.1, 0.5, 0.11, 0.51)],
            "read_gallery_state": lambda *_: GalleryState(photos, None),
            "place_gallery_photo": lambda *_: place(_[3]),
            "read_logo_etag": lambda *_: None,
            "find_active_run": lambda *_: object() if syncing else None,
            "get_link_signer": Signer,
            "get_settings": lambda: Settings(privacy_contact=contact, **settings),  # type: ignore[arg-type]
        }
        for attribute, fake in fakes.items():
            for module in (access, guests, pages, pictures, rendering, zips):
                if hasattr(module, attribute):
                    monkeypatch.setattr(module, attribute, fake)
        app = FastAPI()
        app.include_router(gallery.router)
        app.include_router(gallery.pictures_router)
        return TestClient(app, follow_redirects=False)

    yield build


def test_a_hostile_event_and_file_name_are_words_on_the_page(
    open_page: Callable[..., TestClient],
) -> None:
    page = open_page(name=HOSTILE, contact="<b>me</b>").get(f"/gallery/{TOKEN}")

    assert page.status_code == 200
    tags = Tags(page.text).tags
    scripts = [attributes for tag, attributes in tags if tag == "script"]
    assert [script.get("type") for script in scripts] == ["module", *["application/json"] * 2]
    text = page.text.replace("{{ 7 * 7 }}", "").replace(rendering.hash_static(), "")
    assert "49" not in text[:2000]
    assert "&lt;script&gt;" in page.text and "&lt;b&gt;me" in page.text
    assert not [tag for tag, _ in tags if tag == "b"]
    images = [attributes for tag, attributes in tags if tag == "img" and attributes.get("src")]
    assert len(images) == 1 and images[0]["alt"] == "Photo 1 of 1"
    (listed,) = re.findall(r'id="listed">(.*)</script>', page.text)
    assert json.loads(listed)[0]["name"] == '"><img src=x onerror=alert(1)>.jpg'


def test_nothing_on_a_page_needs_what_the_policy_forbids(
    open_page: Callable[..., TestClient],
) -> None:
    client = open_page()
    page = client.get(f"/gallery/{TOKEN}")

    assert page.headers["content-security-policy"] == build_policy("")
    other = open_page(photo_delivery="s3").get(f"/gallery/{TOKEN}")
    assert other.headers["content-security-policy"] == build_policy("https://photos.example.com")
    assert "unsafe" not in page.headers["content-security-policy"]
    for tag, attributes in Tags(page.text).tags:
        assert "style" not in attributes and tag != "style"
        assert not [name for name in attributes if name.startswith("on")]
        source = attributes.get("src") or ""
        if tag in {"script", "link", "img"} and (source or attributes.get("href")) != "data:,":
            assert (source or attributes.get("href") or "/").startswith("/")


@pytest.mark.parametrize(
    ("path", "kept"),
    [(f"/gallery/{TOKEN}", "private, no-cache"), ("/gallery/unknown", "no-store")],
)
def test_pages_are_private(open_page: Callable[..., TestClient], path: str, kept: str) -> None:
    page = open_page().get(path, headers={"Accept": "text/html"})

    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["x-robots-tag"] == "noindex, nofollow"
    assert page.headers["cache-control"] == kept
    assert '<meta name="robots" content="noindex, nofollow">' in page.text


def test_a_page_that_has_not_changed_is_not_sent_again(
    open_page: Callable[..., TestClient],
) -> None:
    known = {"If-None-Match": open_page().get(f"/gallery/{TOKEN}").headers["etag"]}
    same = open_page().get(f"/gallery/{TOKEN}", headers=known)
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["content-security-policy"] == build_policy("")
    for other in (open_page(photos=2), open_page(name="Другая")):
        assert other.get(f"/gallery/{TOKEN}", headers=known).status_code == 200
    assert open_page().get(f"/gallery/{TOKEN}?lang=ru", headers=known).status_code == 200


def test_guests_are_not_told_the_events_ids(open_page: Callable[..., TestClient]) -> None:
    client = open_page(photos=3)
    for path in ("", "/status"):
        answer = client.get(f"/gallery/{TOKEN}{path}").text
        assert not {"event_uuid", "event_id", "s3_prefix"} & set(re.findall(r"\w+", answer))
        assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-", answer)


@pytest.mark.parametrize(
    "path", ["", "/status", "/photos/1/preview", "/photos/1/original", "/photos/99/original"]
)
def test_what_is_not_there_is_told_in_both_languages_to_people_and_shortly_to_scripts(
    open_page: Callable[..., TestClient], path: str
) -> None:
    token = TOKEN if "99" in path else "x"
    client = open_page()
    page = client.get(
        f"/gallery/{token}{path}", headers={"Accept": "text/html", "Accept-Language": "ru"}
    )
    assert page.status_code == 404
    assert page.text.index("Ссылка не работает") < page.text.index("This link does not work")
    assert client.get(f"/gallery/{token}{path}").json()["detail"] == "lost"


def test_a_database_away_is_a_page_that_says_so_without_the_operators_words(
    open_page: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_page()

    def fail() -> None:
        raise DatabaseUnavailableError("The database cannot be reached: is PostgreSQL running?")

    monkeypatch.setattr(pages, "open_session", fail)
    page = client.get(f"/gallery/{TOKEN}", headers={"Accept": "text/html"})
    assert page.status_code == 503
    assert "try again" in page.text and "PostgreSQL" not in page.text


def test_pages_lead_on_from_the_last_photo(open_page: Callable[..., TestClient]) -> None:
    client = open_page(photos=pages.PAGE_PHOTOS + 1)
    first = client.get(f"/gallery/{TOKEN}").text
    (cursor,) = re.findall(r"after=([\w-]+)", first)
    assert PageCursor.decode(cursor).photo_id == pages.PAGE_PHOTOS
    last = client.get(f"/gallery/{TOKEN}?after={cursor}").text
    assert last.count('class="cell ') == 1 and "&amp;after=" not in last


@pytest.mark.parametrize("after", ["-1", "x", "9" * 40, "１", ""])
def test_a_broken_place_is_the_beginning(open_page: Callable[..., TestClient], after: str) -> None:
    page = open_page().get(f"/gallery/{TOKEN}", params={"after": after})
    assert page.text.count('class="cell ') == 1


def test_a_photo_has_a_page_that_needs_no_script(open_page: Callable[..., TestClient]) -> None:
    client = open_page(photos=3)
    page = client.get(f"/gallery/{TOKEN}/photos/2?lang=en").text

    (large,) = re.findall("<noscript>.*?</noscript>", page.split("<header")[0], re.DOTALL)
    links = re.findall(f'href="/gallery/{TOKEN}(.*?)"', large)
    assert [link.partition("?")[0] for link in links] == [
        "", "/photos/1", "/photos/3", "/photos/2/original"
    ]  # fmt: skip
    (image,) = [attributes for tag, attributes in Tags(large).tags if tag == "img"]
    assert (image["src"] or "").startswith(f"/gallery/{TOKEN}/photos/2/view?v=")
    assert image["alt"] == "Photo 2 of 3"
    (opened,) = re.findall(r'id="opened">(.*)</script>', page)
    assert json.loads(opened)["number"] == 2
    assert 'rel="prev"' not in client.get(f"/gallery/{TOKEN}/photos/1").text
    for number in (99, 0, -1, 2**63):
        assert client.get(f"/gallery/{TOKEN}/photos/{number}").status_code == 404


def test_a_script_reads_the_list_part_by_part(open_page: Callable[..., TestClient]) -> None:
    client = open_page(photos=5)
    ids: list[int] = []
    cursor = ""
    while cursor is not None:
        part = client.get(f"/gallery/{TOKEN}/photos", params={"limit": 2, "after": cursor}).json()
        assert part["total"] == 5
        ids += [photo["id"] for photo in part["photos"]]
        cursor = part["next_cursor"]
    assert ids == [1, 2, 3, 4, 5]
    for wrong in ({"after": "x"}, {"limit": 501}, {"limit": 0}):
        answer = client.get(f"/gallery/{TOKEN}/photos", params=wrong)
        assert answer.status_code in {400, 422}


def test_guests_who_see_only_their_own_photos_are_told_nothing_of_the_others(
    open_page: Callable[..., TestClient],
) -> None:
    # As the database gives it: a plain string.
    client = open_page(photos=7, looks={"visibility": "own", "cover_photo_id": 3})
    page = client.get(f"/gallery/{TOKEN}")

    assert page.status_code == 200
    assert "photos/" not in page.text and not re.search(r"\b7\b", page.text.split("<header")[1])
    part = client.get(f"/gallery/{TOKEN}/photos").json()
    assert part == {"photos": [], "next_cursor": None, "total": 0}
    assert client.get(f"/gallery/{TOKEN}/photos/1").status_code == 404
    # Anyone can write a cursor: it tells neither whether a photo is there nor its place.
    for photo_id in (3, 99):
        forged = PageCursor().move(photo_id, None).encode()
        answer = client.get(f"/gallery/{TOKEN}", params={"after": forged})
        assert answer.text == page.text and 'data-first="1"' in answer.text


def test_a_pass_does_not_renew_itself(
    open_page: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = open_page(photos=3, looks={"visibility": "own", "guest_key": UUID(int=7)})
    event = Event(id=1, name="x", active_until=utc_now(), visibility="own", guest_key=UUID(int=7))
    now = access.time()
    monkeypatch.setattr(access, "time", lambda: now - 10 * 3600)
    given = access.build_pass(event, 2) or ""
    monkeypatch.setattr(access, "time", lambda: now)
    page = client.get(f"/gallery/{TOKEN}/photos/2", params={"pass": given}).text
    assert given in page and str(int(given.partition(".")[0]) + 10 * 3600) not in page


@pytest.mark.parametrize("path", ["/status", "/photos"])
def test_what_open_pages_ask_counts_only_where_it_finds_nothing(
    open_page: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    client, counted = open_page(), []
    monkeypatch.setattr(security, "count_call", lambda caller, _: counted.append(caller))
    assert client.get(f"/gallery/{TOKEN}{path}").status_code == 200 and not counted
    assert client.get(f"/gallery/x{path}").status_code == 404 and counted == ["guest"]


@pytest.mark.parametrize(
    "sent",
    [{"photo_ids": "1,2", "pass": "a.b,c.d"}, {"photo_ids": ["1", "2"], "pass": ["a.b", "c.d"]}],
)
def test_a_zip_s_photos_may_be_many_fields_or_one(
    open_page: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch, sent: dict[str, Any]
) -> None:
    wishes: list[zips.ZipWish] = []

    def note(_: str, wish: zips.ZipWish, __: object) -> None:
        wishes.append(wish)
        raise EventNotFoundError("Event not found")

    monkeypatch.setattr(zips, "_list_entries", note)
    assert open_page().post(f"/gallery/{TOKEN}/zip", data=sent).status_code == 404
    assert (wishes[0].photo_ids, wishes[0].passes) == ([1, 2], ["a.b", "c.d"])


def test_a_cover_date_place_studio_and_accent_are_on_the_page(
    open_page: Callable[..., TestClient],
) -> None:
    looks = {"held_on": date(2026, 6, 20), "place": "Псков", "studio": "Ёж", "accent": "#FFE000"}
    client = open_page(photos=3, looks={"cover_photo_id": 2, **looks})
    page = client.get(f"/gallery/{TOKEN}?lang=ru").text

    assert "20 июня 2026 г. · Псков · Ёж</p>" in page
    tags = Tags(page).tags
    # The crop keeps the face; the small one in the background does not count.
    covers = [attributes for _, attributes in tags if attributes.get("class") == "cover fx8 fy2"]
    (cover,) = covers
    assert "/photos/2/view?" in (cover["src"] or "")
    assert '<link rel="stylesheet" href="/gallery/look/ffe000.css">' in page
    assert "immutable" in client.get("/gallery/look/ffe000.css").headers["cache-control"]
    assert client.get("/gallery/look/ffe000}.css").status_code == 404
    card = {
        attributes["property"]: attributes["content"] or ""
        for tag, attributes in tags
        if tag == "meta" and attributes.get("property")
    }
    assert card["og:title"] == "Свадьба" and "Псков" in card["og:description"]
    assert re.fullmatch(r"http://testserver/gallery/static/\w+/card.png", card["og:image"])
    # A cover that was hidden meanwhile is not shown.
    assert (
        'class="cover' not in open_page(looks={"cover_photo_id": 9}).get(f"/gallery/{TOKEN}").text
    )


def test_a_gallery_can_be_kept_on_a_home_screen(open_page: Callable[..., TestClient]) -> None:
    client = open_page(name=HOSTILE)
    manifest = client.get(f"/gallery/{TOKEN}/manifest.webmanifest").json()
    assert manifest["name"] == HOSTILE and manifest["start_url"] == f"/gallery/{TOKEN}"
    for icon in manifest["icons"]:
        assert client.get(icon["src"]).headers["content-type"] == icon["type"]


def test_an_empty_and_a_syncing_gallery_say_so(open_page: Callable[..., TestClient]) -> None:
    page = open_page(photos=0).get(f"/gallery/{TOKEN}").text
    assert "There are no photos here yet" in page
    client = open_page(photos=2, syncing=True)
    russian = {"Accept-Language": "ru"}
    assert "Фотографии ещё добавляются" in client.get(f"/gallery/{TOKEN}", headers=russian).text
    status = client.get(f"/gallery/{TOKEN}/status?lang=ru").json()
    assert re.fullmatch(r"[0-9a-f]{16}", status.pop("newest"))
    assert status == {"photos": 2, "photos_text": "2 фото", "syncing": True}


def test_who_is_responsible_is_what_the_settings_say(open_page: Callable[..., TestClient]) -> None:
    page = open_page(contact="Студия «Ёж», hello@example.com").get(f"/gallery/{TOKEN}").text
    assert 'Студия «Ёж», <a href="mailto:hello@example.com"' in page
    assert "who gave you this link is responsible" not in page
    assert "who gave you this link is responsible" in open_page().get(f"/gallery/{TOKEN}").text


def test_a_zip_of_nothing_or_of_too_much_is_refused(open_page: Callable[..., TestClient]) -> None:
    client = open_page()
    assert client.post(f"/gallery/{TOKEN}/zip", data={"photo_ids": [99]}).status_code == 404
    ids = list(range(1, 502))
    assert client.post(f"/gallery/{TOKEN}/zip", data={"photo_ids": ids}).status_code == 422


def test_the_token_is_in_no_log(
    open_page: Callable[..., TestClient], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = open_page()
    for path in ("", "/status", "/photos/1/preview", "/photos/1/original"):
        client.get(f"/gallery/{TOKEN}{path}")
    ours = [r for r in caplog.records if not r.name.startswith(("httpx", "httpcore"))]
    assert not [record for record in ours if TOKEN in record.getMessage()]


class Original:
    """An original of ten bytes, or a part of it."""

    def __init__(self, _: object, __: str, part: range = range(10)) -> None:
        self.size, self.etag = len(part), "v1"
        self._pieces = iter([b"0123456789"[part.start : part.stop]])

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("delivery", ["api", "s3"])
@pytest.mark.parametrize(
    ("asked", "status", "opened"),
    [
        ({}, 200, 1),
        ({"Range": "bytes=0-3"}, 206, 1),
        ({"Range": "bytes=0-"}, 206, 1),
        ({"Range": "bytes=4-"}, 206, 0),
        ({"Range": "bytes=-2"}, 206, 0),
        ({"Range": "bytes=4-", "If-Range": '"old"'}, 200, 1),
        ({"Range": "bytes=0-1,4-5"}, 200, 1),
        ({"Range": "bytes=99-"}, 416, 0),
        ({"If-None-Match": '"old"'}, 200, 1),
        ({"If-None-Match": '"v1"'}, 304, 0),
    ],
)
def test_an_original_is_opened_by_its_first_bytes(
    open_page: Callable[..., TestClient],
    monkeypatch: pytest.MonkeyPatch,
    delivery: str,
    asked: dict[str, str],
    status: int,
    opened: int,
) -> None:
    openings = Openings()
    monkeypatch.setattr(pictures, "get_openings", lambda: openings)
    monkeypatch.setattr(pictures, "get_guests_bucket", lambda: None)
    monkeypatch.setattr(pictures, "measure_original", lambda *_: (10, "v1"))
    monkeypatch.setattr(pictures, "open_original_stream", Original)
    answer = open_page(photo_delivery=delivery).get(
        f"/gallery/{TOKEN}/photos/1/original", headers=asked
    )
    if delivery == "s3":  # what S3 answers is not known here: a range alone tells
        status, opened = 303, int(not asked.get("Range", "bytes=0-").startswith(STARTS_LATER))
    assert answer.status_code == status
    assert sum(openings._counts.values()) == opened


@pytest.mark.parametrize("name", ["gallery.css", "gallery.js"])
def test_files_are_kept_by_browsers_under_an_address_of_their_content(
    open_page: Callable[..., TestClient], name: str
) -> None:
    client = open_page()
    link = rendering.render_page("failure.html", "en", "", kind="lost", languages=["en"])
    (version,) = re.findall(r"/gallery/static/([0-9a-f]{12})/gallery.css", link)
    answer = client.get(f"/gallery/static/{version}/{name}")
    assert "immutable" in answer.headers["cache-control"]
    file = Path(pages.__file__).parent / "static" / name
    assert answer.content == file.read_bytes()
    assert client.get(f"/gallery/static/{version}/..%2fpages.py").status_code == 404
    assert client.get(f"/gallery/static/{version}/pages.py").status_code == 404


@pytest.mark.parametrize(
    ("link", "origin"),
    [
        ("http://127.0.0.1:8333/b/k?X=1", "http://127.0.0.1:8333"),
        ("https://b.s3.eu-central-1.amazonaws.com/k", "https://b.s3.eu-central-1.amazonaws.com"),
        ("", ""),
    ],
)
def test_pictures_may_come_from_where_the_links_point(link: str, origin: str) -> None:
    assert read_origin(link) == origin
    assert f"img-src 'self' blob: data: {origin}".rstrip() + ";" in build_policy(origin)
