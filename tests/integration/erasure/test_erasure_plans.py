"""The plan, whatever is in the ledger: erased photos rest, every listed one is counted once."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session, select

from models.keys import ListedPreview
from models.queries.packs import register_pack
from models.queries.plans import Listing, copy_listing, write_plan
from models.queries.runs import count_run
from models.session import get_database_engine
from models.tables import Photo, SyncRun
from models.vocabulary import PhotoReason, PhotoStatus, SyncState
from tasks.sync.report import build_result
from tests.support.event_box import EventBox


@dataclass(frozen=True)
class Known:
    """A row of the ledger."""

    status: PhotoStatus
    reason: PhotoReason | None
    same_etag: bool
    same_pack: bool
    own: bool  # this run's, from an earlier listing
    erased_alone: bool
    listed: bool


KNOWN = st.builds(
    Known,
    st.sampled_from(PhotoStatus),
    st.sampled_from([None, *PhotoReason]),
    *[st.booleans()] * 5,
).map(lambda row: row if row.status is PhotoStatus.ERASED else _unflag(row))
LEDGERS = st.lists(KNOWN, max_size=8)


def _unflag(row: Known) -> Known:
    return Known(**{**vars(row), "erased_alone": False})


def write_ledger(
    session: Session, event: EventBox, ledger: list[Known], run: UUID, pack_id: int
) -> list[ListedPreview]:
    """Insert the rows; what S3 lists of them."""
    listed = []
    for number, row in enumerate(ledger):
        key = f"{event.prefix}{number}.jpg"
        is_read = row.status in {PhotoStatus.INDEXED, PhotoStatus.NO_FACE}
        session.add(
            Photo(
                event_id=event.id,
                s3_key=key,
                etag="e" if row.same_etag else "old",
                size=1,
                image_url="u",
                status=row.status,
                reason=row.reason,
                confidence=0.9 if row.status is PhotoStatus.INDEXED else 0.0,
                change="new",
                pack_id=pack_id if row.same_pack and is_read else None,
                sync_run_id=run if row.own else None,
                batch=0 if row.own else None,
                erased_alone=row.erased_alone,
            )
        )
        if row.listed:
            listed.append(ListedPreview(key, "e", 1))
    session.flush()
    return listed


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(LEDGERS, st.integers(0, 3))
def test_every_listed_photo_is_counted_once_and_erased_ones_are_left_alone(
    event: EventBox, ledger: list[Known], fresh: int
) -> None:
    run = uuid4()
    with Session(get_database_engine()) as session:
        pack_id = register_pack(session, f"plan@{event.id}", "none")
        listed = write_ledger(session, event, ledger, run, pack_id)
        listed += [ListedPreview(f"{event.prefix}new{i}.jpg", "e", 1) for i in range(fresh)]
        listing = Listing(event.id, event.folder, event.prefix, [listed], [], "u")
        copy_listing(session, listing)
        tally = write_plan(
            session, listing, run=run, pack_ids=[pack_id], first_batch=0, batch_size=3
        )
        session.expire_all()

        photos = {photo.s3_key: photo for photo in event_photos(session, event)}
        alone = [f"{event.prefix}{i}.jpg" for i, row in enumerate(ledger) if row.erased_alone]
        assert {photos[key].status for key in alone} <= {PhotoStatus.ERASED}
        assert all(photos[key].etag in {"e", "old"} for key in alone)
        assert all(photos[key].confidence == 0.0 for key in alone)
        # Erased with its event is work again; its number of rows never changes.
        assert len(photos) == len(ledger) + fresh
        again = [i for i, r in enumerate(ledger) if r.status is PhotoStatus.ERASED and r.listed]
        for number in again:
            expected = "erased" if ledger[number].erased_alone else "pending"
            assert photos[f"{event.prefix}{number}.jpg"].status == expected

        # As if the run had read all its work: everything listed is in the total, once.
        for photo in photos.values():
            if photo.status == PhotoStatus.PENDING and photo.sync_run_id == run:
                photo.status = PhotoStatus.INDEXED
        session.flush()
        counts = count_run(session, run)
        record = SyncRun(
            flow_run_id=run,
            event_id=event.id,
            s3_prefix=event.prefix,
            state=SyncState.RUNNING,
            tallies={event.prefix: vars(tally)},
        )
        result = build_result(record, counts, 0.0)
        # What the run did before and S3 no longer lists under this prefix is told too, or gone.
        names = {item.s3_key for item in listed}
        unlisted = sum(
            photo.sync_run_id == run and key not in names and photo.status != PhotoStatus.GONE
            for key, photo in photos.items()
        )
        assert tally.listed == len(listed)
        assert result["total_found"] == len(listed) + unlisted
        parts = ("new_photos", "updated", "skipped", "failed")
        assert result["total_found"] == sum(result[part] for part in parts)
        session.rollback()


def event_photos(session: Session, event: EventBox) -> list[Photo]:
    """The event's rows."""
    return list(session.exec(select(Photo).where(Photo.event_id == event.id)))
