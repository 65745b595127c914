"""The plan of a sync: S3 is listed, SQL decides what is new, and the ledger holds the batches.

The ledger is the photo table. The run's own prefix is listed once, then each prefix that was
requested while the run worked.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing

from prefect import get_run_logger, task
from sqlmodel import Session

from models.errors import SyncIncompleteError
from models.findings import list_kinds
from models.keys import check_prefix, cut_previews_folder, derive_originals_prefix
from models.packs import choose_pack
from models.queries.events import lock_event
from models.queries.outcomes import check_epoch, list_pending_batches
from models.queries.packs import keep_similarities, measure_similarities
from models.queries.photos import keep_zone
from models.queries.plans import (
    Listing,
    Tally,
    copy_listing,
    merge_tallies,
    widen_prefix,
    write_plan,
)
from models.queries.runs import drop_requests, merge_requests
from models.queries.search import find_foreign_photo
from models.session import open_session
from models.settings import get_settings
from models.tables import Event, SyncRun
from tasks.s3.bucket import Bucket, get_bucket, list_s3_keys, list_s3_objects
from tasks.sync.context import ListingRequest, SyncContext
from tasks.sync.report import close_run

MODEL_CHANGED = "The event's model was changed during the sync: the next attempt lists it anew."


def rounds(sync: SyncContext) -> Iterator[ListingRequest]:
    """What to list: the prefix that was asked for, then what was asked for while it was synced.

    Last what guests could not search beside it: photos of the event that another pack knows.
    Ends with the run's record completed, by the transaction in which no request waits any more.
    Raises SyncIncompleteError when photos are left or the event has another model by now, for the
    flow's retries.
    """
    request: ListingRequest | None = sync.request
    while request is not None:
        yield request
        with open_session() as session:
            # Ahead, not while the event's row keeps requests waiting.
            measured = measure_similarities(session, sync.event_id)
        with open_session() as session:
            # Whoever leaves a request locks this row too: it is seen here, or finds the run ended.
            event = lock_event(session, sync.event_id)
            check_epoch(session, sync.event_id, sync.epoch)
            if choose_pack(event) != sync.choice:
                raise SyncIncompleteError(MODEL_CHANGED)
            run = session.get_one(SyncRun, sync.flow_run_id)
            if event.pending_prefixes:
                request = find_request(run, event)
            else:
                request = find_foreign_request(session, run, event, sync.pack_ids)
            if request is None:
                keep_zone(session, event)
                keep_similarities(session, event, measured)
                close_run(session, run, sync.pack_ids)


def find_foreign_request(
    session: Session, run: SyncRun, event: Event, pack_ids: Sequence[int]
) -> ListingRequest | None:
    """The folder of a photo that another pack knows and that the run has not listed, if any.

    A search finds nothing in the event until all its faces are comparable, so a sync of a part
    takes the rest along. pack_ids: the packs whose vectors are.
    """
    s3_key = find_foreign_photo(session, run.event_id, pack_ids, listed=run.tallies)
    return None if s3_key is None else ListingRequest(cut_previews_folder(s3_key, event.folder))


def find_request(run: SyncRun, event: Event) -> ListingRequest:
    """The next prefix that a run has to list; the asked one once, however often it is tried.

    event: locked; what waits in it several times waits once from now on.
    """
    waiting = event.pending_prefixes = merge_requests(event.pending_prefixes)
    if not run.planned:
        return ListingRequest(widen_prefix(run.tallies, run.s3_prefix), waiting)
    if waiting:
        return ListingRequest(widen_prefix(run.tallies, waiting[0]), waiting)
    return ListingRequest(None)


@task(name="plan_new_photos", task_run_name="plan {sync.s3_prefix}", persist_result=False)
def plan_new_photos(sync: SyncContext, request: ListingRequest) -> list[int]:
    """List what is asked for, decide what is new by `s3_key`, and return the batches to do.

    With it every prefix whose request was waiting when the listing began. Raises S3DownloadError,
    S3AccessError and InvalidPrefixError.
    """
    logger = get_run_logger()
    while request.s3_prefix is not None:
        logger.info("Starting S3 sync for event_id=%d, prefix=%s", sync.event_id, request.s3_prefix)
        tally = plan_prefix(sync, request, get_bucket())
        logger.info("Found %d objects in S3", tally.listed)
        if tally.ignored:
            logger.info("Ignored files that are no photos: %s", list_kinds(tally.ignored))
        logger.info("Found %d existing photos in database", tally.existing)
        request = _read_request(sync) if request.waiting else ListingRequest(None)
    with open_session() as session:
        return list_pending_batches(session, sync.flow_run_id)


def _read_request(sync: SyncContext) -> ListingRequest:
    with open_session() as session:
        event = lock_event(session, sync.event_id)
        run = session.get_one(SyncRun, sync.flow_run_id)
        return find_request(run, event)


def plan_prefix(sync: SyncContext, request: ListingRequest, bucket: Bucket) -> Tally:
    """List one prefix and the originals beside it, and write the plan, in one transaction.

    Raises S3DownloadError or S3AccessError; then nothing of the plan is kept.
    """
    s3_prefix = check_prefix(request.s3_prefix or "", sync.folder)
    originals_prefix = derive_originals_prefix(s3_prefix, sync.folder)
    ignored = Counter[str]()
    with (
        closing(list_s3_objects(bucket, s3_prefix, ignored)) as previews,
        closing(list_s3_keys(bucket, originals_prefix)) as originals,
        open_session() as session,
    ):
        listing = Listing(
            sync.event_id, sync.folder, s3_prefix, previews, originals, bucket.public_url, ignored
        )
        copy_listing(session, listing)
        # From here on the transaction is short: the event's row is locked last.
        return _write(session, sync, request, listing)


def _write(session: Session, sync: SyncContext, request: ListingRequest, listing: Listing) -> Tally:
    event = lock_event(session, sync.event_id)
    check_epoch(session, sync.event_id, sync.epoch)
    run = session.get_one(SyncRun, sync.flow_run_id, with_for_update=True)
    batch_size = get_settings().batch_size
    tally = write_plan(
        session,
        listing,
        run=sync.flow_run_id,
        pack_ids=sync.pack_ids,
        first_batch=run.batches,
        batch_size=batch_size,
    )
    drop_requests(session, event, request.waiting, listing.s3_prefix)
    run.planned = True
    # One more than full batches need: the first is a small one. A number may stay unused.
    run.batches += -(-tally.planned // batch_size) + 1
    run.gone += tally.gone
    run.tallies = merge_tallies(run.tallies, listing.s3_prefix, tally)
    session.add(run)
    return tally
