"""A photo's pictures over the real S3: from the page's own origin, and only for who may see it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote
from zipfile import ZipFile

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from api.app import create_app
from api.gallery.access import build_pass
from models.keys import derive_view_key
from models.queries.events import read_event
from models.session import open_session
from models.vocabulary import ViewKind
from tasks.s3 import links
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_sample
from tests.support.public_api import PublicApi

NAME = "Ёж и Анна.jpg"
VIEWS = {
    ViewKind.THUMB: b"RIFF thumb",
    ViewKind.VIEW: b"RIFF view" * 50_000,
    "view.jpg": b"\xff\xd8",
}
KINDS = ("thumb", "view", "view.jpg", "preview", "original")
OLD_BROWSER = {"Accept": "image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"}


@dataclass
class Gallery:
    """A synced event of one photo, and a guest at its link."""

    event: EventBox
    photo_id: int
    original: bytes
    guest: httpx.Client

    def ask(self, kind: str, **options: Any) -> httpx.Response:
        return self.guest.get(f"/photos/{self.photo_id}/{kind}", **options)

    def read_version(self) -> str:
        etag = self.ask("thumb").headers["etag"]
        return etag.strip('"').partition("-")[0]

    def add_views(self) -> None:
        """As the flow does: three objects, and the row that says of which preview they are."""
        key = f"{self.event.prefix}{NAME}"
        for kind, content in VIEWS.items():
            view_key = derive_view_key(key, self.event.folder, ViewKind(kind))
            self.event.bucket.client.put_object(
                Bucket=self.event.bucket.name, Key=view_key, Body=content
            )
        self.change(
            "UPDATE photo SET views_etag = etag, views_source = 'x' WHERE event_id = :event"
        )

    def change(self, statement: str) -> None:
        with open_session() as session:
            session.execute(text(statement), {"event": self.event.id})


def open_guest(api: PublicApi, event: EventBox) -> httpx.Client:
    (row,) = event.query("SELECT gallery_token FROM event WHERE id = :event")
    base = f"{api.url}/gallery/{row.gallery_token}"
    return httpx.Client(base_url=base, timeout=30, trust_env=False)


@pytest.fixture
def gallery(event: EventBox, public_api: PublicApi) -> Iterator[Gallery]:
    original = encode_jpeg(read_sample("coffee.png"))
    event.put(NAME, original)
    event.sync()
    with open_guest(public_api, event) as guest:
        yield Gallery(event, event.photos()[NAME].id, original, guest)


def test_a_picture_is_kept_by_a_browser_under_its_version_and_never_sent_twice(
    gallery: Gallery,
) -> None:
    gallery.add_views()
    version = gallery.read_version()
    for kind, content in VIEWS.items():
        first = gallery.ask(kind, params={"v": version})
        assert (first.status_code, first.content) == (200, content)
        assert first.headers["content-type"] == (
            "image/jpeg" if kind == "view.jpg" else "image/webp"
        )
        assert first.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert first.headers["x-content-type-options"] == "nosniff"
        assert first.headers["content-length"] == str(len(content))
        again = gallery.ask(kind, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["cache-control"] == "private, no-cache"
        assert gallery.guest.head(f"/photos/{gallery.photo_id}/{kind}").content == b""
    etags = {gallery.ask(kind).headers["etag"] for kind in KINDS}
    assert len(etags) == len(KINDS)


def test_until_there_are_views_and_where_they_are_lost_the_preview_is_shown(
    gallery: Gallery,
) -> None:
    for kind in ("thumb", "view", "view.jpg", "preview"):
        assert gallery.ask(kind).content == gallery.original
        assert gallery.ask(kind).headers["content-type"] == "image/jpeg"
    before = gallery.read_version()
    gallery.add_views()
    assert gallery.read_version() != before
    key = derive_view_key(f"{gallery.event.prefix}{NAME}", gallery.event.folder, ViewKind.VIEW)
    gallery.event.bucket.client.delete_object(Bucket=gallery.event.bucket.name, Key=key)
    lost = gallery.ask("view", params={"v": gallery.read_version()})
    assert lost.content == gallery.original
    assert (lost.headers["cache-control"], "etag" in lost.headers) == ("private, no-cache", False)
    gallery.change("UPDATE photo SET etag = 'replaced' WHERE event_id = :event")
    assert gallery.ask("thumb").content == gallery.original


def test_a_browser_without_webp_gets_what_it_can_show(gallery: Gallery) -> None:
    gallery.add_views()
    view = gallery.ask("view", headers=OLD_BROWSER)
    assert (view.content, view.headers["content-type"]) == (VIEWS["view.jpg"], "image/jpeg")
    assert "accept" in view.headers["vary"].lower()
    assert gallery.ask("thumb", headers=OLD_BROWSER).content == gallery.original
    page = {"Accept": "text/html,image/avif,image/webp,*/*;q=0.8"}
    assert gallery.ask("view", headers=page).content == VIEWS[ViewKind.VIEW]


def test_an_original_comes_under_its_name_and_goes_on_where_it_broke_off(gallery: Gallery) -> None:
    whole = gallery.ask("original")
    assert (whole.status_code, whole.content) == (200, gallery.original)
    assert quote("Ёж", safe="") in whole.headers["content-disposition"]
    assert whole.headers["content-disposition"].startswith("attachment")
    assert whole.headers["accept-ranges"] == "bytes"
    size, etag = len(gallery.original), whole.headers["etag"]
    for asked, part in (
        ("bytes=100-199", slice(100, 200)),
        ("bytes=-7", slice(size - 7, size)),
        (f"bytes={size - 5}-", slice(size - 5, size)),
    ):
        some = gallery.ask("original", headers={"Range": asked, "If-Range": etag})
        assert (some.status_code, some.content) == (206, gallery.original[part])
        assert some.headers["content-range"] == f"bytes {part.start}-{part.stop - 1}/{size}"
    beyond = gallery.ask("original", headers={"Range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    other = gallery.ask("original", headers={"Range": "bytes=1-2", "If-Range": '"old"'})
    assert (other.status_code, other.content) == (200, gallery.original)
    assert gallery.ask("original", headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE photo SET status = 'erased' WHERE event_id = :event",
        "UPDATE photo SET status = 'gone' WHERE event_id = :event",
        "UPDATE event SET visibility = 'own' WHERE id = :event",
        "UPDATE event SET gallery_token = gen_random_uuid()::text WHERE id = :event",
    ],
)
def test_what_a_guest_may_not_see_any_more_is_not_there_at_once(
    gallery: Gallery, change: str
) -> None:
    gallery.add_views()
    etags = {kind: gallery.ask(kind).headers["etag"] for kind in KINDS}
    gallery.change(change)
    for kind in KINDS:
        assert gallery.ask(kind).status_code == 404
        assert gallery.ask(kind, headers={"If-None-Match": etags[kind]}).status_code == 404
    form = {"photo_ids": gallery.photo_id}
    assert gallery.guest.post("/zip", data=form).status_code == 404


def test_where_guests_see_their_own_photos_a_pass_opens_its_photo_alone(
    gallery: Gallery, make_event: Callable[..., EventBox]
) -> None:
    gallery.event.put("2.jpg", encode_jpeg(read_sample("astronaut.png")))
    gallery.event.sync()
    gallery.change("UPDATE event SET visibility = 'own', download_all = true WHERE id = :event")
    other = gallery.event.photos()["2.jpg"].id
    with open_session() as session:
        given = build_pass(read_event(session, gallery.event.id), gallery.photo_id)
    for kind in KINDS:
        assert gallery.ask(kind, params={"pass": given}).status_code == 200
        assert gallery.guest.get(f"/photos/{other}/{kind}?pass={given}").status_code == 404
    mine = {"photo_ids": [gallery.photo_id], "pass": [given]}
    assert gallery.guest.post("/zip", data=mine).status_code == 200
    both = {"photo_ids": [gallery.photo_id, other], "pass": [given, given]}
    assert gallery.guest.post("/zip", data=both).status_code == 404
    assert gallery.guest.post("/zip", data={**both, "pass": [given]}).status_code == 404
    assert gallery.guest.get("/zip-parts").status_code == 404


def test_another_events_photo_and_another_kind_are_not_there(
    gallery: Gallery, make_event: Callable[..., EventBox]
) -> None:
    other = make_event(name="Другая")
    other.put("1.jpg", gallery.original)
    other.sync()
    (foreign,) = [row.id for row in other.photos().values()]
    for path in (f"{foreign}/thumb", f"{foreign}/original", "0/thumb", f"{2**63}/view"):
        assert gallery.guest.get(f"/photos/{path}").status_code == 404
    assert gallery.ask("previews").status_code == 404


def test_a_zip_for_the_phone_tells_its_size_and_takes_what_there_is(gallery: Gallery) -> None:
    gallery.event.put("Без вида.jpg", gallery.original)
    gallery.event.put("нет.jpg", gallery.original, original=False)
    gallery.event.sync()
    key = f"{gallery.event.prefix}{NAME}"
    gallery.add_views()
    gallery.change(
        f"UPDATE photo SET views_etag = NULL WHERE event_id = :event AND s3_key <> '{key}'"
    )
    ids = [row.id for row in gallery.event.photos().values()]
    form = {"photo_ids": ids, "size": "phone", "part": 2, "parts": 3}
    answer = gallery.guest.post("/zip?lang=ru", data=form)
    assert answer.headers["content-length"] == str(len(answer.content))
    assert quote("(2 из 3).zip") in answer.headers["content-disposition"]
    archive = ZipFile(BytesIO(answer.content))
    assert {name: archive.read(name) for name in archive.namelist()} == {
        NAME: VIEWS["view.jpg"],
        "Без вида.jpg": gallery.original,
        "нет.jpg": gallery.original,
    }
    assert gallery.guest.post("/zip", data={**form, "size": "huge"}).status_code == 422


def test_all_photos_are_listed_in_parts_where_the_photographer_allows_it(gallery: Gallery) -> None:
    assert gallery.guest.get("/zip-parts").status_code == 404
    gallery.change("UPDATE event SET download_all = true WHERE id = :event")
    gallery.change("UPDATE photo SET original_bytes = 7 WHERE event_id = :event")
    assert gallery.guest.get("/zip-parts").json() == {
        "photos": 1,
        "parts": [{"photo_ids": [gallery.photo_id], "bytes": {"original": 7, "phone": None}}],
    }


def test_a_page_costs_little_and_its_reload_next_to_nothing(gallery: Gallery) -> None:
    url = str(gallery.guest.base_url).rstrip("/")
    page = gallery.guest.get(url)
    assert page.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in page.headers["vary"].lower()
    plain = gallery.guest.get(url, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.text == page.text
    assert int(page.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    again = gallery.guest.get(url, headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert gallery.guest.head(url).headers["content-length"] == page.headers["content-length"]
    assert "content-encoding" not in gallery.ask("preview").headers


def test_a_links_address_stays_the_same_for_minutes_where_pictures_come_from_s3(
    gallery: Gallery, configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.add_views()
    configure(photo_delivery="s3", link_lifetime_s=900)
    (row,) = gallery.event.query("SELECT gallery_token FROM event WHERE id = :event")
    path = f"/gallery/{row.gallery_token}/photos/{gallery.photo_id}"
    guest = TestClient(create_app(), base_url="http://localhost", client=("127.0.0.1", 50_000))
    begin = time.time() // 450 * 450
    sent = []
    for moment in (begin, begin + 449):
        clock = SimpleNamespace(time=lambda moment=moment: moment, monotonic=time.monotonic)
        with monkeypatch.context() as patch:
            patch.setattr(links, "time", clock)
            answer = guest.get(f"{path}/thumb", follow_redirects=False)
        assert (answer.status_code, answer.headers["cache-control"]) == (
            303,
            "private, max-age=450",
        )
        sent.append(answer.headers["location"])
    assert sent[0] == sent[1]
    shown = httpx.get(sent[1], trust_env=False)
    assert (shown.content, shown.headers["content-type"]) == (VIEWS[ViewKind.THUMB], "image/webp")
    saved = httpx.get(
        guest.get(f"{path}/original", follow_redirects=False).headers["location"], trust_env=False
    )
    assert saved.content == gallery.original
    assert quote("Ёж", safe="") in saved.headers["content-disposition"]
    # What a guest shares is read by the page's script, which may not read another origin's bytes.
    for kind, content in (("thumb", VIEWS[ViewKind.THUMB]), ("original", gallery.original)):
        read = guest.get(f"{path}/{kind}?through=api", follow_redirects=False)
        assert (read.status_code, read.content) == (200, content)
