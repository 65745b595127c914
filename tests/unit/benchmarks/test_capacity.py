"""What the figures of capacity rest on: arithmetic, the reading of plans, the flow's shape."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.capacity_day_flow import BATCH, FIRST, count_batches
from benchmarks.capacity_growth import compute_growth
from benchmarks.capacity_plan import CORE_S_A_PHOTO, compute_week
from benchmarks.capacity_plans import read_plan
from benchmarks.capacity_sizes import TableSize
from models.first_batch import FIRST_BATCH_SIZE

ROOT = Path(__file__).parents[3]
WEEK: dict[str, Any] = {
    "photos": 3_000,
    "events": 10,
    "cores": 2,
    "price": 0.05,
    "pack": "opencv_zoo",
    "faces": 3.0,
    "active_days": 0,
}


def test_a_wedding_takes_its_photos_divided_by_the_cores() -> None:
    week = compute_week(**WEEK)
    assert week.hours_an_event == pytest.approx(3_000 * CORE_S_A_PHOTO["opencv_zoo"] / 2 / 3600)
    assert week.hours == pytest.approx(10 * week.hours_an_event)
    assert week.money == pytest.approx(0.05 * 2 * week.hours)
    assert week.look_core_hours == 0


@given(factor=st.integers(2, 50), cores=st.integers(1, 500), days=st.integers(0, 60))
def test_more_events_cost_as_much_more_and_more_cores_cost_nothing(
    factor: int, cores: int, days: int
) -> None:
    base = compute_week(**WEEK | {"active_days": days})
    more = compute_week(**WEEK | {"active_days": days, "events": 10 * factor, "cores": cores})
    assert more.money == pytest.approx(factor * base.money)
    assert more.hours == pytest.approx(base.hours * factor * 2 / cores)
    assert more.database_gb == pytest.approx(factor * base.database_gb)
    assert more.prefect_gb == pytest.approx(factor * base.prefect_gb)


def test_every_active_day_of_an_event_is_paid_for() -> None:
    quiet, active = (compute_week(**WEEK | {"active_days": days}) for days in (1, 30))
    assert active.look_core_hours == pytest.approx(30 * quiet.look_core_hours)
    assert active.money > quiet.money


def test_the_command_prints_the_examples_of_the_page() -> None:
    page = (ROOT / "docs/scaling.md").read_text("utf-8")
    examples = re.findall(r"^python -m (benchmarks\.capacity_plan.*)\n# (\{.*\})$", page, re.M)
    assert len(examples) >= 2
    for command, line in examples:
        argv = [sys.executable, "-m", *command.split()]
        said = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
        assert json.loads(said.stdout) == json.loads(line), command


def test_a_plan_tells_its_indexes_and_what_it_reads_from_end_to_end() -> None:
    scan = {"Node Type": "Seq Scan", "Relation Name": "photo"}
    listed = {"Node Type": "Seq Scan", "Relation Name": "listed"}
    index = {"Node Type": "Index Scan", "Index Name": "photo_pkey", "Relation Name": "photo"}
    top = {
        "Node Type": "Hash Join",
        "Shared Hit Blocks": 3,
        "Shared Read Blocks": 4,
        "Plans": [scan, {"Node Type": "Hash", "Plans": [listed, index]}],
    }
    look = read_plan("SELECT\n  1", {"Plan": top, "Planning Time": 0.5, "Execution Time": 1.5})
    assert (look.statement, look.ms, look.pages) == ("SELECT 1", 2.0, 7)
    assert look.indexes == ("photo_pkey",)
    assert look.scanned == ("photo",)


def test_a_rows_bytes_are_its_tables_and_its_indexes() -> None:
    assert TableSize("face", 10, 3_000, {"one": 500, "two": 500}).bytes_a_row == 400
    assert TableSize("face", 0, 0, {}).bytes_a_row == 0


def test_growth_is_told_for_one_run() -> None:
    growth = compute_growth({"log": (10, 1_000)}, {"log": (50, 9_000)}, runs=4)
    assert (growth["log"].rows, growth["log"].bytes) == (10, 2_000)


@given(photos=st.integers(1, 20_000))
def test_a_rehearsed_sync_has_the_batches_of_a_real_one(photos: int) -> None:
    batches = count_batches(photos)
    assert count_batches(0) == 0
    assert FIRST == FIRST_BATCH_SIZE
    assert FIRST + (batches - 1) * BATCH >= photos
    assert batches == 1 or FIRST + (batches - 2) * BATCH < photos
