"""What the figures of capacity rest on: the reading of plans, the flow's shape."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.capacity_day_flow import BATCH, FIRST, count_batches
from benchmarks.capacity_growth import compute_growth
from benchmarks.capacity_plans import read_plan
from benchmarks.capacity_sizes import TableSize
from models.first_batch import FIRST_BATCH_SIZE


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
