"""Failed photos that are asked for again: the real sync takes them up, each counted once."""

from collections.abc import Callable

import httpx

from models.queries.photos import requeue_photos
from models.session import open_session
from models.vocabulary import PhotoReason
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_sample
from tests.support.rest_api import RestApi

PATH = "/api/v1/events/{uuid}/photos/requeue"


def requeue(joined_stack: dict[str, str], event: EventBox, **query: str) -> httpx.Response:
    url = f"{joined_stack['FACEPASS_API_URL']}{PATH.format(uuid=event.uuid)}"
    return httpx.post(url, params=query, trust_env=False)


def test_a_failed_photo_is_read_again_by_the_next_sync_and_counted_once(
    event: EventBox, joined_stack: dict[str, str]
) -> None:
    event.put("broken.jpg", b"no image")
    event.put("empty.jpg", b"")
    event.put("good.jpg", encode_jpeg(read_sample("astronaut.png")))
    first, resting = event.sync().result, event.sync().result
    before = event.photos()

    answer = requeue(joined_stack, event)
    waiting = event.photos()
    third = event.sync()
    rested = event.sync().result

    assert (answer.status_code, answer.json()["requeued"]) == (200, 2)
    assert {name: row.status for name, row in waiting.items()} == {
        "broken.jpg": "failed",
        "empty.jpg": "failed",
        "good.jpg": "indexed",
    }
    assert (first["new_photos"], first["failed"], resting["failed"]) == (1, 2, 2)
    for result in (third.result, rested):
        assert (result["total_found"], result["skipped"], result["failed"]) == (3, 1, 2)
    after = event.photos()
    attempts = {name: after[name].attempts - before[name].attempts for name in after}
    assert attempts == {"broken.jpg": 1, "empty.jpg": 1, "good.jpg": 0}
    # Really looked at by that run, and by no later one.
    assert after["broken.jpg"].sync_run_id == after["empty.jpg"].sync_run_id == third.task_id
    assert after["broken.jpg"].etag == before["broken.jpg"].etag


def test_what_made_a_photo_fail_is_mended_and_its_faces_are_found(
    event: EventBox, configure: Callable[..., None]
) -> None:
    # The same file, refused by a limit: only the setting changes, never the ETag.
    event.put("large.jpg", encode_jpeg(read_sample("astronaut.png")))
    configure(max_pixels=1000)
    assert event.sync().result["failed"] == 1
    configure(max_pixels=50_000_000)
    assert event.sync().result["failed"] == 1  # it rests

    with open_session() as session:
        other = requeue_photos(session, event.id, reason=PhotoReason.EMPTY)
        mine = requeue_photos(session, event.id, reason=PhotoReason.TOO_MANY_PIXELS)
    result = event.sync().result

    assert (other, mine) == (0, 1)
    assert (result["updated"], result["failed"], result["faces_found"]) == (1, 0, 1)
    assert event.photos()["large.jpg"].status == "indexed"


def test_a_run_under_way_keeps_its_counts(event: EventBox, rest: RestApi) -> None:
    event.put("broken.jpg", b"no image")
    task = event.sync().task_id
    with open_session() as session:
        assert requeue_photos(session, event.id, reason=None) == 1
    assert rest.read_sync(str(task))["progress"] == {"processed": 1, "total": 1}


def test_another_events_failed_photos_stay_where_they_are(
    joined_stack: dict[str, str], make_event: type[EventBox]
) -> None:
    mine, other = make_event(), make_event()
    for event in (mine, other):
        event.put("broken.jpg", b"no image")
        event.sync()
    assert requeue(joined_stack, mine).json()["requeued"] == 1
    assert other.photos()["broken.jpg"].etag != ""
    assert requeue(joined_stack, mine, reason="nonsense").status_code == 422
