"""Guests who asked are told of new photos of them by real mail; who withdraws is found nowhere."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text

from api.app import create_app
from api.gallery.texts import hash_consent
from api.notices import subscribing
from api.security import _get_rate_limiter
from models.queries.events import lock_event, rotate_gallery_token
from models.queries.guests.subscriptions import MOST_PENDING, delete_ended
from models.queries.webhooks import delete_old_deliveries
from models.session import open_session
from tasks.results.erasure import erase_event_faces, erase_photo_faces
from tests.support.administrator import dump_databases, read_admin_url
from tests.support.event_box import EventBox
from tests.support.guests import ASTRONAUT, find, make_album, read_token, take_selfie
from tests.support.mail_server import Mail, MailServer, serve_mail
from tests.support.webhook_receiver import WebhookReceiver, receive_webhooks

PUBLIC = "http://127.0.0.1"
ANNA = "anna.guest+wedding@example.com"
HTML = {"Accept": "text/html"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ALBUM = dict(make_album())


@pytest.fixture
def post() -> Iterator[MailServer]:
    with serve_mail("studio", "s3cr3t word") as server:
        yield server


@pytest.fixture
def api(post: MailServer, configure: Callable[..., None]) -> Iterator[TestClient]:
    """The API in this process, which sends its mail to the test's server."""
    url = f"smtp://studio:s3cr3t%20word@127.0.0.1:{post.port}"
    configure(
        smtp_url=url,
        mail_from="Студия <photos@example.com>",
        public_url=PUBLIC,
        notice_delay_s=86_400,  # the stack's own worker tells nobody meanwhile
    )
    yield from open_api()


@pytest.fixture
def receiver(configure: Callable[..., None]) -> Iterator[WebhookReceiver]:
    with receive_webhooks() as receiver:
        configure(
            webhook_url=receiver.url,
            webhook_secret=SECRET,
            notice_contact="Telegram",
            notice_delay_s=86_400,
            public_url=PUBLIC,
        )
        yield receiver
        with open_session() as session:
            delete_old_deliveries(session, timedelta(days=-1))


def open_api() -> Iterator[TestClient]:
    _get_rate_limiter.cache_clear()
    home = ("127.0.0.1", 50_000)
    app = create_app()
    app.state.orchestrator = FakeOrchestrator()
    yield TestClient(app, base_url=PUBLIC, client=home, follow_redirects=False)
    _get_rate_limiter.cache_clear()


@dataclass
class FakeOrchestrator:
    """Prefect, as the confirmation asks it."""

    started: list[int] = field(default_factory=list)

    async def start_notices(self, *, event_id: int, run_name: str, delay_s: float) -> None:
        self.started.append(event_id)


@pytest.fixture(autouse=True)
def nobody(joined_stack: dict[str, str]) -> None:
    """No address that an earlier test has asked: only so many questions go to one."""
    with open_session() as session:
        session.execute(text("DELETE FROM subscription"))


@pytest.fixture
def party(make_event: Callable[..., EventBox]) -> EventBox:
    """An event with one photo of the astronaut, and notices switched on."""
    event = make_event()
    event.put("a.jpg", ALBUM["6 plain.jpg"])
    event.put("b.jpg", ALBUM["0 plain.jpg"])
    event.sync()
    switch(event, on=True)
    return event


def switch(event: EventBox, *, on: bool) -> None:
    event.query(f"UPDATE event SET notices = {on} WHERE id = :event RETURNING 1")


def add_photo(event: EventBox, name: str, photo: str = "6 mirrored.jpg") -> None:
    event.put(name, ALBUM[photo])
    event.sync()


def search_token(api: httpx.Client, event: EventBox, person: int = ASTRONAUT) -> str:
    return str(find(api, event, take_selfie(person), gallery_token=read_token(event))["face_token"])


def ask(api: httpx.Client, event: EventBox, address: str = ANNA, **changes: Any) -> httpx.Response:
    wish = {
        "version": hash_consent("notice_consent"),
        "language": "ru",
        "address": address,
        **({} if "face_token" in changes else {"face_token": search_token(api, event)}),
    }
    return api.post(f"/gallery/{read_token(event)}/notices", json=wish | changes)


def read_link(mail: Mail) -> str:
    """The path of the page that a mail leads to."""
    (link,) = re.findall(rf"{PUBLIC}(/gallery/notices/[\w.]+)", mail.text)
    return str(link)


def subscribe(api: httpx.Client, post: MailServer, event: EventBox, address: str = ANNA) -> str:
    """A confirmed subscription; the path of its page."""
    answer = ask(api, event, address)
    assert answer.status_code == 202, answer.text
    link = read_link(post.list_to(address)[-1])
    assert api.post(f"{link}/confirm", headers=HTML).status_code == 303
    post.mails.clear()
    return link


def notify(event: EventBox) -> Any:
    from flows.notify_guests import notify_guests

    return notify_guests(event.id, return_state=True)


def count(event: EventBox) -> int:
    ((number,),) = event.query("SELECT count(*) FROM subscription WHERE event_id = :event")
    return int(number)


def count_told(event: EventBox) -> int:
    rows = event.query(
        "SELECT count(*) FROM told_photo JOIN subscription ON id = subscription_id"
        " WHERE event_id = :event"
    )
    return int(rows[0][0])


# --- asking, confirming ---


def test_an_address_is_asked_before_anything_is_told(
    api: TestClient, post: MailServer, party: EventBox
) -> None:
    answer = ask(api, party)
    assert (answer.status_code, answer.json()) == (202, {"channel": "email"})
    (mail,) = post.mails
    message = mail.message
    assert (mail.recipient, message["to"]) == (ANNA, ANNA)
    assert "Подтвердите" in message["subject"] and party.name in message["subject"]
    assert message["from"] == "Студия <photos@example.com>"
    assert message["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    link = read_link(mail)
    assert message["list-unsubscribe"] == f"<{PUBLIC}{link}/withdraw>"
    assert [part.get_content_type() for part in message.walk()] == ["text/plain"]
    add_photo(party, "c.jpg")
    assert notify(party).name == "Completed: 0 guests told"
    assert len(post.mails) == 1

    page = api.get(link, headers=HTML)
    assert page.status_code == 200 and "/photos/" not in page.text
    assert count(party) == 1
    assert api.post(f"{link}/confirm", headers=HTML).status_code == 303
    assert api.app.state.orchestrator.started == [party.id]  # type: ignore[attr-defined]  # the app is an ASGI callable to its type
    assert notify(party).name == "Completed: 1 guests told"
    assert "Новые фото" in post.mails[-1].message["subject"]


def test_opening_the_links_of_a_mail_changes_nothing(
    api: TestClient, post: MailServer, party: EventBox
) -> None:
    ask(api, party)
    link = read_link(post.mails[0])
    for path in (link, f"{link}/withdraw", f"{link}/confirm"):
        api.get(path, headers=HTML)
        api.head(path)
    assert party.query(
        "SELECT count(*), count(confirmed_at) FROM subscription WHERE event_id = :event"
    ) == [(1, 0)]


def test_a_wish_needs_the_consent_as_it_is_now_the_face_and_an_event_that_offers_it(
    api: TestClient, post: MailServer, party: EventBox, make_event: Callable[..., EventBox]
) -> None:
    token = search_token(api, party)
    assert ask(api, party, face_token=token, version="0" * 12).status_code == 409
    refused = ask(api, party, face_token="x" * 40)
    assert (refused.status_code, refused.json()["code"]) == (422, "selfie_needed")
    other = make_event()
    switch(other, on=True)
    assert ask(api, other, face_token=token).json()["code"] == "selfie_needed"
    switch(party, on=False)
    assert ask(api, party, face_token=token).status_code == 404
    assert (count(party), post.mails) == (0, [])


def end_by_erasure(event: EventBox) -> None:
    erase_event_faces(event.id)


def end_by_a_new_link(event: EventBox) -> None:
    with open_session() as session:
        rotate_gallery_token(session, lock_event(session, event.id))


@pytest.mark.parametrize(
    "end", [end_by_erasure, end_by_a_new_link, lambda event: switch(event, on=False)]
)
def test_nothing_is_kept_of_a_wish_that_an_erasure_overtakes(
    api: TestClient,
    post: MailServer,
    party: EventBox,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[EventBox], None],
) -> None:
    look = subscribing._look

    def look_and_end(asked: subscribing.Asked) -> tuple[list[int], int]:
        found = look(asked)
        end(party)
        return found

    monkeypatch.setattr(subscribing, "_look", look_and_end)
    assert ask(api, party).status_code == 404
    assert (count(party), post.mails) == (0, [])


@pytest.mark.parametrize(
    "address",
    [
        "", "anna", "@example.com", "anna@", "anna@localhost", "anna@exa mple.com", "a" * 400,
        "anna@example.com\r\nBcc: eve@example.com", "anna@example.com\nX: y", "a,b@example.com",
        "anna@example.com, eve@example.com", '"a b"@example.com', "anna%eve@example.com",
        "<anna@example.com>", "-anna@example.com", "a..b@example.com", "анна@example.com",
        "anna@[127.0.0.1]", "anna@127.0.0.1", "anna@example.com\x00", "a\u2028b@example.com",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_and_not_repeated(
    api: TestClient, post: MailServer, party: EventBox, address: str
) -> None:
    answer = ask(api, party, address)
    assert answer.status_code == 422
    assert len(address) < 13 or address.strip() not in answer.text
    assert (count(party), post.mails) == (0, [])


def test_an_events_name_adds_no_header_to_a_mail(
    api: TestClient, post: MailServer, party: EventBox
) -> None:
    name = "Ёжи\r\nBcc: eve@example.com\r\n\r\n{link}\u2028" + "я" * 300
    with open_session() as session:
        lock_event(session, party.id).name = name
    ask(api, party)
    (mail,) = post.mails
    assert "bcc" not in mail.message and "eve" not in mail.recipient
    assert read_link(mail)
    assert len(mail.message["subject"]) < 250


def test_an_address_is_not_filled_by_strangers_nor_told_from_others(
    api: TestClient, post: MailServer, party: EventBox, make_event: Callable[..., EventBox]
) -> None:
    subscribe(api, post, party, "known@example.com")
    token = search_token(api, party)
    answers = [ask(api, party, "Stranger@example.com", face_token=token) for _ in range(3)]
    answers.append(ask(api, party, "stranger+1@Example.com", face_token=token))
    answers.append(ask(api, party, "known@example.com", face_token=token))
    assert {(one.status_code, one.text) for one in answers} == {(202, '{"channel":"email"}')}
    assert len([m for m in post.mails if "tranger" in m.recipient]) == MOST_PENDING
    assert len(post.list_to("known@example.com")) == 1  # it is asked as any other


def test_a_caller_asks_so_often_only(api: TestClient, post: MailServer, party: EventBox) -> None:
    token = search_token(api, party)
    for number in range(15):
        assert ask(api, party, f"guest{number}@example.com", face_token=token).is_success
    refused = ask(api, party, "one.more@example.com", face_token=token)
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) > 0
    assert len(post.mails) == 15


def test_what_could_not_be_sent_is_not_kept(
    api: TestClient, post: MailServer, party: EventBox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    post.refusals[ANNA] = f"550 no such user {ANNA}"
    answer = ask(api, party)
    assert answer.status_code == 503
    assert "SMTP" not in answer.text and ANNA not in answer.text
    assert count(party) == 0
    assert "anna" not in caplog.text


# --- telling ---


def test_a_guest_is_told_once_of_photos_that_were_not_found_before(
    api: TestClient, post: MailServer, party: EventBox
) -> None:
    link = subscribe(api, post, party)
    assert notify(party).name == "Completed: 0 guests told"  # what the selfie found is no news
    add_photo(party, "c.jpg")
    add_photo(party, "d.jpg", "6 darker.jpg")
    add_photo(party, "somebody else.jpg", "1 plain.jpg")
    assert notify(party).name == "Completed: 1 guests told"
    (mail,) = post.mails
    assert ": 2." in mail.text and read_link(mail) == link
    assert notify(party).name == "Completed: 0 guests told"
    assert len(post.mails) == 1
    page = api.get(link, headers=HTML)
    assert len(re.findall(r"/thumb\?", page.text)) == 3
    for address in re.findall(r'src="(/gallery/[^"]+)"', page.text):
        assert api.get(address.replace("&amp;", "&")).status_code in {200, 302, 307}


def test_who_subscribes_twice_is_told_of_a_photo_once_and_withdraws_once(
    api: TestClient, post: MailServer, party: EventBox
) -> None:
    subscribe(api, post, party)
    link = subscribe(api, post, party, ANNA.replace("anna", "Anna"))
    subscribe(api, post, party, "other@example.com")
    add_photo(party, "c.jpg")
    assert notify(party).result()["told"] == 2
    assert len(post.mails) == 2 and len(post.list_to("other@example.com")) == 1
    ask(api, party)  # not confirmed yet
    receipt = api.post(f"{link}/withdraw").json()
    assert receipt["subscriptions_erased"] == 3
    assert (count(party), api.get(link, headers=HTML).status_code) == (1, 404)


def test_the_photos_of_a_private_event_open_from_the_page_alone(
    api: TestClient, post: MailServer, party: EventBox
) -> None:
    party.query("UPDATE event SET visibility = 'own' WHERE id = :event RETURNING 1")
    link = subscribe(api, post, party)
    add_photo(party, "c.jpg")
    notify(party)
    assert "pass=" not in post.mails[0].text  # a mail opens no photo by itself for ever
    page = api.get(link, headers=HTML).text.replace("&amp;", "&")
    addresses = re.findall(r'href="(/gallery/[^"]+/photos/[^"]+)"', page)
    assert len(addresses) == 2
    for address in addresses:
        assert api.get(address, headers=HTML).status_code == 200
        assert api.get(address.partition("?")[0], headers=HTML).status_code == 404
    (other,) = party.query("SELECT id FROM photo WHERE event_id = :event AND s3_key LIKE '%/b.jpg'")
    assert f"/photos/{other.id}" not in page


def test_a_page_asks_for_the_pin_and_still_lets_go(
    api: TestClient, post: MailServer, party: EventBox
) -> None:
    from api.gallery.access import hash_pin

    link = subscribe(api, post, party)
    with open_session() as session:
        lock_event(session, party.id).pin_hash = hash_pin("4821")
    page = api.get(link, headers=HTML)
    assert "PIN" in page.text and "/thumb" not in page.text
    assert api.post(f"/gallery/{read_token(party)}/pin", data={"pin": "4821"}).status_code == 303
    assert "/thumb" in api.get(link, headers=HTML).text
    api.cookies.clear()
    assert api.post(f"{link}/withdraw").json()["subscriptions_erased"] == 1


@pytest.mark.parametrize(
    "change",
    ["notices = false", "closes_at = now() - interval '1 minute'", "erased_at = now()"],
)
def test_an_event_that_is_over_tells_nothing_and_keeps_nobody(
    api: TestClient, post: MailServer, party: EventBox, change: str
) -> None:
    link = subscribe(api, post, party)
    add_photo(party, "c.jpg")
    party.query(f"UPDATE event SET {change} WHERE id = :event RETURNING 1")
    assert notify(party).name == "Skipped"
    assert post.mails == []
    if "closes_at" in change:
        assert "/thumb" not in api.get(link, headers=HTML).text
    with open_session() as session:
        assert delete_ended(session) >= 1
    assert (count(party), count_told(party)) == (0, 0)


def test_a_run_killed_between_a_mail_and_its_record_tells_again_and_leaves_nobody_out(
    api: TestClient, post: MailServer, party: EventBox
) -> None:
    subscribe(api, post, party, "first@example.com")
    subscribe(api, post, party, "second@example.com")
    add_photo(party, "c.jpg")
    cuts = iter([True])

    def cut(_: Mail) -> None:
        if next(cuts, False):  # the mail is taken, and the connection is gone
            raise ConnectionResetError

    post.on_mail = cut
    state = notify(party)  # its retry goes on
    assert state.is_completed(), state.message
    assert len(post.list_to("first@example.com")) == 2  # at least once
    assert len(post.list_to("second@example.com")) == 1
    assert notify(party).name == "Completed: 0 guests told"


def test_one_refused_address_keeps_no_other_guest_from_being_told(
    api: TestClient, post: MailServer, party: EventBox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    subscribe(api, post, party, "gone@example.com")
    subscribe(api, post, party, "late@example.com")
    subscribe(api, post, party, "there@example.com")
    add_photo(party, "c.jpg")
    post.refusals = {"gone@example.com": "550 unknown", "late@example.com": "450 try later"}
    greylisted = iter([True])

    def relent(_: Mail) -> None:
        if next(greylisted, False):
            post.refusals.pop("late@example.com")

    post.on_mail = relent
    state = notify(party)
    assert state.is_completed(), state.message
    assert len(post.list_to("there@example.com")) == len(post.list_to("late@example.com")) == 1
    assert "@example.com" not in caplog.text


def test_who_withdraws_while_the_run_is_under_way_is_not_told(
    api: TestClient, post: MailServer, party: EventBox
) -> None:
    subscribe(api, post, party, "first@example.com")
    second = subscribe(api, post, party, "second@example.com")
    add_photo(party, "c.jpg")
    post.on_mail = lambda _: api.post(f"{second}/withdraw").raise_for_status() and None
    notify(party)
    assert [mail.recipient for mail in post.mails] == ["first@example.com"]


def test_a_vector_that_fits_no_face_any_more_is_deleted_and_its_guest_told(
    api: TestClient, post: MailServer, party: EventBox
) -> None:
    subscribe(api, post, party)
    subscribe(api, post, party)  # once more
    party.query(
        "WITH other AS (INSERT INTO pack (identity, licence) VALUES ('other@0', 'x')"
        " ON CONFLICT (identity) DO UPDATE SET licence = 'x' RETURNING id)"
        " UPDATE subscription SET pack_id = other.id FROM other WHERE event_id = :event RETURNING 1"
    )
    state = notify(party)
    assert state.result()["ended"] == 2
    (mail,) = post.mails
    assert f"{PUBLIC}/gallery/{read_token(party)}" in mail.text
    assert "list-unsubscribe" not in mail.message
    assert count(party) == 0


def test_a_syncs_end_asks_for_one_run_in_a_while_where_somebody_waits(
    api: TestClient, post: MailServer, party: EventBox, prefect: httpx.Client
) -> None:
    def list_runs() -> list[dict[str, Any]]:
        asked = {
            "flows": {"name": {"any_": ["notify_guests"]}},
            "flow_runs": {"tags": {"all_": [f"event:{party.id}"]}},
        }
        return list(prefect.post("flow_runs/filter", json=asked).raise_for_status().json())

    ask(api, party)
    add_photo(party, "c.jpg")
    assert list_runs() == []  # nobody has confirmed
    subscribe(api, post, party, "there@example.com")
    add_photo(party, "d.jpg", "6 darker.jpg")
    add_photo(party, "e.jpg", "6 smaller.jpg")
    (run,) = list_runs()
    assert run["state"]["type"] == "SCHEDULED" and run["parameters"] == {"event_id": party.id}
    due = datetime.fromisoformat(run["expected_start_time"].replace("Z", "+00:00"))
    assert due > datetime.now(UTC) + timedelta(hours=23)
    prefect.delete(f"flow_runs/{run['id']}").raise_for_status()


# --- withdrawing, erasing ---


def test_a_guest_who_withdrew_is_told_of_nothing_and_found_nowhere(
    api: TestClient,
    post: MailServer,
    party: EventBox,
    joined_stack: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    log = Path(joined_stack["PREFECT_LOCAL_STORAGE_PATH"]).parent / "logs" / "postgres.log"
    start = log.stat().st_size
    admin = create_engine(read_admin_url(), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text("ALTER DATABASE facepass SET log_min_duration_statement = 0"))
    try:
        from models.session import get_database_engine

        get_database_engine.cache_clear()  # connections that log every statement
        link = subscribe(api, post, party)
        add_photo(party, "c.jpg")
        notify(party)
        (kept,) = party.query("SELECT * FROM subscription WHERE event_id = :event")
        post.mails.clear()
        receipt = api.post(
            f"{link}/withdraw",
            content="List-Unsubscribe=One-Click",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
    finally:
        with admin.connect() as connection:
            connection.execute(text("ALTER DATABASE facepass RESET log_min_duration_statement"))
        get_database_engine.cache_clear()
    assert receipt.status_code == 200
    answer = receipt.json()
    assert (answer["subscriptions_erased"], answer["told_photos_erased"]) == (1, 2)
    assert answer["erased_at"]

    add_photo(party, "d.jpg", "6 darker.jpg")
    assert notify(party).name == "Completed: 0 guests told"
    assert post.mails == []
    assert api.get(link, headers=HTML).status_code == 404
    assert api.post(f"{link}/confirm").status_code == 404
    again = api.post(f"{link}/withdraw").json()
    assert (again["subscriptions_erased"], again["told_photos_erased"]) == (0, 0)

    vector = kept.embedding.strip("[]").split(",")[:3]
    needles = [b"anna.guest", kept.id.hex.encode(), str(kept.id).encode(), kept.id.bytes]
    needles.append(",".join(vector).encode())
    for table, content in dump_databases():
        found = [needle for needle in needles if needle in content]
        # The photographer's own photos keep the face's like; the selfie's vector is no row's.
        assert found == [], table
    written = log.read_bytes()[start:]
    assert b"COPY subscription" in written
    assert not any(needle in written for needle in (b"anna.guest", needles[-1]))
    # The test's own client logs the addresses that it asks for.
    logged = "\n".join(one.getMessage() for one in caplog.records if one.name != "httpx")
    assert "anna.guest" not in logged
    assert link.rpartition("/")[2] not in logged


def test_a_withdrawal_in_a_browser_shows_its_receipt(
    api: TestClient, post: MailServer, party: EventBox
) -> None:
    link = subscribe(api, post, party)
    page = api.post(f"{link}/withdraw?lang=en", headers=HTML)
    assert page.status_code == 200
    assert "Deleted at" in page.text and "UTC" in page.text
    assert "Nothing is kept" in api.get(f"{link}?lang=en", headers=HTML).text


@pytest.mark.parametrize("part", [0, 1])
def test_a_token_that_is_not_whole_opens_nothing(
    api: TestClient, post: MailServer, party: EventBox, part: int
) -> None:
    link = subscribe(api, post, party)
    words = link.rpartition("/")[2].split(".")
    words[part] = words[part][:-1] + ("0" if words[part][-1] != "0" else "1")
    for token in (".".join(words), words[part], "x", "a.b.c", "\u0430" * 65, "%00" * 65):
        assert api.get(f"/gallery/notices/{token}", headers=HTML).status_code == 404
        answer = api.post(f"/gallery/notices/{token}/withdraw")
        assert answer.json()["subscriptions_erased"] == 0
    assert count(party) == 1


def test_an_erasure_of_the_event_counts_and_deletes_them(
    api: TestClient, post: MailServer, party: EventBox
) -> None:
    subscribe(api, post, party)
    ask(api, party, "unconfirmed@example.com")
    receipt = api.delete(f"/api/v1/events/{party.uuid}/faces").json()
    assert receipt["subscriptions_erased"] == 2
    assert (count(party), count_told(party)) == (0, 0)
    again = erase_event_faces(party.id)
    assert again is not None and again.subscriptions_erased == 0


def test_an_erased_photo_is_forgotten_as_told(
    api: TestClient, post: MailServer, party: EventBox
) -> None:
    link = subscribe(api, post, party)
    assert count_told(party) == 1
    erase_photo_faces(party.id, party.photos()["a.jpg"].id)
    assert (count(party), count_told(party)) == (1, 0)
    assert "/thumb" not in api.get(link, headers=HTML).text


def test_a_new_gallery_link_ends_all_subscriptions(
    api: TestClient, post: MailServer, party: EventBox
) -> None:
    link = subscribe(api, post, party)
    with open_session() as session:
        rotate_gallery_token(session, lock_event(session, party.id))
    assert count(party) == 0
    assert api.get(link, headers=HTML).status_code == 404


def test_an_address_that_does_not_answer_is_forgotten(
    api: TestClient, post: MailServer, party: EventBox
) -> None:
    kept = subscribe(api, post, party)
    ask(api, party, "silent@example.com")
    old = "created_at = now() - interval '3 days'"
    party.query(f"UPDATE subscription SET {old} WHERE event_id = :event RETURNING 1")
    from flows.prune_results import prune_results

    assert prune_results(return_state=True).is_completed()
    assert count(party) == 1
    assert api.get(kept, headers=HTML).status_code == 200


# --- by the webhook ---


def test_the_webhook_brings_the_question_and_the_photos_and_keeps_no_address(
    receiver: WebhookReceiver, party: EventBox
) -> None:
    for api in open_api():
        answer = ask(api, party, "@anna_guest")
        assert answer.json() == {"channel": "webhook"}
        asked = tell(receiver, "guest.asked")
        assert asked["address"] == "@anna_guest" and asked["language"] == "ru"
        link = asked["page_url"].removeprefix(PUBLIC)
        assert [row for row in read_types(party) if row.startswith("guest.")] == []
        assert api.post(f"{link}/confirm").status_code == 303
        add_photo(party, "c.jpg")
        notify(party)
        notify(party)
        told = tell(receiver, "guest.photos")
        assert (told["photos"], told["page_url"]) == (1, asked["page_url"])
        assert told["subscription_id"] == asked["subscription_id"]
        add_photo(party, "d.jpg", "6 darker.jpg")
        notify(party)
        assert api.post(f"{link}/withdraw").json()["subscriptions_erased"] == 1
        gone = tell(receiver, "guest.withdrawn")  # and not the photos that waited
        assert gone["subscription_id"] == asked["subscription_id"]
        assert "anna" not in str(gone)
        assert [row for row in read_types(party) if row.startswith("guest.")] == []


def test_the_webhooks_receiver_hears_of_an_erasure(
    receiver: WebhookReceiver, party: EventBox
) -> None:
    for api in open_api():
        ask(api, party, "@anna_guest")
        tell(receiver, "guest.asked")
        erase_event_faces(party.id)
        assert tell(receiver, "guest.erased")["event_id"] == party.id


def read_types(event: EventBox) -> list[str]:
    rows = event.query("SELECT payload FROM webhook_delivery WHERE event_id = :event")
    return [row.payload["type"] for row in rows]


def tell(receiver: WebhookReceiver, kind: str) -> dict[str, Any]:
    """Deliver what is due; the one message of this kind."""
    import anyio
    from prometheus_client import CollectorRegistry

    from api.webhooks import DeliveryMetrics, Receiver, deliver_due, open_receiver_client

    receiver.received.clear()
    aim = Receiver(receiver.url, SECRET, 5)

    async def run_round() -> None:
        metrics = DeliveryMetrics(CollectorRegistry())
        async with open_receiver_client(aim) as client:
            while await deliver_due(client, aim, metrics):
                pass

    anyio.run(run_round)
    messages = [call.message for call in receiver.received]
    found = [m["data"] for m in messages if m["type"].startswith("guest.")]
    assert [m["type"] for m in messages if m["type"].startswith("guest.")] == [kind]
    return dict(found[0])
