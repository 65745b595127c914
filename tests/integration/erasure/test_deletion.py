"""Deletion of events on the real stack: what goes, what stays, what a crash leaves to do."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from models.errors import ErasureIncompleteError, EventBusyError, EventNotFoundError
from models.session import open_event_lock, open_session
from models.tables import Event, utc_now
from models.vocabulary import StoredObjects
from tasks.previews.find import OriginalRef
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_group, read_sample, vary
from tests.support.rest_api import RestApi
from tests.support.views import make_event_views
from tests.support.waiting import wait_until

TABLES = (
    "photo", "face", "sync_run", "similarity_histogram", "event_logo", "consent", "guest_request",
    "subscription", "webhook_delivery",
)  # fmt: skip


@pytest.fixture
def api(joined_stack: dict[str, str]) -> Any:
    with httpx.Client(base_url=joined_stack["FACEPASS_API_URL"], timeout=120) as client:
        yield client


def delete(api: httpx.Client, event: EventBox, objects: str | None = "delete") -> dict[str, Any]:
    answer = api.delete(
        f"/api/v1/events/{event.uuid}", params={"objects": objects} if objects else {}
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def list_keys(event: EventBox, folder: str | None = None) -> list[str]:
    pages = event.bucket.list_pages(folder or event.folder)
    return [item.s3_key for page in pages for item in page]


def count_rows(event: EventBox) -> int:
    counts = " + ".join(f"(SELECT count(*) FROM {t} WHERE event_id = :event)" for t in TABLES)
    found: int = event.query(f"SELECT {counts} + (SELECT count(*) FROM event WHERE id = :event)")[
        0
    ][0]
    return found


def fill(event: EventBox, count: int = 3) -> None:
    for index in range(count):
        event.put(f"{index}.jpg", vary(read_sample("astronaut.png"), index))


def test_an_event_goes_with_its_photos_and_its_neighbours_stay(
    make_event: Callable[..., EventBox], api: httpx.Client
) -> None:
    event, own = make_event("Свадьба"), make_event("Юбилей", f"made/{uuid4()}/previews/")
    # Another event whose folder begins with the same letters, and objects of nobody's.
    neighbour = make_event("Рядом", f"{own.folder.rstrip('/')}-2/previews/")
    for box in (event, own, neighbour):
        fill(box)
        assert box.sync().result["new_photos"] == 3
        make_event_views(box.id, box.folder)
    stray = own.folder.rstrip("/") + ".txt"
    event.bucket.client.put_object(Bucket=event.bucket.name, Key=stray, Body=b"nobody's")
    event.put("счёт.pdf", b"%PDF", original=False)
    before = list_keys(neighbour)

    receipt = delete(api, event)

    assert (receipt["event_id"], receipt["folder"]) == (event.id, event.folder)
    assert (receipt["objects"], receipt["photos_deleted"]) == ("delete", 3)
    assert (receipt["faces_erased"], receipt["photos_affected"]) == (3, 3)
    assert receipt["views_erased"] == 9
    assert receipt["objects_deleted"] == 7  # previews, originals, and what was no photo
    assert receipt["bytes_deleted"] > 0
    assert list_keys(event) == []
    assert count_rows(event) == 0
    again = api.delete(f"/api/v1/events/{event.uuid}")
    refusal = {"detail": "Event not found", "code": "event_not_found"}
    assert (again.status_code, again.json()) == (404, refusal)

    assert delete(api, own)["objects_deleted"] == 6
    assert list_keys(own) == []
    assert list_keys(neighbour) == before
    assert list_keys(own, stray) == [stray]
    assert neighbour.face_counts() == {f"{i}.jpg": 1 for i in range(3)}
    assert api.get(f"/api/v1/events/{neighbour.uuid}").json()["faces"] == 3


def test_what_a_receiver_has_not_heard_yet_outlives_the_event(
    event: EventBox, api: httpx.Client
) -> None:
    fill(event, 1)
    event.sync()
    told = uuid4()
    with open_session() as session:
        for run, due in ((told, utc_now() + timedelta(days=1)), (uuid4(), None)):
            session.execute(
                text(
                    "INSERT INTO webhook_delivery (event_id, flow_run_id, payload, attempts, "
                    "created_at, next_try_at) VALUES (:event, :run, '{}', 0, now(), :due)"
                ),
                {"event": event.id, "run": run, "due": due},
            )

    delete(api, event)

    assert count_rows(event) == 0
    kept = event.query("SELECT flow_run_id FROM webhook_delivery WHERE event_id IS NULL")
    assert kept == [(told,)]
    with open_session() as session:
        session.execute(text("DELETE FROM webhook_delivery WHERE event_id IS NULL"))


def test_its_photos_stay_in_s3_unless_asked_and_can_be_taken_up_again(
    event: EventBox, api: httpx.Client
) -> None:
    fill(event)
    event.sync()
    make_event_views(event.id)

    receipt = delete(api, event, objects=None)

    assert (receipt["objects"], receipt["objects_deleted"]) == ("keep", 0)
    assert receipt["views_erased"] == 9
    assert len(list_keys(event)) == 6
    assert count_rows(event) == 0
    body = {"name": "Снова", "event_id": event.id, "event_uuid": str(event.uuid)}
    assert api.post("/api/v1/events", json=body).status_code == 201
    assert event.sync().result["new_photos"] == 3


def test_a_running_sync_ends_and_leaves_nothing(
    event: EventBox, api: httpx.Client, rest: RestApi, prefect: httpx.Client
) -> None:
    for index in range(60):
        event.put(f"{index:02}.jpg", vary(read_group(), index))
    task_id = rest.start_sync(event)
    wait_until(lambda: sum(event.face_counts().values()) > 0)

    receipt = delete(api, event)

    assert receipt["syncs_stopped"] == 1
    assert receipt["photos_deleted"] == 60
    wait_until(
        lambda: prefect.get(f"/flow_runs/{task_id}").json()["state"]["type"] == "CANCELLED", 60
    )
    assert prefect.get(f"/flow_runs/{task_id}").json()["run_count"] == 1
    assert count_rows(event) == 0
    assert list_keys(event) == []
    assert event.query("SELECT 1 FROM face WHERE event_id = :event") == []


def test_a_deletion_that_broke_off_anywhere_is_ended_by_the_next_call(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.errors import S3DownloadError
    from tasks.results import deletion

    fill(event)
    event.sync()
    deleted: list[str] = []

    def break_off(bucket: Any, key: str) -> None:
        if len(deleted) == 2:
            raise S3DownloadError("S3 unreachable.")
        deleted.append(key)
        bucket.client.delete_object(Bucket=bucket.name, Key=key)

    with monkeypatch.context() as patch, pytest.raises(ErasureIncompleteError, match="same call"):
        patch.setattr(deletion, "DELETED_AT_A_TIME", 1)
        patch.setattr(deletion, "delete_object", break_off)
        deletion.delete_event(event.id, StoredObjects.DELETE)
    assert len(list_keys(event)) == 4
    assert set(event.face_counts().values()) == {0}
    # The process dies before the row is gone, or its transaction is.
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(deletion, "delete_event_row", raise_runtime_error)
        deletion.delete_event(event.id, StoredObjects.DELETE)
    assert list_keys(event) == []
    assert len(event.photos()) == 3

    receipt = deletion.delete_event(event.id, StoredObjects.DELETE)

    assert (receipt.objects_deleted, receipt.photos_deleted) == (0, 3)
    assert count_rows(event) == 0
    with pytest.raises(EventNotFoundError):
        deletion.delete_event(event.id, StoredObjects.DELETE)


def raise_runtime_error(*_: object) -> int:
    raise RuntimeError


def test_an_event_that_is_resumed_meanwhile_is_kept(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.queries.erasures import resume_event
    from tasks.results import deletion

    fill(event)
    delete_folder = deletion.delete_folder

    def resume(bucket: Any, folder: str) -> tuple[int, int]:
        found = delete_folder(bucket, folder)
        if found[0]:
            with open_session() as session:
                resume_event(session, event.id)
        return found

    monkeypatch.setattr(deletion, "delete_folder", resume)
    with pytest.raises(EventBusyError, match="resumed while it was deleted"):
        deletion.delete_event(event.id, StoredObjects.DELETE)
    assert count_rows(event) == 1


def test_a_process_that_stands_still_does_not_keep_the_event(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.results import deletion

    monkeypatch.setattr(deletion, "PATIENCE", 1)
    monkeypatch.setattr(deletion, "LOCK_PAUSE_S", 0.1)
    with open_event_lock(event.id) as lock:
        assert lock.try_take()
        deletion.delete_event(event.id, StoredObjects.KEEP)
    assert count_rows(event) == 0


def test_previews_and_views_that_are_put_behind_a_deletion_are_taken_back(
    event: EventBox, make_event: Callable[..., EventBox], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.images.preview import PreviewRecipe
    from tasks.previews import job
    from tasks.results.deletion import delete_event
    from tasks.views import job as views
    from tasks.views.find import list_work

    # A batch that reads its original, is overtaken by the deletion, and puts its preview.
    content = encode_jpeg(read_sample("astronaut.png"))
    key = f"{event.folder}originals/a.jpg"
    event.bucket.client.put_object(Bucket=event.bucket.name, Key=key, Body=content)
    etag = event.bucket.read_head(key)["ETag"].strip('"')
    original = OriginalRef(key, etag, len(content), f"{event.prefix}a.jpg")
    bring_preview = job.bring_preview

    def be_overtaken(*args: Any) -> Any:
        outcome = bring_preview(*args)
        delete_event(event.id, StoredObjects.KEEP)
        return outcome

    with monkeypatch.context() as patch, pytest.raises(EventNotFoundError):
        patch.setattr(job, "bring_preview", be_overtaken)
        job.make_preview_batch.fn(job.PreviewBatch(0, event.id, [original]), PreviewRecipe(640))
    assert list_keys(event) == [key]

    other = make_event()
    fill(other)
    other.sync()
    (photos,) = list_work(other.id, 10)
    delete_event(other.id, StoredObjects.DELETE)
    for index in range(3):
        other.put(f"{index}.jpg", vary(read_sample("astronaut.png"), index))
    with pytest.raises(EventNotFoundError):
        views.bring_batch(other.bucket, views.ViewBatch(0, other.id, other.folder, photos))
    assert not [k for k in list_keys(other) if "/views/" in k or "/thumbs/" in k]


def test_a_result_kept_behind_a_deletion_is_deleted_too(event: EventBox) -> None:
    from tasks.results import erasure

    swept: list[int] = []
    with open_session() as session:
        key = session.get_one(Event, event.id).result_key
        session.execute(text("DELETE FROM event WHERE id = :id"), {"id": event.id})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(erasure, "sweep_results", swept.append)
        erasure.forget_erased(event.id, key)
    assert swept == [event.id]


@pytest.mark.parametrize(
    ("setting", "own", "kept"),
    [(None, None, True), (None, 10, False), (30, None, True), (30, 10, False), (5, 20, True)],
)
def test_an_events_own_retention_goes_before_the_settings(
    event: EventBox,
    api: httpx.Client,
    configure: Callable[..., None],
    setting: int | None,
    own: int | None,
    kept: bool,
) -> None:
    from flows.erase_expired import erase_expired

    fill(event, 1)
    event.sync()
    answer = api.patch(f"/api/v1/events/{event.uuid}", json={"retention_days": own})
    assert answer.status_code == 200, answer.text
    assert api.get(f"/api/v1/events/{event.uuid}").json()["retention_days"] == own
    with open_session() as session:
        session.get_one(Event, event.id).active_until = utc_now() - timedelta(days=12)
    if setting is not None:
        configure(retention_days=setting)

    erase_expired(return_state=True)

    assert event.face_counts() == {"0.jpg": int(kept)}
