"""Transactions that lock an event, its photos and its runs: none waits for another in a circle."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from models.errors import DatabaseUnavailableError
from models.keys import ListedPreview
from models.queries.events import lock_event
from models.queries.outcomes import check_epoch
from models.queries.packs import register_pack
from models.queries.plans import Listing, copy_listing, write_plan
from models.queries.runs import ensure_run, raise_epoch
from models.session import open_session
from tests.support.event_box import EventBox

PHOTOS, ROUNDS = 4000, 12
FAIL = "UPDATE photo SET status = 'failed', reason = 'empty' WHERE event_id = :event"


def fill(event: EventBox) -> None:
    event.query(
        "INSERT INTO photo (event_id, s3_key, etag, size, image_url, original_missing, status,"
        " reason, confidence, attempts, change, created_at, processed_at) SELECT :event,"
        f" '{event.prefix}' || to_char(number, 'FM0000') || '.jpg', 'e', 1, 'u', false, 'failed',"
        f" 'truncated', 0, 0, 'new', now(), now() FROM generate_series(1, {PHOTOS}) AS number"
        " RETURNING id"
    )


def list_photos(event: EventBox, etag: str) -> Listing:
    previews = [ListedPreview(f"{event.prefix}{i:04}.jpg", etag, 1) for i in range(PHOTOS, 0, -1)]
    return Listing(event.id, event.folder, event.prefix, [previews], [], "http://s3/photos")


def test_requeue_and_plan_at_once_end_without_a_deadlock(
    event: EventBox, joined_stack: dict[str, str]
) -> None:
    fill(event)
    run = uuid4()
    with open_session() as session:
        ensure_run(session, flow_run_id=run, event_id=event.id, s3_prefix=event.prefix)
        pack_id = register_pack(session, "deadlock@1", "MIT")

    def plan(number: int) -> None:
        with open_session() as session:
            listing = list_photos(event, f"e{number}")
            copy_listing(session, listing)
            lock_event(session, event.id)
            write_plan(session, listing, run=run, pack_ids=[pack_id], first_batch=1, batch_size=100)
            session.execute(
                text(
                    "UPDATE photo SET status = 'failed', reason = 'empty' WHERE event_id = :event"
                ),
                {"event": event.id},
            )

    def requeue(_: int) -> None:
        path = f"/api/v1/events/{event.uuid}/photos/requeue"
        answer = httpx.post(joined_stack["FACEPASS_API_URL"] + path, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text

    repeat(plan, requeue)

    assert event.query("SELECT count(*) FROM photo WHERE event_id = :event")[0][0] == PHOTOS


def repeat(*works: Callable[[int], None]) -> None:
    """Each work by a thread of its own, again and again; raises what one of them does."""

    def go_on(work: Callable[[int], None]) -> None:
        for number in range(ROUNDS):
            work(number)

    with ThreadPoolExecutor(len(works)) as threads:
        for ended in [threads.submit(go_on, work) for work in works]:
            ended.result()


def test_an_epoch_that_a_store_has_read_stands_still_until_it_ends(event: EventBox) -> None:
    with open_session() as session:
        epoch = raise_epoch(session, event.id)
    with open_session() as storing, open_session() as beside:
        check_epoch(storing, event.id, epoch)
        check_epoch(beside, event.id, epoch)  # stores share it
        with pytest.raises(DatabaseUnavailableError), open_session() as overtaking:
            overtaking.execute(text("SET LOCAL lock_timeout = '300ms'"))
            raise_epoch(overtaking, event.id)
