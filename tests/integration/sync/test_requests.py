"""Listings and requests that repeat themselves: a key twice, a prefix a thousand times."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from models.errors import PhotoChangedError, S3DownloadError
from models.queries.events import lock_event
from models.queries.runs import announce_attempt, drop_requests, remember_prefix, start_attempt
from models.session import open_session
from models.tables import Event, SyncRun
from tasks.s3.bucket import Bucket
from tasks.sync import plan
from tasks.sync.batch import MOST_CHANGES
from tasks.sync.plan import find_request
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_sample, vary

CALLS = 3000


def portrait(index: int = 0) -> bytes:
    return vary(read_sample("astronaut.png"), index)


def read_waiting(event: EventBox) -> list[str]:
    with open_session() as session:
        return list(session.get_one(Event, event.id).pending_prefixes)


@pytest.fixture
def run(event: EventBox) -> UUID:
    """A run of the event that has listed its prefix and works."""
    flow_run_id = uuid4()
    with open_session() as session:
        row = lock_event(session, event.id)
        announce_attempt(session, row, flow_run_id=flow_run_id, s3_prefix=event.prefix)
        start_attempt(session, row, flow_run_id).planned = True
    return flow_run_id


def ask(event: EventBox, run: UUID, s3_prefix: str) -> None:
    with open_session() as session:
        assert remember_prefix(session, run, event.id, s3_prefix)


def test_thousands_of_requests_of_one_prefix_are_one_and_no_call_is_slower(
    event: EventBox, run: UUID
) -> None:
    for number in range(CALLS):
        ask(event, run, event.prefix if number % 2 else f"{event.prefix}day{number}/")
        if number == 0:
            ask(event, run, event.prefix)
    # The first folder, the whole that came after it, and the whole once more.
    assert len(read_waiting(event)) <= 3


def test_a_request_during_a_listing_waits_for_another_one_however_often_it_comes(
    event: EventBox, run: UUID
) -> None:
    ask(event, run, event.prefix)
    for _ in range(3):
        with open_session() as session:
            row = lock_event(session, event.id)
            request = find_request(session.get_one(SyncRun, run), row)
        assert request.waiting == [event.prefix]
        for _ in range(3):
            ask(event, run, event.prefix)
            ask(event, run, f"{event.prefix}day1/")
    with open_session() as session:  # the listing is kept
        drop_requests(session, lock_event(session, event.id), request.waiting, event.prefix)
    assert read_waiting(event) == [event.prefix]


def test_a_key_that_is_listed_twice_is_read_once_by_its_last_etag(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    event.put("a.jpg", portrait(1))
    event.put("b.jpg", portrait(2))
    list_objects = plan.list_s3_objects

    def list_twice(*args: Any) -> Iterator[Any]:
        for page in list_objects(*args):
            old = [replace(item, etag="0" * 32) for item in page]
            # An overwrite between two pages; and within one.
            yield old
            yield [*old, *page]

    monkeypatch.setattr(plan, "list_s3_objects", list_twice)

    result = event.sync().result

    assert (result["total_found"], result["new_photos"]) == (2, 2)
    assert event.face_counts() == {"a.jpg": 1, "b.jpg": 1}
    assert {row.attempts for row in event.photos().values()} == {1}


def replace_at_each_look(event: EventBox, monkeypatch: pytest.MonkeyPatch, looks: int) -> list[str]:
    """Replace a.jpg as often just before it is read; the ETags by which it was asked for."""
    read_photo, asked = Bucket.read_photo, []

    def replace_and_read(bucket: Bucket, s3_key: str, etag: str, *args: Any) -> bytes:
        if s3_key.endswith("/a.jpg"):
            asked.append(etag)
            if len(asked) <= looks:
                event.put("a.jpg", portrait(100 + len(asked)), original=False)
        return read_photo(bucket, s3_key, etag, *args)

    monkeypatch.setattr(Bucket, "read_photo", replace_and_read)
    return asked


def test_changes_of_earlier_months_are_none_of_this_run(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    event.put("a.jpg", portrait())
    event.sync()
    event.query("UPDATE photo SET attempts = 40 WHERE event_id = :event RETURNING id")
    event.put("a.jpg", portrait(1))
    asked = replace_at_each_look(event, monkeypatch, looks=1)

    outcome = event.sync()

    assert outcome.result["updated"] == 1
    assert len(asked) == 2
    assert outcome.state.is_completed()


def test_a_photo_that_changes_with_every_look_ends_the_attempt_and_heals_in_the_next(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    event.put("a.jpg", portrait())
    event.put("b.jpg", portrait(7))
    asked = replace_at_each_look(event, monkeypatch, looks=MOST_CHANGES)

    outcome = event.sync()

    (row,) = event.query("SELECT * FROM sync_run WHERE event_id = :event")
    assert row.state == "completed"
    assert outcome.result["new_photos"] == 2
    assert len(asked) == MOST_CHANGES + 1
    assert event.face_counts() == {"a.jpg": 1, "b.jpg": 1}


def test_a_photo_whose_etag_is_never_true_fails_the_run_with_a_sentence(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))
    looks: list[str] = []

    def find_changed(_: Bucket, s3_key: str, *__: Any) -> bytes:
        looks.append(s3_key)
        raise PhotoChangedError("The photo was replaced during the sync.")

    monkeypatch.setattr(Bucket, "read_photo", find_changed)

    event.sync()

    (row,) = event.query("SELECT * FROM sync_run WHERE event_id = :event")
    assert row.state == "failed"
    assert "change with every look" in row.detail
    # Five in the first attempt, one in each of its three retries.
    assert len(looks) == MOST_CHANGES + 3


def test_a_second_look_at_a_batch_of_which_nothing_could_be_stored_is_a_real_one(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    event.put("a.jpg", portrait(1))
    event.put("b.jpg", portrait(2))
    read_photo, looks = Bucket.read_photo, []

    def fail_once(bucket: Bucket, s3_key: str, *args: Any) -> bytes:
        looks.append(s3_key)
        if looks.count(s3_key) == 1:
            if s3_key.endswith("/a.jpg"):
                raise S3DownloadError("S3 unreachable.")
            event.put("b.jpg", portrait(3), original=False)
        return read_photo(bucket, s3_key, *args)

    monkeypatch.setattr(Bucket, "read_photo", fail_once)

    assert event.sync().result["new_photos"] == 2
    # One unreachable, one replaced: the same two are asked for again, and not of the cache.
    assert event.query("SELECT sync_epoch FROM event WHERE id = :event")[0][0] == 1
