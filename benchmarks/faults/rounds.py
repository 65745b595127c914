"""One round: syncs disturbed by a few faults, everything plugged in again, recovery, audit."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.faults.audit import (
    Finding,
    Reference,
    audit_photos,
    audit_quiet,
    audit_rerun,
    audit_result,
)
from benchmarks.faults.deck import EVENTS
from benchmarks.faults.kinds import TWO_SYNCS, Fault, Moment
from benchmarks.faults.ledger import read_keys, read_photos, read_unfinished
from benchmarks.faults.mending import mend
from benchmarks.faults.photographer import EventCase, Photographer
from benchmarks.faults.scene import Scene
from benchmarks.job import OVER
from benchmarks.s3_client import open_client

PACE_S = 0.1  # between two photos, so that syncs last long enough to be disturbed
PAUSE_S = (0.0, 2.0)  # before each fault
START_LIMIT_S = 60.0
# A run whose processes all died is closed within a minute; then come queue, start and retries.
OVER_LIMIT_S = 150.0
QUIET_LIMIT_S = 75.0
ASKED_AT_MOST = 4


class Outcome(StrEnum):
    """How a disturbed event came to be complete."""

    BY_ITSELF = "healed by itself"
    BY_NEXT_SYNC = "by the next sync"
    NOT = "NOT HEALED"


@dataclass
class RoundReport:
    """What a round did, and what it found."""

    hit: list[tuple[Fault, Outcome]] = field(default_factory=list)
    missed: list[Fault] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


class Round:
    """Two events, disturbed and looked after."""

    def __init__(
        self,
        scene: Scene,
        photographer: Photographer,
        reference: Reference,
        chance: random.Random,
    ) -> None:
        self._scene = scene
        self._photographer = photographer
        self._reference = reference
        self._chance = chance

    def run(self, faults: Sequence[Fault]) -> RoundReport:
        """Raises StackError when a part does not come back."""
        report = RoundReport()
        own = [fault for fault in faults if fault.is_own]
        cases = [self._photographer.add_event(f"Свадьба {number}") for number in range(EVENTS)]
        owners = dict(zip(own, cases, strict=False))
        self._scene.proxy.pace_s = PACE_S
        struck = self._start(cases, owners, report)
        self._wait_for_work(cases)
        for fault in faults:
            if fault.name != TWO_SYNCS:
                self._strike(fault, owners.get(fault), cases, struck, report)
        self._scene.proxy.pace_s = 0.0
        for death in mend(self._scene):
            report.findings.append(Finding("stuck", death))
        outcomes = {case.event_id: self._recover(case, report) for case in cases}
        self._audit(cases, report)
        worst = max(outcomes.values(), key=list(Outcome).index)
        for fault in struck:
            owner = owners.get(fault)
            report.hit.append((fault, outcomes[owner.event_id] if owner else worst))
        report.remarks += [complaint for case in cases for complaint in case.complaints]
        return report

    def _start(
        self, cases: Sequence[EventCase], owners: dict[Fault, EventCase], report: RoundReport
    ) -> list[Fault]:
        struck = []
        pairs = {owner.event_id: fault for fault, owner in owners.items()}
        for case in cases:
            fault = pairs.get(case.event_id)
            if fault is None or fault.name != TWO_SYNCS:
                self._photographer.start(case)
                continue
            if len(set(self._photographer.start_twice(case))) > 1:
                report.findings.append(Finding("doubled", "two runs of one event were started"))
            struck.append(fault)
        return struck

    def _wait_for_work(self, cases: Sequence[EventCase]) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            if any(self._photographer.look(case)["state"] == "running" for case in cases):
                return
            time.sleep(0.2)

    def _strike(
        self,
        fault: Fault,
        owner: EventCase | None,
        cases: Sequence[EventCase],
        struck: list[Fault],
        report: RoundReport,
    ) -> None:
        time.sleep(self._chance.uniform(*PAUSE_S))
        running = [case for case in cases if self._is_running(case)]
        victim = owner or (self._chance.choice(running) if running else None)
        hit = False
        if victim is not None and victim in running:
            try:
                hit = fault.inject(Moment(self._scene, victim, cases, self._chance))
            except (SQLAlchemyError, httpx.HTTPError) as error:
                report.remarks.append(f"{fault.name} missed: {type(error).__name__}")
        (struck if hit else report.missed).append(fault)

    def _is_running(self, case: EventCase) -> bool:
        return self._photographer.look(case)["state"] not in OVER

    def _recover(self, case: EventCase, report: RoundReport) -> Outcome:
        """Wait, and ask again until a sync completes; then once more, which must change nothing."""
        for asked in range(ASKED_AT_MOST):
            status = self._photographer.wait_until_over(case, OVER_LIMIT_S)
            if status["state"] == "completed":
                report.findings += audit_result(self._reference, status["result"])
                report.findings += self._rerun(case)
                return Outcome.BY_NEXT_SYNC if asked else Outcome.BY_ITSELF
            report.remarks.append(f"{case.task_id} {status['state']}: {status['detail']}")
            if status["state"] not in OVER:
                break
            self._photographer.start(case)
        report.findings.append(Finding("stuck", f"event {case.event_id} does not complete"))
        return Outcome.NOT

    def _rerun(self, case: EventCase) -> list[Finding]:
        self._photographer.start(case)
        status = self._photographer.wait_until_over(case, OVER_LIMIT_S)
        if status["state"] != "completed":
            return [Finding("stuck", f"a rerun ended as {status['state']}: {status['detail']}")]
        return audit_rerun(self._reference, status["result"])

    def _audit(self, cases: Sequence[EventCase], report: RoundReport) -> None:
        scene = self._scene
        for case in cases:
            photos = read_photos(scene.database, case.event_id, case.s3_prefix)
            report.findings += audit_photos(self._reference, list_keys(scene, case), photos)
        for unfinished in wait_for_quiet(scene, [case.event_id for case in cases]).values():
            report.findings += audit_quiet(unfinished)


def list_keys(scene: Scene, case: EventCase) -> list[str]:
    """Names of an event's previews in S3."""
    environment = scene.stack.environment
    client = open_client(environment)
    return read_keys(client, environment["FACEPASS_S3_BUCKET"], case.s3_prefix)


def wait_for_quiet(scene: Scene, event_ids: Sequence[int]) -> dict[int, list[str]]:
    """What still holds the events after as long as the product says a dead run may."""
    deadline = time.monotonic() + QUIET_LIMIT_S
    while True:
        unfinished = read_unfinished(scene.database, scene.prefect, event_ids)
        if not any(unfinished.values()) or time.monotonic() > deadline:
            return unfinished
        time.sleep(0.5)


def take_reference(
    scene: Scene, photographer: Photographer, report: Callable[[str], None]
) -> Reference:
    """An undisturbed sync of the same bytes."""
    case = photographer.add_event("an undisturbed event")
    photographer.start(case)
    status: dict[str, Any] = photographer.wait_until_over(case, OVER_LIMIT_S)
    if status["state"] != "completed":
        raise AssertionError(f"the undisturbed sync ended as {status['state']}: {status['detail']}")
    photos = read_photos(scene.database, case.event_id, case.s3_prefix)
    report(f"Undisturbed: {status['result']['message']}, {status['result']['faces_found']} faces")
    return Reference({photo.name: photo for photo in photos}, status["result"])
