"""Several who want the same event, several packs, several lives of one run."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from models.errors import SyncSupersededError
from models.queries.events import lock_event
from models.queries.outcomes import check_epoch
from models.queries.runs import HEARTBEAT_LIMIT, announce_attempt, ensure_run, raise_epoch
from models.session import open_event_lock, open_session
from models.tables import SyncRun, utc_now
from models.vocabulary import SyncState
from tasks.sync import hold
from tests.support.event_box import EventBox
from tests.support.photos import encode_jpeg, read_sample
from tests.support.standin_pack import draw_markers, write_standin_pack


def portrait() -> bytes:
    return encode_jpeg(read_sample("astronaut.png"))


def add_rival(event: EventBox, state: SyncState, *, beat: bool) -> UUID:
    rival = uuid4()
    with open_session() as session:
        ensure_run(session, flow_run_id=rival, event_id=event.id, s3_prefix=event.prefix)
        run = session.get_one(SyncRun, rival)
        run.state = state
        run.heartbeat_at = utc_now() if beat else utc_now() - 2 * HEARTBEAT_LIMIT
        session.add(run)
    return rival


def read_run(flow_run_id: UUID) -> SyncRun:
    with open_session() as session:
        return session.get_one(SyncRun, flow_run_id)


def test_a_second_run_ends_as_skipped_while_the_event_is_held(event: EventBox) -> None:
    event.put("a.jpg", portrait())
    rival = add_rival(event, SyncState.RUNNING, beat=True)

    with open_event_lock(event.id) as lock:
        assert lock.try_take()
        outcome = event.sync()

    assert (outcome.state.type.value, outcome.state.name) == ("COMPLETED", "Skipped")
    run = read_run(outcome.task_id)
    assert (run.state, run.held_by) == (SyncState.SKIPPED, rival)
    assert event.photos() == {}
    assert event.sync().result["new_photos"] == 1


def test_a_run_that_waits_for_its_next_attempt_still_holds_the_event(event: EventBox) -> None:
    rival = add_rival(event, SyncState.RETRYING, beat=True)

    outcome = event.sync()

    assert outcome.state.name == "Skipped"
    assert read_run(outcome.task_id).held_by == rival


@pytest.mark.parametrize(
    ("state", "beat"), [(SyncState.RETRYING, False), (SyncState.RUNNING, True)]
)
def test_a_dead_run_is_taken_over_and_recorded_as_crashed(
    event: EventBox, monkeypatch: pytest.MonkeyPatch, state: SyncState, beat: bool
) -> None:
    # Without a heartbeat, or called running while nobody holds the lock: its process is gone.
    # The database's own age counts too, and the tests' may be seconds old.
    monkeypatch.setattr(hold, "HEARTBEAT_LIMIT", timedelta(seconds=1))
    event.put("a.jpg", portrait())
    rival = add_rival(event, state, beat=beat)

    assert event.sync().result["new_photos"] == 1

    assert read_run(rival).state == SyncState.CRASHED


def test_an_attempt_that_was_taken_over_stores_nothing(
    event: EventBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    event.put("a.jpg", portrait())
    from tasks.sync import batch

    store_slice = batch.store_slice

    def be_taken_over(*args: object) -> None:
        with open_session() as session:
            raise_epoch(session, event.id)
        store_slice(*args)

    monkeypatch.setattr(batch, "store_slice", be_taken_over)

    outcome = event.sync()

    assert outcome.state.name == "Skipped"
    assert event.face_counts() == {"a.jpg": 0}
    assert event.photos()["a.jpg"].status == "pending"


def test_an_old_epoch_is_refused(event: EventBox) -> None:
    with open_session() as session:
        epoch = raise_epoch(session, event.id)
    with open_session() as session:
        check_epoch(session, event.id, epoch)
        with pytest.raises(SyncSupersededError):
            check_epoch(session, event.id, epoch - 1)


def test_a_pending_photo_of_a_dead_run_is_done_by_the_next(event: EventBox) -> None:
    event.put("a.jpg", portrait())
    dead = uuid4()
    with open_session() as session:
        announce_attempt(
            session,
            lock_event(session, event.id),
            flow_run_id=dead,
            s3_prefix=event.prefix,
        )
    event.query(
        "INSERT INTO photo (event_id, s3_key, etag, size, image_url, original_missing, status,"
        f" confidence, attempts, change, sync_run_id, batch, created_at) VALUES (:event,"
        f" '{event.prefix}a.jpg', 'x', 1, 'x', false, 'pending', 0, 0, 'new', '{dead}', 0, now())"
        " RETURNING id"
    )

    result = event.sync().result

    assert (result["new_photos"], result["updated"]) == (1, 0)


def test_another_pack_embeds_everything_anew_and_mixes_nothing(
    event: EventBox, configure: Callable[..., None], tmp_path: Path
) -> None:
    write_standin_pack(tmp_path / "standin")
    from PIL import Image

    picture = Image.fromarray(draw_markers(640, 480, [(160, 240), (480, 240)])[:, :, ::-1])
    event.put("a.jpg", encode_jpeg(read_sample("astronaut.png")))
    event.put("b.jpg", encode_jpeg(picture, quality=95))
    assert event.sync().result["new_photos"] == 2
    configure(model_pack=tmp_path / "standin")

    result = event.sync().result

    # buffalo_l's file names, five models, no manifest of theirs, 512 dimensions: the same path.
    assert (result["new_photos"], result["updated"], result["skipped"]) == (0, 2, 0)
    assert event.face_counts()["b.jpg"] == 2
    rows = event.query(
        "SELECT DISTINCT pack.identity, vector_dims(embedding) AS dims FROM face"
        " JOIN pack ON pack.id = face.pack_id WHERE face.event_id = :event"
    )
    assert [(row.identity.split("@")[0], row.dims) for row in rows] == [("standin", 512)]
