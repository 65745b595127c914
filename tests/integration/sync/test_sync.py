"""The sync against the real S3, PostgreSQL, Prefect server and opencv_zoo."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from models.queries.plans import FIRST_BATCH_SIZE
from tests.support.event_box import EventBox
from tests.support.faults import FaultProxy
from tests.support.photos import (
    GROUP_FACES,
    PORTRAIT_FACES,
    encode_jpeg,
    read_group,
    read_sample,
    vary,
)
from tests.support.waiting import wait_until

GUIDE_FIELDS = {
    "event_id", "s3_prefix", "total_found", "new_photos", "skipped", "status", "message",
}  # fmt: skip


def fill(event: EventBox, count: int, *, start: int = 0) -> None:
    for index in range(start, start + count):
        event.put(f"портрет {index:03}.jpg", vary(read_sample("astronaut.png"), index))


def test_every_face_of_every_photo_is_stored_once(event: EventBox) -> None:
    event.put("group.jpg", encode_jpeg(read_group()))
    event.put("portrait.JPG", encode_jpeg(read_sample("astronaut.png")))
    event.put("coffee.png", encode_jpeg(read_sample("coffee.png")))
    event.put("broken.jpg", encode_jpeg(read_group())[:9000])
    event.put("page.webp", b"<html>not a photo</html>")
    event.put("empty.jpeg", b"")
    event.put("notes.txt", b"not counted")

    result = event.sync().result

    assert set(result) >= GUIDE_FIELDS
    assert (result["total_found"], result["new_photos"], result["failed"]) == (6, 3, 3)
    assert result["message"] == "Successfully synced 3 new photos; 1 other file was left out"
    assert (result["no_face"], result["faces_found"]) == (1, GROUP_FACES + PORTRAIT_FACES)
    reasons = {name: (row.status, row.reason) for name, row in event.photos().items()}
    assert reasons == {
        "group.jpg": ("indexed", None),
        "portrait.JPG": ("indexed", None),
        "coffee.png": ("no_face", "no_face_detected"),
        "broken.jpg": ("failed", "truncated"),
        "page.webp": ("failed", "not_an_image"),
        "empty.jpeg": ("failed", "empty"),
    }
    assert event.photos()["coffee.png"].confidence == 0.0
    assert event.photos()["group.jpg"].confidence > 0.9
    assert event.face_counts()["group.jpg"] == GROUP_FACES


def test_a_second_sync_skips_everything_and_changes_nothing(event: EventBox) -> None:
    fill(event, 12)
    event.put("broken.jpg", b"nothing")
    first = event.sync().result
    rows = event.query("SELECT id, photo_id FROM face WHERE event_id = :event ORDER BY id")

    second = event.sync().result

    assert (first["new_photos"], first["failed"]) == (12, 1)
    assert (second["new_photos"], second["skipped"], second["failed"]) == (0, 12, 1)
    assert second["total_found"] == first["total_found"] == 13
    assert rows == event.query("SELECT id, photo_id FROM face WHERE event_id = :event ORDER BY id")


def test_batches_of_any_size_give_the_same_ledger(
    event: EventBox, configure: Callable[..., None]
) -> None:
    configure(batch_size=5)
    fill(event, 23)

    result = event.sync().result

    assert result["new_photos"] == result["faces_found"] == 23
    sizes = event.query(
        "SELECT batch, count(*) AS size FROM photo WHERE event_id = :event GROUP BY 1 ORDER BY 1"
    )
    assert [row.size for row in sizes] == [5, 5, 5, 5, 3]


def test_the_first_batch_is_small_and_the_others_are_full(
    event: EventBox, configure: Callable[..., None]
) -> None:
    configure(batch_size=10)
    fill(event, 23)

    result = event.sync().result

    assert result["new_photos"] == result["faces_found"] == 23
    sizes = event.query(
        "SELECT count(*) AS size FROM photo WHERE event_id = :event GROUP BY batch ORDER BY batch"
    )
    assert [row.size for row in sizes] == [FIRST_BATCH_SIZE, 10, 5]


def test_what_a_dead_run_left_is_cut_as_it_was(
    event: EventBox, configure: Callable[..., None]
) -> None:
    configure(batch_size=10)
    fill(event, 23)
    event.sync()
    # As if the run had died with its first batch stored and its second one embedded.
    event.query(
        "UPDATE photo SET status = 'pending' WHERE event_id = :event AND batch > 0 RETURNING id"
    )

    event.sync()

    sizes = event.query(
        "SELECT count(*) AS size FROM photo WHERE event_id = :event"
        " GROUP BY sync_run_id, batch ORDER BY count(*)"
    )
    assert [row.size for row in sizes] == [5, FIRST_BATCH_SIZE, 10]


def test_a_changed_etag_is_embedded_anew_and_replaces_the_old_faces(event: EventBox) -> None:
    event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))
    event.sync()
    event.put("a.jpg", encode_jpeg(read_group()))

    result = event.sync().result

    assert (result["new_photos"], result["updated"], result["skipped"]) == (0, 1, 0)
    assert event.face_counts() == {"a.jpg": GROUP_FACES}


def test_an_unchanged_failed_photo_rests_and_a_mended_one_does_not(event: EventBox) -> None:
    event.put("a.jpg", b"broken")
    event.sync()
    rested = event.sync().result
    attempts = event.photos()["a.jpg"].attempts
    event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))
    mended = event.sync().result

    assert (rested["failed"], rested["total_found"], attempts) == (1, 1, 1)
    assert (mended["failed"], mended["updated"]) == (0, 1)
    assert event.face_counts() == {"a.jpg": 1}


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_photo_turned_by_exif_gives_the_same_faces(event: EventBox, orientation: int) -> None:
    event.put("upright.jpg", encode_jpeg(read_group(), quality=95))
    event.put("turned.jpg", encode_jpeg(read_group(), quality=95, orientation=orientation))

    event.sync()

    assert event.face_counts() == {"upright.jpg": GROUP_FACES, "turned.jpg": GROUP_FACES}
    similar = event.query(
        "SELECT 1 - min(a.embedding <=> b.embedding) AS similarity FROM face a"
        " JOIN photo p ON p.id = a.photo_id JOIN face b ON b.event_id = a.event_id"
        " AND b.photo_id <> a.photo_id WHERE a.event_id = :event"
        " AND p.s3_key LIKE '%turned.jpg' GROUP BY a.id"
    )
    assert len(similar) == GROUP_FACES
    assert min(row.similarity for row in similar) > 0.95


def test_an_empty_prefix_is_completed_and_not_an_error(event: EventBox) -> None:
    result = event.sync().result

    assert (result["status"], result["message"]) == ("completed", "No photos found in S3")
    assert result["total_found"] == 0


def test_a_cache_hit_with_an_emptied_database_still_ends_with_faces_stored(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(event, 4)
    event.sync()
    event.query("DELETE FROM photo WHERE event_id = :event RETURNING id")
    computed = []
    monkeypatch.setattr("tasks.sync.embed.embed_photos", lambda *args, **_: computed.append(args))

    result = event.sync().result

    assert computed == []
    assert result["new_photos"] == result["faces_found"] == 4
    assert set(event.face_counts().values()) == {1}


def test_s3_coming_back_lets_the_retry_finish(event: EventBox, s3_proxy: FaultProxy) -> None:
    fill(event, 3)
    s3_proxy.mend_after(4)  # the client's own tries of the first attempt's listing

    outcome = event.sync()

    assert outcome.result["new_photos"] == 3
    assert s3_proxy.dropped >= 4
    assert event.query("SELECT state FROM sync_run WHERE event_id = :event")[0].state == "completed"


def test_s3_staying_away_fails_the_run_with_a_sentence(
    event: EventBox, s3_proxy: FaultProxy
) -> None:
    fill(event, 1)
    s3_proxy.cut.set()

    state = event.sync().state

    assert state.is_failed()
    (run,) = event.query("SELECT state, detail FROM sync_run WHERE event_id = :event")
    assert run.state == "failed"
    assert run.detail.startswith("S3 unreachable")


def test_an_outage_between_listing_and_reading_loses_nothing(
    event: EventBox, s3_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(event, 6)
    from tasks.sync import plan

    plan_prefix = plan.plan_prefix

    def plan_then_cut(*args: object) -> object:
        tally = plan_prefix(*args)
        s3_proxy.mend_after(24)
        return tally

    monkeypatch.setattr(plan, "plan_prefix", plan_then_cut)

    assert event.sync().result["new_photos"] == 6
    assert set(event.face_counts().values()) == {1}


def test_a_store_that_hangs_is_not_waited_for_photo_by_photo(
    event: EventBox,
    s3_proxy: FaultProxy,
    configure: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure(s3_endpoint_url=s3_proxy.url, s3_timeout_s=1, batch_size=5)
    fill(event, 60)
    from tasks.sync import plan

    plan_prefix = plan.plan_prefix

    def plan_then_hang(*args: object) -> object:
        tally = plan_prefix(*args)
        s3_proxy.hang.set()
        return tally

    monkeypatch.setattr(plan, "plan_prefix", plan_then_hang)

    def mend_before_the_next_attempt() -> None:
        query = "SELECT 1 FROM sync_run WHERE event_id = :event AND state = 'retrying'"
        wait_until(lambda: event.query(query))
        s3_proxy.hang.clear()

    mender = threading.Thread(target=mend_before_the_next_attempt)
    mender.start()
    result = event.sync().result
    mender.join()

    # Four tries a photo; without the outage's record it would be all sixty, looked at twice.
    assert s3_proxy.swallowed < 60 * 4
    assert result["new_photos"] == 60
    assert set(event.face_counts().values()) == {1}


def test_what_no_retry_heals_ends_at_once_with_its_sentence(
    event: EventBox, configure: Callable[..., None]
) -> None:
    configure(s3_bucket="no-such-bucket")

    state = event.sync().state

    assert (state.type.value, state.name) == ("FAILED", "Failed")
    assert state.message == "There is no bucket no-such-bucket: check FACEPASS_S3_BUCKET."
    (run,) = event.query("SELECT state, detail FROM sync_run WHERE event_id = :event")
    assert (run.state, run.detail) == ("failed", state.message)


@pytest.mark.parametrize(
    "prefix",
    ["events/{other}/previews/", "events/{id}/../{other}/previews/", "/", "events/{id}/photos/"],
)
def test_a_prefix_that_is_not_the_events_own_is_refused(
    make_event: Callable[..., EventBox], prefix: str
) -> None:
    event, other = make_event(), make_event()
    other.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))

    state = event.sync(prefix.format(id=event.id, other=other.id)).state

    assert (state.type.value, state.name) == ("FAILED", "Failed")
    assert event.photos() == {}


def test_events_1_never_reads_events_10(make_event: Callable[..., EventBox]) -> None:
    event = make_event()
    bucket = event.bucket
    # A neighbour whose folder begins with the same characters, and is no other test's event.
    stranger = f"events/{event.id}00000/previews/a.jpg"
    beside = f"events/{event.id}/previews-old/a.jpg"
    for key in (stranger, beside):
        bucket.client.put_object(
            Bucket=bucket.name, Key=key, Body=encode_jpeg(read_sample("astronaut.png"))
        )
    event.put("own.jpg", encode_jpeg(read_sample("astronaut.png")))

    event.sync(f"events/{event.id}/previews")

    assert list(event.photos()) == ["own.jpg"]


def test_cyrillic_names_come_back_from_the_stored_address(event: EventBox) -> None:
    from urllib.parse import unquote

    name = "Свадьба №1 (ё) + 50% #&?.jpg"
    event.put(name, encode_jpeg(read_sample("astronaut.png")))

    event.sync()

    url = event.photos()[name].image_url
    assert url.isascii()
    assert unquote(url).endswith(f"/{event.bucket.name}/events/{event.id}/originals/{name}")


def test_vanished_previews_are_hidden_and_come_back(event: EventBox) -> None:
    fill(event, 2)
    event.put("no-original.jpg", encode_jpeg(read_sample("astronaut.png")), original=False)
    assert event.sync().result["missing_originals"] == 1

    event.remove("портрет 000.jpg")
    gone = event.sync().result
    assert (gone["gone"], gone["skipped"]) == (1, 2)
    assert event.photos()["портрет 000.jpg"].status == "gone"

    fill(event, 1)
    back = event.sync().result
    assert (back["new_photos"], back["updated"], back["skipped"]) == (0, 0, 3)
    assert event.photos()["портрет 000.jpg"].status == "indexed"


def test_photos_uploaded_during_a_run_are_not_missed(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(event, 2)
    from models.queries.runs import remember_prefix
    from models.session import open_session
    from tasks.sync import batch
    from tasks.sync.context import SyncContext

    store_slice, calls = batch.store_slice, []

    def upload_and_ask_again(sync: SyncContext, *args: object) -> None:
        store_slice(sync, *args)
        if not calls:
            calls.append(sync)
            fill(event, 2, start=2)
            with open_session() as session:
                assert remember_prefix(session, sync.flow_run_id, event.id, event.prefix)

    monkeypatch.setattr(batch, "store_slice", upload_and_ask_again)

    result = event.sync().result

    assert (result["total_found"], result["new_photos"], result["skipped"]) == (4, 4, 0)
    assert set(event.face_counts().values()) == {1}


def test_a_photo_replaced_after_the_listing_ends_up_as_its_newest_self(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))
    from tasks.sync import plan

    plan_prefix, calls = plan.plan_prefix, []

    def plan_then_replace(*args: object) -> object:
        tally = plan_prefix(*args)
        if not calls:
            calls.append(args)
            event.put("a.jpg", encode_jpeg(read_group()))
        return tally

    monkeypatch.setattr(plan, "plan_prefix", plan_then_replace)

    result = event.sync().result

    assert (result["total_found"], result["new_photos"]) == (1, 1)
    assert event.face_counts() == {"a.jpg": GROUP_FACES}


def test_a_photo_replaced_in_another_folder_of_the_run_is_read_anew(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.queries.runs import remember_prefix
    from models.session import open_session
    from tasks.sync import plan
    from tasks.sync.context import SyncContext

    event.put("day1/a.jpg", encode_jpeg(read_sample("astronaut.png")))
    event.put("day2/b.jpg", encode_jpeg(read_sample("astronaut.png")))
    plan_prefix, planned = plan.plan_prefix, []

    def plan_and_interfere(sync: SyncContext, request: Any, *args: object) -> object:
        tally = plan_prefix(sync, request, *args)
        planned.append(request.s3_prefix)
        if len(planned) == 1:
            with open_session() as session:
                day2 = f"{event.prefix}day2/"
                assert remember_prefix(session, sync.flow_run_id, event.id, day2)
        if len(planned) == 2:
            event.put("day2/b.jpg", encode_jpeg(read_group()))
        return tally

    monkeypatch.setattr(plan, "plan_prefix", plan_and_interfere)

    result = event.sync(f"{event.prefix}day1/").result

    assert (result["total_found"], result["new_photos"]) == (2, 2)
    assert event.face_counts() == {"day1/a.jpg": PORTRAIT_FACES, "day2/b.jpg": GROUP_FACES}


def test_a_replaced_photo_that_goes_and_returns_never_gets_the_old_ones_faces(
    event: EventBox, s3_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.sync import plan

    event.put("a.jpg", encode_jpeg(read_group()))
    event.put("b.jpg", encode_jpeg(read_sample("coffee.png")))
    event.sync()
    portrait = encode_jpeg(read_sample("astronaut.png"))
    event.put("a.jpg", portrait)
    plan_prefix = plan.plan_prefix

    def plan_then_cut(*args: object) -> object:
        tally = plan_prefix(*args)
        s3_proxy.cut.set()
        return tally

    # The new content is planned, and never read.
    with monkeypatch.context() as patch:
        patch.setattr(plan, "plan_prefix", plan_then_cut)
        assert event.sync().state.is_failed()
    s3_proxy.cut.clear()
    event.remove("a.jpg")
    assert event.sync().result["gone"] == 1
    event.put("a.jpg", portrait)

    assert event.sync().result["updated"] == 1
    assert event.face_counts()["a.jpg"] == PORTRAIT_FACES


def test_what_was_read_badly_once_is_looked_at_again_in_the_same_attempt(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the first look's answer is kept: the second is a look of its own."""
    from models.errors import S3DownloadError
    from tasks.s3.bucket import Bucket

    event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))
    event.put("b.jpg", encode_jpeg(read_sample("astronaut.png")))
    read_photo, looks = Bucket.read_photo, []

    def fail_once(bucket: Bucket, s3_key: str, *args: Any) -> bytes:
        if s3_key.endswith("b.jpg"):
            looks.append(s3_key)
            if len(looks) == 1:
                raise S3DownloadError("S3 unreachable (ReadTimeoutError).")
        return read_photo(bucket, s3_key, *args)

    monkeypatch.setattr(Bucket, "read_photo", fail_once)

    assert event.sync().result["new_photos"] == 2
    assert len(looks) == 2
    (row,) = event.query("SELECT sync_epoch FROM event WHERE id = :event")
    assert row.sync_epoch == 1


def test_a_listing_that_is_empty_takes_no_photo_away(event: EventBox) -> None:
    event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))
    event.sync()
    event.remove("a.jpg")

    result = event.sync().result

    assert (result["message"], result["gone"]) == ("No photos found in S3", 0)
    assert event.photos()["a.jpg"].status == "indexed"


def test_a_photo_that_is_stored_and_replaced_within_one_run_counts_as_new(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.queries.runs import remember_prefix
    from models.session import open_session
    from tasks.sync import batch
    from tasks.sync.context import SyncContext

    event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))
    store_slice, calls = batch.store_slice, []

    def store_and_replace(sync: SyncContext, *args: object) -> None:
        store_slice(sync, *args)
        if not calls:
            calls.append(sync)
            event.put("a.jpg", encode_jpeg(read_group()))
            with open_session() as session:
                assert remember_prefix(session, sync.flow_run_id, event.id, event.prefix)

    monkeypatch.setattr(batch, "store_slice", store_and_replace)

    result = event.sync().result

    assert (result["total_found"], result["new_photos"], result["updated"]) == (1, 1, 0)
    assert event.face_counts() == {"a.jpg": GROUP_FACES}
    monkeypatch.undo()
    event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))
    again = event.sync().result
    assert (again["new_photos"], again["updated"]) == (0, 1)


def test_no_batch_holds_photos_of_two_listings(
    event: EventBox, monkeypatch: pytest.MonkeyPatch, configure: Callable[..., None]
) -> None:
    """A small first batch makes one more than full ones: its number must be spared."""
    from models.queries.runs import remember_prefix
    from models.session import open_session
    from tasks.sync import plan
    from tasks.sync.context import ListingRequest, SyncContext

    configure(batch_size=10)
    for index in range(9):  # a batch of 8, and one of 1
        event.put(f"day1/{index}.jpg", b"no photo")
        event.put(f"day2/{index}.jpg", b"no photo")
    plan_prefix, planned = plan.plan_prefix, []

    def plan_and_ask(sync: SyncContext, request: ListingRequest, *args: object) -> object:
        tally = plan_prefix(sync, request, *args)  # type: ignore[arg-type]
        planned.append(request.s3_prefix)
        if len(planned) == 1:
            with open_session() as session:
                day2 = f"{event.prefix}day2/"
                assert remember_prefix(session, sync.flow_run_id, event.id, day2)
        return tally

    monkeypatch.setattr(plan, "plan_prefix", plan_and_ask)

    assert event.sync(f"{event.prefix}day1/").result["failed"] == 18
    mixed = event.query(
        "SELECT batch FROM photo WHERE event_id = :event GROUP BY batch"
        " HAVING count(DISTINCT s3_key LIKE '%/day1/%') > 1"
    )
    assert mixed == []
