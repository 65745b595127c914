"""The recovery after a round's faults: syncs until one completes, one more, and the audit."""

import time
from collections.abc import Callable, Sequence
from enum import StrEnum

from benchmarks.engine.job import OVER
from benchmarks.faults.audit import (
    Finding,
    Reference,
    audit_photos,
    audit_quiet,
    audit_rerun,
    audit_result,
)
from benchmarks.faults.ledger import read_keys, read_photos, read_unfinished
from benchmarks.faults.photographer import EventCase, Photographer
from benchmarks.faults.scene import Scene
from benchmarks.s3_client import open_client
from models.errors import StackError

# A run whose processes all died is closed within a minute, or after five if it had not begun; then
# come queue, start and retries.
OVER_LIMIT_S = 390.0
QUIET_LIMIT_S = 100.0
ASKED_AT_MOST = 4


class Outcome(StrEnum):
    """How a disturbed event came to be complete."""

    BY_ITSELF = "healed by itself"
    BY_NEXT_SYNC = "by the next sync"
    NOT = "NOT HEALED"


def recover(
    photographer: Photographer, case: EventCase, reference: Reference, say: Callable[[str], None]
) -> tuple[Outcome, list[Finding]]:
    """Wait, and ask again until a sync completes; then once more, which must change nothing."""
    for _ in range(ASKED_AT_MOST):
        status = photographer.wait_until_over(case, OVER_LIMIT_S)
        if status["state"] == "completed":
            outcome = Outcome.BY_ITSELF if case.asked == 1 else Outcome.BY_NEXT_SYNC
            found = audit_result(reference, status["result"])
            return outcome, found + _rerun(photographer, case, reference)
        say(f"{case.task_id} {status['state']}: {status['detail']}")
        if status["state"] not in OVER:
            break
        photographer.start(case)
    return Outcome.NOT, [Finding("stuck", f"event {case.event_id} does not complete")]


def _rerun(photographer: Photographer, case: EventCase, reference: Reference) -> list[Finding]:
    photographer.start(case)
    status = photographer.wait_until_over(case, OVER_LIMIT_S)
    if status["state"] != "completed":
        return [Finding("stuck", f"a rerun ended as {status['state']}: {status['detail']}")]
    return audit_rerun(reference, status["result"])


def audit_events(
    scene: Scene, cases: Sequence[EventCase], reference: Reference, quiet_s: float = QUIET_LIMIT_S
) -> list[Finding]:
    """Hold what the events have against the reference, and see that nothing of them runs on."""
    found: list[Finding] = []
    environment = scene.stack.environment
    client, bucket = open_client(environment), environment["FACEPASS_S3_BUCKET"]
    for case in cases:
        keys = read_keys(client, bucket, case.s3_prefix)
        photos = read_photos(scene.database, case.event_id, case.s3_prefix)
        found += audit_photos(reference, keys, photos)
    for unfinished in wait_for_quiet(scene, [case.event_id for case in cases], quiet_s).values():
        found += audit_quiet(unfinished)
    return found


def wait_for_quiet(scene: Scene, event_ids: Sequence[int], limit_s: float) -> dict[int, list[str]]:
    """What still holds the events after as long as the product says a dead run may."""
    deadline = time.monotonic() + limit_s
    while True:
        unfinished = read_unfinished(scene.database, scene.prefect, event_ids)
        if not any(unfinished.values()) or time.monotonic() > deadline:
            return unfinished
        time.sleep(0.5)


def take_reference(
    scene: Scene, photographer: Photographer, say: Callable[[str], None]
) -> Reference:
    """An undisturbed sync of the same bytes. Raises StackError when even that one fails."""
    case = photographer.add_event("an undisturbed event")
    photographer.start(case)
    status = photographer.wait_until_over(case, OVER_LIMIT_S)
    if status["state"] != "completed":
        raise StackError(f"The undisturbed sync ended as {status['state']}: {status['detail']}")
    photos = read_photos(scene.database, case.event_id, case.s3_prefix)
    say(f"Undisturbed: {status['result']['message']}, {status['result']['faces_found']} faces")
    return Reference({photo.name: photo for photo in photos}, status["result"])
