"""Erasing faces: out of the database first, then out of every result storage in use.

No window: a batch that was computing meanwhile looks, after its result was kept, whether
something was erased since it read its photos, and if so deletes what it kept. So a result is
written before the sweep, and swept; or after the erasure was committed, and deleted by its batch.
"""

import logging
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from models.errors import ErasureIncompleteError, FacePassError
from models.queries.erasures import (
    ErasedRows,
    erase_event_rows,
    erase_photo_rows,
    read_last_erasure,
)
from models.session import open_session

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ErasureReceipt:
    """What was erased; `result_storages` are the places where cached results were looked for."""

    event_id: int
    faces_erased: int
    photos_affected: int
    cached_results_erased: int
    cached_bytes: int
    syncs_stopped: int
    result_storages: list[str]
    erased_at: datetime


def erase_event_faces(
    event_id: int, *, inactive_since: datetime | None = None
) -> ErasureReceipt | None:
    """Erase every face of an event, cached ones too, and stop its syncs until it is resumed.

    With `inactive_since` only an event that has not been active since then; None for another.
    Raises EventNotFoundError, and ErasureIncompleteError where the database has forgotten the
    faces and a result storage could not be swept: asking again sweeps it.
    """
    with open_session() as session:
        rows = erase_event_rows(session, event_id, inactive_since=inactive_since)
    return None if rows is None else _finish(event_id, rows)


def erase_photo_faces(event_id: int, photo_id: int) -> ErasureReceipt:
    """Erase one photo's faces for good, and with them the event's cached results.

    A cached result holds a whole batch's faces, and which photos are in it is not written on it:
    all of the event's go, which costs time and no photo. Raises PhotoNotFoundError and
    ErasureIncompleteError.
    """
    with open_session() as session:
        rows = erase_photo_rows(session, event_id, photo_id)
    return _finish(event_id, rows)


def _finish(event_id: int, rows: ErasedRows) -> ErasureReceipt:
    try:
        counts, storages = sweep_results(event_id)
    except ErasureIncompleteError:
        raise
    except FacePassError as error:
        raise ErasureIncompleteError(
            f"The faces are erased from the database, but cached results could not be swept: "
            f"{error} Then send the same call again."
        ) from error
    receipt = ErasureReceipt(
        event_id=event_id,
        faces_erased=rows.faces,
        photos_affected=rows.photos,
        cached_results_erased=counts["deleted"],
        cached_bytes=counts["bytes"],
        syncs_stopped=rows.syncs,
        result_storages=storages,
        erased_at=rows.erased_at,
    )
    logger.info(
        "Erased %d faces of event %d, %d cached results", rows.faces, event_id, counts["deleted"]
    )
    return receipt


def sweep_results(event_id: int) -> tuple[Counter[str], list[str]]:
    """Delete an event's cached results; counts, and the storages that were swept.

    Raises ErasureIncompleteError for results that could not be deleted.
    """
    # Prefect, and a slow import: whoever erases nothing never pays for it.
    from tasks.prune import delete_event_results
    from tasks.result_storage import name_result_storages

    counts = delete_event_results(event_id)
    if counts["failed"]:
        raise ErasureIncompleteError(
            f"The faces are erased from the database, but {counts['failed']} cached results could "
            "not be deleted: the log says why; mend that, then send the same call again."
        )
    return counts, name_result_storages()


def forget_erased(event_id: int, erasure_before: datetime | None) -> None:
    """Delete the event's cached results if something was erased since `erasure_before` was read.

    For a batch, after its result was kept: this is where results are that only its worker sees.
    """
    with open_session() as session:
        erasure = read_last_erasure(session, event_id)
    if erasure != erasure_before:
        sweep_results(event_id)
        logger.info("Event %d was erased meanwhile: its cached results are deleted", event_id)
