"""Workers on several machines: what is lost with one of them, and who takes it up."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tests.distributed.conftest import BATCH_SIZE, LIMIT_S, MACHINES, Site
from tests.distributed.network import SUBNET, Machine
from tests.support.event_box import EventBox
from tests.support.photos import GROUP_FACES, read_group, vary
from tests.support.waiting import wait_until

LONG, SHORT = 48, 6  # photos: a long sync is still under way when its machine goes
ROOT = Path(__file__).parents[2]


def make_event(name: str, count: int) -> EventBox:
    event = EventBox(name)
    for index in range(count):
        event.put(f"фото {index:02}.jpg", vary(read_group(), index))
    return event


def count_stored(event: EventBox) -> int:
    return sum(row.status == "indexed" for row in event.photos().values())


def read_record(event: EventBox, run: str) -> Any:
    (row,) = event.query(f"SELECT * FROM sync_run WHERE flow_run_id = '{run}'")
    return row


def read_faces(event: EventBox) -> list[tuple[Any, ...]]:
    """Every stored face: photo and box; the same in another event with the same photos."""
    rows = event.query(
        "SELECT s3_key, x1, y1, x2, y2 FROM face JOIN photo ON photo.id = face.photo_id"
        " WHERE face.event_id = :event"
    )
    prefix = len(event.prefix)
    return sorted((row.s3_key[prefix:], *(round(side, 4) for side in row[1:])) for row in rows)


def read_rows(event: EventBox) -> list[Any]:
    """All that a sync writes for an event, down to the row: a second store would change it."""
    return event.query(
        "SELECT photo.id, processed_at, sync_run_id, face.id AS face FROM photo"
        " LEFT JOIN face ON face.photo_id = photo.id WHERE photo.event_id = :event"
        " ORDER BY photo.id, face.id"
    )


def find_machine(site: Site, run: str) -> Machine | None:
    """The machine whose worker has got a run; None while two of them still try."""
    taken, refused = f"submitting flow run '{run}'", f"Aborted submission of flow run '{run}'"
    logs = {machine.name: machine.log.read_text() for machine in site.machines}
    found = [
        machine
        for machine in site.machines
        if taken in logs[machine.name] and refused not in logs[machine.name]
    ]
    return found[0] if len(found) == 1 else None


def find_process(run: str) -> list[psutil.Process]:
    """The processes of a flow run, wherever they are."""
    return [
        process
        for process in psutil.process_iter()
        if _read_variable(process, "PREFECT__FLOW_RUN_ID") == run
    ]


def _read_variable(process: psutil.Process, name: str) -> str | None:
    try:
        value: str | None = process.environ().get(name)
    except psutil.Error:
        return None  # ended meanwhile
    return value


def start_and_finish(site: Site, events: list[EventBox]) -> list[str]:
    runs = [site.rest.start_sync(event) for event in events]
    for event, run in zip(events, runs, strict=True):
        wait_until(lambda event=event, run=run: read_record(event, run).finished_at, LIMIT_S)
        assert read_record(event, run).state == "completed", read_record(event, run).detail
    return runs


def test_two_of_three_machines_are_lost_and_no_photo_is(site: Site) -> None:
    events = [make_event(f"Свадьба на трёх машинах, {number}", LONG) for number in range(MACHINES)]
    runs = [site.rest.start_sync(event) for event in events]
    wait_until(lambda: all(find_machine(site, run) for run in runs), LIMIT_S)
    places = [find_machine(site, run) for run in runs]
    assert {id(place) for place in places} == {id(machine) for machine in site.machines}
    shown = subprocess.run(["ip", "address"], capture_output=True, text=True, check=True).stdout
    assert SUBNET not in shown, "the network of the machine underneath was changed"
    cut, lost, kept = places
    zombie = runs[0]
    assert cut is not None
    assert lost is not None

    wait_until(lambda: all(count_stored(event) >= BATCH_SIZE for event in events[:2]), LIMIT_S)
    cut.unplug()
    lost.power_off()
    for event in events[:2]:
        assert count_stored(event) < LONG
    assert find_process(zombie), "the machine without a cable works on"
    assert not find_process(runs[1])

    # Work goes on where there is a machine, before anybody knows of the others.
    more = [make_event("Ещё одна", SHORT)]
    for run in start_and_finish(site, more):
        assert find_machine(site, run) is kept
    wait_until(lambda: read_record(events[2], runs[2]).finished_at, LIMIT_S)
    undisturbed = read_faces(events[2])
    assert len(undisturbed) == LONG * GROUP_FACES

    # Nobody asks, and they are closed all the same; the next request takes them up.
    for event, run in zip(events[:2], runs[:2], strict=True):
        wait_until(lambda event=event, run=run: read_record(event, run).finished_at, LIMIT_S)
        assert read_record(event, run).state == "crashed"
        assert "start the sync again" in read_record(event, run).detail
    again = [site.rest.start_sync(event) for event in events[:2]]
    wait_until(lambda: read_record(events[0], again[0]).state in {"running", "completed"}, LIMIT_S)
    cut.plug()
    for event, run in zip(events[:2], again, strict=True):
        wait_until(lambda event=event, run=run: read_record(event, run).finished_at, LIMIT_S)
        record = read_record(event, run)
        assert record.state == "completed", record.detail
        assert record.result["total_found"] == LONG
        assert 0 < record.result["new_photos"] < LONG  # what was stored is not read again
    rows = read_rows(events[0])

    # The process that only seemed dead comes back, and stores nothing.
    wait_until(lambda: not find_process(zombie), LIMIT_S)
    assert read_rows(events[0]) == rows
    assert read_record(events[0], zombie).state == "crashed"
    serve_again(site, cut)
    audit(site, events, undisturbed)


def serve_again(site: Site, machine: Machine) -> None:
    """A machine that was cut off works again, without anybody's help."""

    def takes_one() -> bool:
        runs = start_and_finish(site, [make_event("После обрыва", 1) for _ in range(2)])
        return machine in [find_machine(site, run) for run in runs]

    wait_until(takes_one, LIMIT_S)


def audit(site: Site, events: list[EventBox], undisturbed: list[tuple[Any, ...]]) -> None:
    """Every key one photo, faces as if nothing had happened, and nothing unfinished."""
    for event in events:
        assert len(event.photos()) == LONG
        assert count_stored(event) == LONG
        assert read_faces(event) == undisturbed
        keys = event.query("SELECT s3_key FROM photo WHERE event_id = :event")
        assert len({row.s3_key for row in keys}) == len(keys)
    assert events[0].query("SELECT 1 FROM sync_run WHERE finished_at IS NULL AND :event > 0") == []
    states = {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}
    body = {"flow_runs": {"state": states}}
    wait_until(lambda: site.prefect.post("/flow_runs/count", json=body).json() == 0, LIMIT_S)


KILLED = """
import sys, time
from pathlib import Path
from tests.distributed.network import Machine, Switch
machine = Machine(Switch(), 1, Path(sys.argv[1]))
machine.start(["sh", "-c", "sleep 1000 & exec setsid sleep 1000"], {"PATH": sys.argv[2]})
print("ready", flush=True)
time.sleep(1000)
"""


def test_nothing_is_left_when_the_tests_are_killed(namespaces: None, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path), os.environ["PATH"]],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process, process.stdout as output:
        assert output.readline() == "ready\n"
        count: Callable[[], list[psutil.Process]] = lambda: psutil.Process(  # noqa: E731 (typed, and used once)
            process.pid
        ).children(recursive=True)
        wait_until(lambda: len(count()) >= 5)
        children = count()
        process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
