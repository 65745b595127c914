"""Planning: list S3 once, decide in SQL what is work, write it into the ledger."""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass

from prefect import get_run_logger, task
from sqlmodel import Session

from models.keys import check_prefix, derive_original_key
from models.queries.events import lock_event, read_event
from models.queries.outcomes import check_epoch, list_pending_batches
from models.queries.plans import (
    Listing,
    Tally,
    copy_listing,
    merge_tallies,
    widen_prefix,
    write_plan,
)
from models.queries.runs import drop_requests
from models.session import open_session
from models.settings import get_settings
from models.tables import SyncRun
from tasks.s3.bucket import Bucket, get_bucket, list_s3_keys, list_s3_objects
from tasks.sync.context import Ticket


@task(name="plan_sync", task_run_name="plan {ticket.s3_prefix}", persist_result=False)
def plan_sync(ticket: Ticket) -> list[list[int]]:
    """List what has not been listed yet; returns the numbers of the batches to do, in windows.

    The run's own prefix is listed once a run, however often the run is tried again, and then
    every prefix that was asked for while the run was under way.
    """
    logger = get_run_logger()
    while (request := read_request(ticket)) is not None:
        logger.info(
            "Starting S3 sync for event_id=%d, prefix=%s", ticket.event_id, request.s3_prefix
        )
        ignored: Counter[str] = Counter()
        tally = plan_prefix(ticket, request, get_bucket(), ignored)
        logger.info("Found %d objects in S3", tally.listed)
        if ignored.total():
            logger.info("Ignored %d files that are no photos", ignored.total())
        logger.info("Found %d existing photos in database", tally.existing)
    with open_session() as session:
        batches = list_pending_batches(session, ticket.flow_run_id)
    return cut_windows(batches)


def cut_windows(batches: list[int]) -> list[list[int]]:
    """Batches that are done side by side; a run's first is done alone.

    Beside a large one its few photos would wait among those, and its faces be seen late.
    """
    alone = 1 if batches[:1] == [0] else 0
    return [window for window in (batches[:alone], batches[alone:]) if window]


@dataclass(frozen=True)
class Request:
    """A prefix to list, and the requests that were waiting when its listing began."""

    s3_prefix: str
    waiting: list[str]


def read_request(ticket: Ticket) -> Request | None:
    """The next prefix that this run has to list; None when all are in the plan."""
    with open_session() as session:
        run = session.get_one(SyncRun, ticket.flow_run_id)
        waiting = read_event(session, ticket.event_id).pending_prefixes
        if not run.planned:
            prefix = widen_prefix(run.tallies, run.s3_prefix)
        elif waiting:
            prefix = widen_prefix(run.tallies, waiting[0])
        else:
            return None
    return Request(check_prefix(prefix, ticket.event_id), waiting)


def plan_prefix(
    ticket: Ticket, request: Request, bucket: Bucket, ignored: Counter[str] | None = None
) -> Tally:
    """List one prefix and the originals beside it, and write the plan, in one transaction.

    Raises S3DownloadError or S3AccessError; then nothing of the plan is kept.
    """
    s3_prefix = request.s3_prefix
    originals_prefix = derive_original_key(s3_prefix, ticket.event_id)
    with (
        closing(list_s3_objects(bucket, s3_prefix, ignored)) as previews,
        closing(list_s3_keys(bucket, originals_prefix)) as originals,
        open_session() as session,
    ):
        listing = Listing(ticket.event_id, s3_prefix, previews, originals, bucket.public_url)
        copy_listing(session, listing)
        # From here on the transaction is short: the event's row is locked last.
        return _write(session, ticket, request, listing)


def _write(session: Session, ticket: Ticket, request: Request, listing: Listing) -> Tally:
    event = lock_event(session, ticket.event_id)
    check_epoch(session, ticket.event_id, ticket.epoch)
    run = session.get_one(SyncRun, ticket.flow_run_id, with_for_update=True)
    batch_size = get_settings().batch_size
    tally = write_plan(
        session,
        listing,
        run=ticket.flow_run_id,
        pack_id=ticket.pack_id,
        first_batch=run.batches,
        batch_size=batch_size,
    )
    drop_requests(session, event, request.waiting, request.s3_prefix)
    run.planned = True
    # One more than full batches need: the first is a small one. A number may stay unused.
    run.batches += -(-tally.planned // batch_size) + 1
    run.gone += tally.gone
    run.tallies = merge_tallies(run.tallies, listing.s3_prefix, tally)
    session.add(run)
    return tally
