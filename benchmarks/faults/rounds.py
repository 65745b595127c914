"""One round: syncs disturbed by a few faults, everything plugged in again, recovery, audit."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.engine.job import OVER
from benchmarks.faults.audit import Finding, audit_deadlocks
from benchmarks.faults.deck import EVENTS
from benchmarks.faults.killing import thaw_flows
from benchmarks.faults.kinds import TWO_SYNCS, Fault
from benchmarks.faults.ledger import count_deadlocks
from benchmarks.faults.mending import mend
from benchmarks.faults.moment import Moment
from benchmarks.faults.photographer import EventCase, Photographer
from benchmarks.faults.recovery import Outcome, References, audit_events, recover
from benchmarks.faults.scene import Scene

PACE_S = 0.1  # between two photos, so that syncs last long enough to be disturbed
PAUSE_S = (0.0, 2.0)  # before each fault
START_LIMIT_S = 60.0


@dataclass
class RoundReport:
    """What a round did, and what it found."""

    hit: list[tuple[Fault, Outcome]] = field(default_factory=list)
    missed: list[Fault] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


class Round:
    """A few events, disturbed and looked after."""

    def __init__(
        self,
        scene: Scene,
        photographer: Photographer,
        references: References,
        chance: random.Random,
    ) -> None:
        self.report = RoundReport()
        self._scene = scene
        self._photographer = photographer
        self._references = references
        self._chance = chance
        self._cases: list[EventCase] = []
        self._struck: list[tuple[Fault, EventCase]] = []  # and whose sync was known to be running

    def run(self, faults: Sequence[Fault]) -> RoundReport:
        """Raises StackError when a part does not come back."""
        self._scene.proxy.pace_s = PACE_S
        deadlocks = count_deadlocks(self._scene.database)
        pairs = [fault for fault in faults if fault.name == TWO_SYNCS]
        for number in range(EVENTS):
            self._begin_event(pairs[number] if number < len(pairs) else None)
        self._wait_for_work(self._cases)
        others = [fault for fault in faults if fault.name != TWO_SYNCS]
        for fault in sorted(others, key=lambda fault: fault.is_last):
            self._strike(fault)
        self._scene.proxy.pace_s = 0.0
        self.report.findings += [Finding("stuck", death) for death in mend(self._scene)]
        self._look_after()
        after = count_deadlocks(self._scene.database)
        self.report.findings += audit_deadlocks(deadlocks, after)
        return self.report

    def _begin_event(self, pair: Fault | None = None) -> EventCase:
        """Upload to a new event and ask for its sync: once, or twice at the same instant."""
        case = self._photographer.add_event(f"Свадьба {len(self._cases)}")
        self._cases.append(case)
        if pair is None:
            self._photographer.start(case)
            return case
        if len(set(self._photographer.start_twice(case))) > 1:
            self.report.findings.append(Finding("doubled", "two runs of one event were started"))
        self._struck.append((pair, case))
        return case

    def _wait_for_work(self, cases: Sequence[EventCase]) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            if any(self._photographer.look(case)["state"] == "running" for case in cases):
                return
            time.sleep(0.2)

    def _strike(self, fault: Fault) -> None:
        """Inject at a random moment of a running sync; one that died before is begun again."""
        victim = self._find_victim()
        time.sleep(self._chance.uniform(*PAUSE_S))
        hit = False
        if self._photographer.look(victim)["state"] not in OVER:
            moment = Moment(
                self._scene,
                self._photographer,
                victim,
                self._cases,
                self._references.find(),
                self._chance,
                self.report.findings,
            )
            try:
                hit = fault.inject(moment)
            except (SQLAlchemyError, httpx.HTTPError) as error:
                self.report.remarks.append(f"{fault.name}: {type(error).__name__}")
        if hit:
            self._struck.append((fault, victim))
        else:
            state = self._photographer.look(victim)["state"]
            self.report.remarks.append(f"{fault.name} missed; the sync is {state}")
            self.report.missed.append(fault)

    def _find_victim(self) -> EventCase:
        states = {case.event_id: self._photographer.look(case)["state"] for case in self._cases}
        running = [case for case in self._cases if states[case.event_id] not in OVER]
        if running:
            return self._chance.choice(running)
        dead = [case for case in self._cases if states[case.event_id] != "completed"]
        if dead:
            # As a photographer does who sees that a sync has died.
            victim = self._chance.choice(dead)
            self._photographer.start(victim)
        else:
            victim = self._begin_event()
        self._wait_for_work([victim])
        return victim

    def _look_after(self) -> None:
        """Recover every event, audit all; each fault gets the outcome of whom it struck."""
        outcomes = {}
        for case in self._cases:
            outcomes[case.event_id], found = recover(
                self._scene,
                self._photographer,
                case,
                self._references,
                self.report.remarks.append,
            )
            self.report.findings += found
        thaw_flows(self._scene)
        self.report.findings += audit_events(self._scene, self._cases, self._references)
        self.report.hit += [(fault, outcomes[case.event_id]) for fault, case in self._struck]
        self.report.findings += [
            Finding("unanswered", complaint)
            for case in self._cases
            for complaint in case.complaints
        ]
