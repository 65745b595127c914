"""Tests of the capacity benchmark's parts: its reading of plans, the shape of its flow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.capacity.day_flow import BATCH, FIRST, count_batches
from benchmarks.capacity.growth import compute_growth
from benchmarks.capacity.plan import CORE_S_A_PHOTO, compute_plan
from benchmarks.capacity.plans import read_plan
from benchmarks.capacity.sizes import TableSize
from models.queries.plans import FIRST_BATCH_SIZE


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


PACKS = st.sampled_from(list(CORE_S_A_PHOTO))


@given(
    photos=st.integers(1, 20_000),
    events=st.integers(1, 2_000),
    machines=st.integers(1, 100),
    cores=st.integers(1, 128),
    pack=PACKS,
)
def test_more_machines_take_less_time_for_the_same_money(
    photos: int, events: int, machines: int, cores: int, pack: str
) -> None:
    asked = {"photos": photos, "events": events, "cores": cores, "pack": pack, "days": 30}
    one = compute_plan(**asked, machines=1, price=0.05, faces=2.0)
    many = compute_plan(**asked, machines=machines, price=0.05, faces=2.0)
    assert many.money == one.money == pytest.approx(0.05 * one.core_hours)
    assert many.hours == pytest.approx(one.hours / machines)
    assert one.core_hours * 3600 >= events * photos * CORE_S_A_PHOTO[pack]
    assert one.hours >= one.hours_an_event


def test_a_machine_of_two_cores_and_one_of_many_hide_s3_behind_their_work() -> None:
    asked = {
        "photos": 3_000,
        "events": 1,
        "price": 0.0,
        "pack": "opencv_zoo",
        "faces": 2.0,
        "days": 30,
    }
    two = compute_plan(**asked, machines=1, cores=2)
    many = compute_plan(**asked, machines=1, cores=64)
    assert two.hidden_s3_ms == pytest.approx(8 * 62 / 2)
    assert many.hidden_s3_ms == pytest.approx(2 * 62)
