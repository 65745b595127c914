"""One batch: embed what is pending, store it. Storing is never cached and never skipped."""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any

from prefect import get_run_logger, task
from prefect.futures import PrefectFuture, wait
from prefect.transactions import CommitMode, transaction

from models.errors import FacePassError, S3DownloadError, SyncSupersededError
from models.outcomes import (
    FaceRecord,
    PhotoOutcome,
    PhotoRef,
    check_epoch,
    count_attempts,
    list_pending_photos,
    store_outcomes,
)
from models.runs import remember_prefix
from models.session import open_session
from tasks.artifacts import report_progress
from tasks.embed import process_face_embedding
from tasks.faces import CHANGED, UNREACHABLE, PhotoFaces, unpack_faces
from tasks.ticket import Ticket

# Photos a transaction, and photos a line of the log.
STORE_SLICE = 10
# Looks at a batch before its unreachable photos are left to the flow's retries. The second is
# also what makes a cached "unreachable" of an earlier run worth nothing.
ROUNDS = 2


@task(name="sync_batch", task_run_name="batch {number}", persist_result=False)
def sync_batch(number: int, ticket: Ticket) -> dict[str, int]:
    """Bring one batch of the plan into the database; returns counts by verdict.

    May run any number of times: what is stored is no longer pending. Raises S3DownloadError when
    some photos could not be fetched; the others are stored by then.
    """
    counts: Counter[str] = Counter()
    for _ in range(ROUNDS):
        verdicts = sync_pending(number, ticket)
        counts += verdicts
        if not verdicts[UNREACHABLE]:
            break
    report_progress(ticket)
    if verdicts[CHANGED]:
        request_another_look(ticket)
    if verdicts[UNREACHABLE]:
        raise S3DownloadError(f"S3 unreachable: {verdicts[UNREACHABLE]} photos could not be read.")
    return dict(counts)


def sync_pending(number: int, ticket: Ticket) -> Counter[str]:
    """Embed and store what a batch still has to do; counts by verdict."""
    with open_session() as session:
        photos = list_pending_photos(session, ticket.flow_run_id, number)
    if not photos:
        return Counter()
    # EAGER: the embeddings are in result storage before anything is stored, so that a process
    # that dies in between computes nothing again.
    with transaction(commit_mode=CommitMode.EAGER):
        product = process_face_embedding(photos, ticket.pack, ticket.event_id)
    found = list(zip(photos, unpack_faces(product), strict=True))
    for i in range(0, len(found), STORE_SLICE):
        store_slice(ticket, found[i : i + STORE_SLICE], get_run_logger())
    return Counter(faces.verdict or "indexed" for _, faces in found)


def store_slice(
    ticket: Ticket,
    found: Sequence[tuple[PhotoRef, PhotoFaces]],
    logger: "logging.Logger | logging.LoggerAdapter[Any]",
) -> None:
    """Store a few photos' outcomes in one transaction, and log every tenth photo of the run.

    Raises SyncSupersededError when a newer attempt has taken the event over.
    """
    outcomes = [_build_outcome(photo, faces) for photo, faces in found if faces.is_final]
    waiting = [photo.s3_key for photo, faces in found if not faces.is_final]
    with open_session() as session:
        check_epoch(session, ticket.event_id, ticket.epoch)
        before, after = store_outcomes(
            session,
            outcomes,
            event_id=ticket.event_id,
            run=ticket.flow_run_id,
            pack_id=ticket.pack_id,
        )
        count_attempts(session, waiting, event_id=ticket.event_id, run=ticket.flow_run_id)
    for count in range(before + 1, after + 1):
        if count % STORE_SLICE == 0:
            logger.info("Processed %d new photos...", count)


def request_another_look(ticket: Ticket) -> None:
    """Have this run list its prefix again: a photo was replaced after the listing."""
    with open_session() as session:
        remember_prefix(session, ticket.flow_run_id, ticket.event_id, ticket.s3_prefix)


def wait_for_batches(futures: Sequence[PrefectFuture[Any]]) -> list[Exception]:
    """Wait until every batch of a window has ended; returns the errors of those that failed.

    One failed batch does not stop the others. A window in which all failed does: its error is
    raised, so that an outage is not met batch by batch.
    """
    wait(list(futures))
    results = [future.result(raise_on_failure=False) for future in futures]
    errors = [result for result in results if isinstance(result, Exception)]
    for error in errors:
        if isinstance(error, SyncSupersededError):
            raise error
    if errors and len(errors) == len(results):
        raise errors[0]
    return errors


def raise_first(errors: Sequence[Exception]) -> None:
    """Fail the attempt with the clearest of its batches' errors, if there is any."""
    for error in sorted(errors, key=lambda error: not isinstance(error, FacePassError)):
        raise error


def _build_outcome(photo: PhotoRef, faces: PhotoFaces) -> PhotoOutcome:
    if faces.faces is None:
        return PhotoOutcome(photo.s3_key, (), faces.reason)
    detected = faces.faces
    records = [
        FaceRecord((x1, y1, x2, y2), score, vector)
        for (x1, y1, x2, y2), score, vector in zip(
            detected.boxes.tolist(),
            detected.scores.tolist(),
            detected.embeddings.tolist(),
            strict=True,
        )
    ]
    return PhotoOutcome(photo.s3_key, records, None)
