"""The batcher: whatever comes from however many threads, each gets its own result, or error."""

import gc
import threading
import time
import weakref
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.faces.batching import AT_A_TIME, BUFFERS, Batcher, Gate
from tasks.faces.limits import Cores

SIDE = 2
LIMIT_S = 20
Pixels = npt.NDArray[np.uint8]

CURSED = 255


def draw(value: int) -> Pixels:
    """A picture that tells who it is."""
    return np.full((SIDE, SIDE, 3), value, np.uint8)


def ask(batcher: Batcher[list[int]], values: Sequence[int]) -> list[int]:
    """What the batcher says of pictures of these values."""
    shares = batcher.run(len(values), lambda number, row: np.copyto(row, draw(values[number])))
    return [share.output[share.row] for share in shares]


class Device:
    """A device that doubles what a picture tells; it fails where the test says so."""

    def __init__(self, memory: int = 1000) -> None:
        self.memory = memory
        self.calls: list[int] = []

    def __call__(self, batch: Pixels) -> list[int]:
        self.calls.append(len(batch))
        if len(batch) > self.memory:
            raise RuntimeError("CUDA failure 2: out of memory")
        values = [int(row[0, 0, 0]) for row in batch]
        if CURSED in values:
            raise ValueError("a picture that the device cannot compute")
        return [2 * value for value in values]


def test_no_pictures_cost_no_call() -> None:
    device = Device()
    assert ask(Batcher(device, SIDE, (4,), Gate()), []) == []
    assert device.calls == []


@given(
    requests=st.lists(st.lists(st.integers(1, 120), max_size=12), min_size=1, max_size=8),
    sizes=st.sets(st.sampled_from([1, 2, 4, 8]), min_size=1),
    memory=st.sampled_from([1, 3, 8]),
)
@settings(max_examples=60, deadline=None)
def test_each_thread_gets_the_results_of_its_own_pictures_in_their_order(
    requests: list[list[int]], sizes: set[int], memory: int
) -> None:
    device = Device(memory)
    batcher = Batcher(device, SIDE, sorted(sizes), Gate())
    with ThreadPoolExecutor(len(requests)) as threads:
        futures = [threads.submit(ask, batcher, request) for request in requests]
        results = [future.result(LIMIT_S) for future in futures]
    assert results == [[2 * value for value in request] for request in requests]
    # Nothing but the few sizes, and halves of them where memory ran out.
    assert set(device.calls) <= sizes | {min(sizes) >> shift for shift in range(4)}


def test_pictures_that_wait_while_the_device_is_busy_fill_batches() -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()
    calls: list[Sequence[int]] = []

    def compute(batch: Pixels) -> list[int]:
        calls.append([int(row[0, 0, 0]) for row in batch])
        begun.release()
        assert go_on.wait(LIMIT_S)
        return [0] * len(batch)

    batcher = Batcher(compute, SIDE, (2, 8), Gate())
    firsts, later = range(1, AT_A_TIME + 1), range(100, 116)
    with ThreadPoolExecutor(len(firsts) + len(later)) as threads:
        for value in firsts:
            threads.submit(ask, batcher, [value])
            assert begun.acquire(timeout=LIMIT_S)
        for value in later:
            threads.submit(ask, batcher, [value])
        deadline = time.monotonic() + LIMIT_S
        while sum(batch.count for batch in batcher._batches) < len(later):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        go_on.set()
    assert sorted(map(len, calls)) == [*[2] * len(firsts), 8, 8]
    assert Counter(value for call in calls for value in call if value) == Counter([*firsts, *later])


def test_one_picture_that_fails_spares_those_beside_it() -> None:
    batcher = Batcher(Device(), SIDE, (8,), Gate())
    with ThreadPoolExecutor(8) as threads:
        good = [threads.submit(ask, batcher, [value]) for value in range(1, 8)]
        bad = threads.submit(ask, batcher, [9, CURSED])
        with pytest.raises(ValueError, match="cannot compute"):
            bad.result(LIMIT_S)
        assert [future.result(LIMIT_S) for future in good] == [[2 * v] for v in range(1, 8)]
    assert ask(batcher, [5]) == [10]


def test_a_picture_that_cannot_be_drawn_spares_the_others() -> None:
    batcher = Batcher(Device(), SIDE, (4,), Gate())

    def fail(number: int, row: Pixels) -> None:
        if number == 1:
            raise ValueError("no pixels")
        np.copyto(row, draw(7))

    with ThreadPoolExecutor(4) as threads:
        bad = threads.submit(batcher.run, 3, fail)
        good = [threads.submit(ask, batcher, [value]) for value in range(1, 30)]
        with pytest.raises(ValueError, match="no pixels"):
            bad.result(LIMIT_S)
        assert [future.result(LIMIT_S) for future in good] == [[2 * v] for v in range(1, 30)]
    assert len(batcher._free) == BUFFERS


def test_memory_that_runs_out_makes_batches_smaller_for_good_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    device, released = Device(memory=3), list[int]()
    batcher = Batcher(device, SIDE, (2, 4, 8), Gate(), released.append)
    assert ask(batcher, range(1, 20)) == list(range(2, 40, 2))
    assert batcher.sizes == (2,)
    assert released == [8, 4]
    assert ["ran out" in record.message for record in caplog.records] == [True, True]
    device.calls.clear()
    ask(batcher, range(1, 20))
    assert max(device.calls) == 2
    assert len(caplog.records) == 2


def test_the_smallest_batches_are_halved_where_even_they_are_too_large() -> None:
    batcher = Batcher(Device(memory=1), SIDE, (4,), Gate())
    assert ask(batcher, range(1, 10)) == list(range(2, 20, 2))
    assert batcher.sizes == (1,)


def test_memory_that_ran_out_for_several_batches_at_once_costs_one_size() -> None:
    ready, device = threading.Barrier(2), Device(memory=4)

    def compute(batch: Pixels) -> list[int]:
        if len(batch) == 8:
            ready.wait(LIMIT_S)
        return device(batch)

    batcher = Batcher(compute, SIDE, (2, 4, 8), Gate())
    assert ask(batcher, range(1, 17)) == list(range(2, 34, 2))
    assert batcher.sizes == (2, 4)


def test_a_picture_that_fails_does_not_keep_its_photo() -> None:
    batcher = Batcher(Device(), SIDE, (2,), Gate())
    photo = np.full((SIDE, SIDE, 3), CURSED, np.uint8)
    kept = weakref.ref(photo)

    def hand_over(picture: Pixels) -> Exception:
        try:
            batcher.run(1, lambda _, row: np.copyto(row, picture))
        except ValueError as error:
            return error
        raise AssertionError

    gc.disable()
    try:
        error = hand_over(photo)
        del photo
        error.__traceback__ = None
        assert kept() is None
    finally:
        gc.enable()


def test_a_batch_that_nobody_can_be_asked_for_leaves_no_row_undrawn() -> None:
    """As at the interpreter's end, when its threads take no more work."""
    batcher = Batcher(Device(), SIDE, (2,), Gate())
    batcher._threads.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        ask(batcher, [1])
    batcher._batches[0].wait_until_drawn()


def test_memory_for_not_even_one_is_an_error() -> None:
    batcher = Batcher(Device(memory=0), SIDE, (1, 4), Gate())
    with pytest.raises(RuntimeError, match="out of memory"):
        ask(batcher, [1, 2])
    with pytest.raises(RuntimeError, match="out of memory"):
        Batcher(Device(memory=0), SIDE, (1, 4), Gate()).warm_up()


def test_warming_up_computes_each_size_once_and_finds_what_memory_allows() -> None:
    device = Device()
    Batcher(device, SIDE, (2, 8), Gate()).warm_up()
    assert device.calls == [2, 8]
    small = Batcher(Device(memory=5), SIDE, (2, 8), Gate())
    small.warm_up()
    assert small.sizes == (2,)


def test_a_bug_in_the_batcher_leaves_nobody_waiting() -> None:
    def compute(batch: Pixels) -> list[int]:
        raise SystemExit(1)

    with pytest.raises(RuntimeError, match="SystemExit"):
        ask(Batcher(compute, SIDE, (2,), Gate()), [1])


def test_a_thread_that_waits_lends_its_core() -> None:
    cores, waits = Cores(1), threading.Event()

    def compute(batch: Pixels) -> list[int]:
        assert waits.wait(LIMIT_S)
        return [0] * len(batch)

    batcher = Batcher(compute, SIDE, (1,), Gate(cores.aside))

    def embed() -> None:
        with cores:
            ask(batcher, [1])

    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(embed)
        while not batcher._threads._threads:
            threading.Event().wait(0.01)
        with cores:  # the only one
            waits.set()
        future.result(LIMIT_S)
    with cores.aside():  # whoever holds none lends none
        pass
    assert cores._free._value == 1
