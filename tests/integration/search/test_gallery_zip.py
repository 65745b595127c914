"""The gallery's downloads over the real S3: what is missing is told, a stranger's is not there."""

from collections.abc import Callable
from io import BytesIO
from zipfile import ZipFile

import httpx
import pytest

from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_sample


@pytest.fixture
def open_gallery(joined_stack: dict[str, str]) -> Callable[[EventBox], httpx.Client]:
    """A guest's client at an event's own link."""

    def build(event: EventBox) -> httpx.Client:
        (row,) = event.query("SELECT gallery_token FROM event WHERE id = :event")
        base = f"{joined_stack['FACEPASS_API_URL']}/gallery/{row.gallery_token}"
        return httpx.Client(base_url=base, timeout=30, trust_env=False)

    return build


def test_a_zip_holds_this_events_originals_and_says_which_are_missing(
    make_event: Callable[..., EventBox], open_gallery: Callable[[EventBox], httpx.Client]
) -> None:
    mine, other = make_event(name="Свадьба Анны и Ёжи"), make_event(name="Другая")
    photo = encode_jpeg(read_sample("coffee.png"))
    mine.put("здесь.jpg", photo)
    mine.put("нет.jpg", photo + b"1", original=False)
    other.put("чужая.jpg", photo + b"2")
    for event in (mine, other):
        assert event.sync().result["new_photos"] == len(event.photos())
    ids = [row.id for event in (mine, other) for row in event.photos().values()]
    (foreign,) = [row.id for row in other.photos().values()]

    with open_gallery(mine) as guest:
        answer = guest.post("/zip", data={"photo_ids": ids}, headers={"Accept-Language": "ru"})
        alone = guest.post("/zip", data={"photo_ids": [foreign]})
        original = guest.get(f"/photos/{foreign}/original")

    archive = ZipFile(BytesIO(answer.content))
    assert sorted(archive.namelist()) == ["НЕ ХВАТАЕТ.txt", "здесь.jpg"]
    assert archive.read("здесь.jpg") == photo
    assert "нет.jpg" in archive.read("НЕ ХВАТАЕТ.txt").decode("utf-8-sig")
    assert "%D0%A1%D0%B2%D0%B0" in answer.headers["content-disposition"]
    assert (alone.status_code, original.status_code) == (404, 404)


def test_an_original_is_saved_under_its_own_name(
    event: EventBox, open_gallery: Callable[[EventBox], httpx.Client]
) -> None:
    photo = encode_jpeg(read_sample("coffee.png"))
    event.put("Ёж и Анна.jpg", photo)
    event.sync()
    (row,) = event.photos().values()

    with open_gallery(event) as guest:
        saved = guest.get(f"/photos/{row.id}/original")

    assert saved.content == photo
    assert "%D0%81%D0%B6" in saved.headers["content-disposition"]
