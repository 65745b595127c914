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
from benchmarks.faults.guests import PEOPLE, Guest
from benchmarks.faults.ledger import read_keys, read_mixtures, read_photos, read_unfinished
from benchmarks.faults.photographer import USUAL_PROFILE, EventCase, Photographer
from benchmarks.faults.scene import Scene
from benchmarks.faults.visiting import audit_galleries
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


class References:
    """Undisturbed syncs of the same bytes, one a profile, made when they are needed."""

    def __init__(
        self, scene: Scene, photographer: Photographer, say: Callable[[str], None]
    ) -> None:
        self._known: dict[str, Reference] = {}
        self._scene, self._photographer, self._say = scene, photographer, say

    def find(self, profile: str = USUAL_PROFILE) -> Reference:
        """The profile's. Raises StackError when even that sync fails."""
        if profile not in self._known:
            found = take_reference(self._scene, self._photographer, self._say, profile)
            self._known[profile] = found
        return self._known[profile]

    def find_for(self, case: EventCase) -> Reference:
        """The one to hold an event against, by the profile that it has now."""
        return self.find(self._photographer.read_profile(case))


def recover(
    scene: Scene,
    photographer: Photographer,
    case: EventCase,
    references: References,
    say: Callable[[str], None],
) -> tuple[Outcome, list[Finding]]:
    """Wait, and ask again until a sync completes; then once more, which must change nothing."""
    for _ in range(ASKED_AT_MOST):
        status = photographer.wait_until_over(case, OVER_LIMIT_S)
        if status["state"] == "completed":
            outcome = Outcome.BY_ITSELF if case.asked == 1 else Outcome.BY_NEXT_SYNC
            reference = references.find_for(case)
            found = audit_result(reference, status["result"])
            found += _audit_healing(scene, case, reference)
            return outcome, found + _rerun(photographer, case, reference)
        say(f"{case.task_id} {status['state']}: {status['detail']}")
        if status["state"] not in OVER:
            break
        photographer.start(case)
    return Outcome.NOT, [Finding("stuck", f"event {case.event_id} does not complete")]


def _audit_healing(scene: Scene, case: EventCase, reference: Reference) -> list[Finding]:
    """Before anybody asks for one more sync: all photos are of one pack, and guests find them."""
    mixtures = read_mixtures(scene.database, case.event_id)
    found = [Finding("lost", f"event {case.event_id}: {sentence}") for sentence in mixtures]
    return found + audit_galleries(scene, case, reference)


def _rerun(photographer: Photographer, case: EventCase, reference: Reference) -> list[Finding]:
    photographer.start(case)
    status = photographer.wait_until_over(case, OVER_LIMIT_S)
    if status["state"] != "completed":
        return [Finding("stuck", f"a rerun ended as {status['state']}: {status['detail']}")]
    return audit_rerun(reference, status["result"])


def audit_events(
    scene: Scene,
    cases: Sequence[EventCase],
    references: References,
    quiet_s: float = QUIET_LIMIT_S,
) -> list[Finding]:
    """Hold what the events have against the reference, and see that nothing of them runs on."""
    found: list[Finding] = []
    environment = scene.stack.environment
    client, bucket = open_client(environment), environment["FACEPASS_S3_BUCKET"]
    for case in cases:
        keys = read_keys(client, bucket, case.s3_prefix)
        photos = read_photos(scene.database, case.event_id, case.s3_prefix)
        found += audit_photos(references.find_for(case), keys, photos)
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
    scene: Scene, photographer: Photographer, say: Callable[[str], None], profile: str
) -> Reference:
    """An undisturbed sync of the same bytes. Raises StackError when even that one fails."""
    case = photographer.add_event(f"an undisturbed event, {profile}", profile)
    photographer.start(case)
    status = photographer.wait_until_over(case, OVER_LIMIT_S)
    if status["state"] != "completed":
        raise StackError(f"The undisturbed sync ended as {status['state']}: {status['detail']}")
    photos = read_photos(scene.database, case.event_id, case.s3_prefix)
    guest = Guest(scene.api_urls[0], case)
    found = {person: guest.search(person) for person in PEOPLE}
    counts = ", ".join(str(len(keys or ())) for keys in found.values())
    message, faces = status["result"]["message"], status["result"]["faces_found"]
    say(f"Undisturbed: {message}, {faces} faces; searches find {counts} photos")
    return Reference(
        case,
        {photo.name: photo for photo in photos},
        status["result"],
        shown={photo.name for photo in photos if photo.status in {"indexed", "no_face"}},
        found={
            person: {key.removeprefix(case.s3_prefix) for key in keys or ()}
            for person, keys in found.items()
        },
    )
