"""The photographer's report: its page, its buttons, and openings by guests; the command's too."""

import csv
import json
import re
from collections.abc import Iterator
from io import StringIO
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from api.app import create_app
from api.report import pages
from api.report.links import sign_report
from deployments.facepass import main
from models.session import open_session
from models.tables import Event
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_group, read_sample, vary
from tests.support.waiting import wait_until

NAME = "Свадьба <Анны> и Ёжи"


@pytest.fixture
def api(joined_stack: dict[str, str]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=joined_stack["FACEPASS_API_URL"], timeout=60) as client:
        yield client


@pytest.fixture
def wedding(joined_stack: dict[str, str]) -> EventBox:
    """Three photos that guests see, one without a face, and two cards' broken files of one name."""
    event = EventBox(NAME)
    event.put("a.jpg", vary(read_sample("astronaut.png"), 1))
    event.put("b.jpg", encode_jpeg(read_sample("coffee.png")))
    event.put("c.jpg", vary(read_group(), 2))
    event.put("Карта 1/IMG_0001.JPG", b"broken")
    event.put("Карта 2/IMG_0001.JPG", b"broken too")
    event.put("фильм.mp4", b"video", original=False)
    event.sync()
    return event


def ask_for_link(api: httpx.Client, event: EventBox) -> str:
    answer = api.post(f"/api/v1/events/{event.uuid}/report-link")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["report_url"])


def read_gallery(event: EventBox) -> str:
    with open_session() as session:
        return f"/gallery/{session.get_one(Event, event.id).gallery_token}"


def list_photos(api: httpx.Client, event: EventBox, **query: Any) -> dict[str, dict[str, Any]]:
    answer = api.get(f"/api/v1/events/{event.uuid}/photos", params=query)
    return {p["s3_key"].removeprefix(event.prefix): p for p in answer.json()["photos"]}


def test_the_page_tells_all_and_its_buttons_work(api: httpx.Client, wedding: EventBox) -> None:
    url = ask_for_link(api, wedding)
    page = api.get(url, headers={"Accept": "text/html", "Accept-Language": "en"})
    assert page.status_code == 200
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    assert "<Анны>" not in page.text
    for key in ("Карта 1/IMG_0001.JPG", "Карта 2/IMG_0001.JPG"):
        assert f"{wedding.prefix}{key}" in page.text
    assert "1 video" in page.text
    russian = api.get(url, headers={"Accept": "text/html", "Accept-Language": "ru"}).text
    assert "1 видео" in russian
    photos = list_photos(api, wedding)
    for name, status in (("a.jpg", 200), ("c.jpg", 200)):
        picture = api.get(f"{url}/photos/{photos[name]['photo_id']}")
        assert (picture.status_code, picture.headers["content-type"]) == (status, "image/jpeg")

    one = photos["Карта 1/IMG_0001.JPG"]["photo_id"]
    assert f"/photos/{one}/requeue" in page.text
    answer = api.post(f"{url}/photos/{one}/requeue?lang=en")
    assert answer.json()["message"].startswith("1 ")
    wedding.put("Карта 1/IMG_0001.JPG", vary(read_sample("astronaut.png"), 5))
    wedding.sync()
    assert list_photos(api, wedding)["Карта 1/IMG_0001.JPG"]["status"] == "indexed"
    assert api.post(f"{url}/requeue?lang=en").json()["message"].startswith("1 ")

    erased = photos["a.jpg"]["photo_id"]
    assert api.post(f"{url}/photos/{erased}/erase").status_code == 200
    assert list_photos(api, wedding)["a.jpg"]["status"] == "erased"

    gallery = read_gallery(wedding)
    wish = {"photo_id": photos["b.jpg"]["photo_id"], "kind": "remove_photo"}
    assert api.post(f"{gallery}/requests", json=wish).status_code == 201
    (request,) = api.get(f"/api/v1/events/{wedding.uuid}/requests").json()
    assert f"/requests/{request['request_id']}/settle" in api.get(url).text
    assert api.post(f"{url}/requests/{request['request_id']}/settle").status_code == 200
    assert api.get(f"/api/v1/events/{wedding.uuid}/requests").json() == []


def test_each_part_shows_the_first_of_its_own(
    wedding: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MOST_SHOWN", 2)
    failed_first = "UPDATE photo SET sort_name = '' WHERE event_id = :event AND status = 'failed'"
    assert len(wedding.query(f"{failed_first} RETURNING 1")) == 2
    with open_session() as session:
        token = sign_report(session.get_one(Event, wedding.id)).token
    api = TestClient(create_app(), base_url="http://127.0.0.1", client=("127.0.0.1", 50_000))
    shown = re.findall(r"<code>([^<]+)</code>", api.get(f"/report/{token}").text)
    names = ["Карта 1/IMG_0001.JPG", "Карта 2/IMG_0001.JPG", "a.jpg", "b.jpg"]
    assert shown == [wedding.prefix + name for name in names]


def test_a_link_opens_its_own_event_alone_and_ends(
    api: httpx.Client, wedding: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api.report import links

    other = EventBox("Другая")
    url = ask_for_link(api, wedding)
    token = url.rpartition("/")[2]
    name, end, signature = token.split(".")
    forged = [
        f"{other.uuid.hex}.{end}.{signature}",
        f"{name}.{int(end) + 1}.{signature}",
        f"{name}.{end}.{signature[:-1]}",
        f"{name}.{end}",
        "x",
        f"{name}.x.{signature}",
        f"{name}.{end}.ё",
    ]
    for wrong in forged:
        assert api.get(f"/report/{wrong}").status_code == 404, wrong
        assert api.post(f"/report/{wrong}/requeue").status_code == 404, wrong
    photo = next(iter(list_photos(api, wedding).values()))["photo_id"]
    foreign = ask_for_link(api, other)
    assert api.get(f"{foreign}/photos/{photo}").status_code == 404
    assert api.post(f"{foreign}/photos/{photo}/erase").status_code == 404
    assert api.post(f"{foreign}/photos/{photo}/requeue").json()["message"].startswith("0 ")

    with open_session() as session:
        event = session.get_one(Event, wedding.id)
        assert links.enter_report(session, token).id == wedding.id
        monkeypatch.setattr(links, "time", lambda: int(end) + 1)
        with pytest.raises(links.EventNotFoundError):
            links.enter_report(session, token)
        assert links.sign_report(event).token != token
    api.post(f"/api/v1/events/{wedding.uuid}/gallery-token")
    assert api.get(url).status_code == 404


def test_what_guests_open_is_counted_by_day_and_nothing_of_them(
    api: httpx.Client, wedding: EventBox
) -> None:
    photos, gallery = list_photos(api, wedding), read_gallery(wedding)
    seen, saved = photos["a.jpg"]["photo_id"], photos["b.jpg"]["photo_id"]
    # A thumb, or a view that is fetched ahead, opens nothing; nor does a photo that is not shown.
    for kind in ("thumb", "view", "preview"):
        assert api.get(f"{gallery}/photos/{photos['c.jpg']['photo_id']}/{kind}").status_code == 200
    hidden = photos["Карта 1/IMG_0001.JPG"]["photo_id"]
    assert api.post(f"{gallery}/photos/{hidden}/opened").status_code == 404
    for _ in range(2):
        assert api.post(f"{gallery}/photos/{seen}/opened").status_code == 204
    assert api.get(f"{gallery}/photos/{saved}/original").status_code == 200

    wait_until(lambda: list_photos(api, wedding)["b.jpg"]["opened"] == 1, 30)

    opened = {name: photo["opened"] for name, photo in list_photos(api, wedding).items()}
    assert (opened["a.jpg"], opened["b.jpg"], opened["c.jpg"]) == (2, 1, 0)
    assert set(list_photos(api, wedding, opened="true")) == {"a.jpg", "b.jpg"}
    assert "c.jpg" in list_photos(api, wedding, opened="false")
    rows = wedding.query(
        "SELECT photo_opening.* FROM photo_opening JOIN photo ON photo.id = photo_id"
        " WHERE event_id = :event"
    )
    assert len(rows) == 2
    assert set(rows[0]._mapping) == {"photo_id", "day", "opened"}
    page = api.get(ask_for_link(api, wedding)).text
    lists = dict(re.findall(r'<textarea id="names-(\w+)"[^>]*>([^<]*)<', page))
    assert lists == {"found": "a, b", "unopened": "c", "failed": "IMG_0001"}


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(list(words))
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_the_commands_tell_of_events(
    api: httpx.Client, wedding: EventBox, capsys: pytest.CaptureFixture[str]
) -> None:
    uuid = str(wedding.uuid)
    code, out, _ = run(capsys, "events", "--name", "<анны>")
    assert code == 0
    (line,) = [line for line in out.splitlines() if uuid in line]
    assert "3 photos" not in line
    assert "5 photos, 2 failed" in line
    code, out, _ = run(capsys, "events", "--json")
    assert uuid in {event["event_uuid"] for event in json.loads(out)}

    code, out, _ = run(capsys, "status", uuid)
    assert code == 0
    assert "2 indexed" in out
    assert "completed" in out
    assert json.loads(run(capsys, "status", uuid, "--json")[1])["sync"]["state"] == "completed"
    code, out, _ = run(capsys, "link", uuid)
    assert out.strip().endswith(read_gallery(wedding))
    code, out, _ = run(capsys, "qr", uuid)
    assert "█" in out
    assert "is under way" in run(capsys, "watch", uuid)[1]

    code, out, _ = run(capsys, "report", uuid)
    assert f"Failed    {wedding.prefix}Карта 2/IMG_0001.JPG (not_an_image)" in out
    assert "1 video" in out
    told = json.loads(run(capsys, "report", uuid, "--json")[1])
    assert len(told["failed"]) == 2
    assert len(told["not_opened"]) == 3
    assert api.get(told["report_url"]).status_code == 200
    table = list(csv.DictReader(StringIO(run(capsys, "report", uuid, "--csv")[1])))
    assert len(table) == 5
    assert {row["status"] for row in table} == {"indexed", "no_face", "failed"}

    code, _, err = run(capsys, "status", "Нет такого")
    assert code == 2
    assert "facepass events" in err


def test_two_events_of_one_name_are_told_apart(
    api: httpx.Client, capsys: pytest.CaptureFixture[str], joined_stack: dict[str, str]
) -> None:
    first, second = EventBox("Близнецы"), EventBox("Близнецы")
    first.put("a.jpg", encode_jpeg(read_sample("coffee.png")))
    first.sync()
    api.patch(f"/api/v1/events/{second.uuid}", json={"held_on": "2026-06-20"})
    code, _, err = run(capsys, "link", "Близнецы")
    assert code == 2
    assert f"{second.uuid} (2026-06-20, 0 photos)" in err
    assert re.search(rf"{first.uuid} \(added \d{{4}}-\d\d-\d\d, 1 photo\)", err)
