"""Photos that S3 lists and does not give: their neighbours are synced, and each has its reason."""

from collections.abc import Callable

import httpx
import pytest

from tests.support.event_box import EventBox
from tests.support.photos import read_sample, vary
from tests.support.refusals import refuse_reading
from tests.support.rest_api import RestApi

FIRST = [f"{number:02}.jpg" for number in range(8)]  # a run's first batch
REST = [f"{number:02}.jpg" for number in range(8, 12)]


@pytest.fixture
def album(event: EventBox) -> EventBox:
    for index, name in enumerate([*FIRST, *REST]):
        event.put(name, vary(read_sample("astronaut.png"), index))
    return event


@pytest.mark.parametrize(
    ("code", "reason"), [("InvalidObjectState", "archived"), ("AccessDenied", "forbidden")]
)
def test_the_first_batch_is_refused_and_the_others_are_synced(
    album: EventBox, code: str, reason: str
) -> None:
    with refuse_reading(album.bucket, code, *FIRST):
        first = album.sync()
        again = album.sync()

    assert first.state.is_completed()
    assert (first.result["new_photos"], first.result["failed"]) == (4, 8)
    assert (again.result["skipped"], again.result["failed"]) == (4, 8)
    photos = album.photos()
    assert {photos[name].reason for name in FIRST} == {reason}
    assert {photos[name].status for name in REST} == {"indexed"}
    # Restored, or allowed: the ETag is the same, and no one has to ask for it.
    assert album.sync().result["updated"] == 8


def test_one_refused_photo_fails_neither_its_batch_nor_the_sync(album: EventBox) -> None:
    with refuse_reading(album.bucket, "AccessDenied", "03.jpg"):
        result = album.sync().result
    assert (result["new_photos"], result["failed"]) == (11, 1)


def test_a_bucket_that_gives_nothing_ends_the_sync_with_a_sentence_and_fails_no_photo(
    album: EventBox, rest: RestApi
) -> None:
    with refuse_reading(album.bucket, "AccessDenied", ".jpg"):
        task_id = str(album.sync().task_id)

    answer = rest.read_sync(task_id)
    assert answer["state"] == "failed"
    assert "allow s3:GetObject" in answer["detail"]
    assert {row.status for row in album.photos().values()} == {"pending"}


def test_an_archived_photo_can_be_asked_for_by_its_reason(
    album: EventBox, joined_stack: dict[str, str], make_event: Callable[..., EventBox]
) -> None:
    with refuse_reading(album.bucket, "InvalidObjectState", "00.jpg"):
        album.sync()
    url = f"{joined_stack['FACEPASS_API_URL']}/api/v1/events/{album.uuid}/photos"
    listed = httpx.get(url, params={"status": "failed"}, trust_env=False).json()
    assert [photo["reason"] for photo in listed["photos"]] == ["archived"]
    asked = httpx.post(f"{url}/requeue", params={"reason": "archived"}, trust_env=False)
    assert asked.json()["requeued"] == 1
