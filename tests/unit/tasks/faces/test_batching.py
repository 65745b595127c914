"""The batcher: whatever comes from however many threads, each gets its own result, or error."""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.faces.batching import BUFFERS, Batcher, Gate
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
    halves = {size >> shift for size in sizes for shift in range(4)}
    assert set(device.calls) <= halves


def test_pictures_that_wait_while_the_device_is_busy_fill_batches() -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()
    calls: list[Sequence[int]] = []

    def compute(batch: Pixels) -> list[int]:
        calls.append([int(row[0, 0, 0]) for row in batch])
        begun.release()
        assert go_on.wait(LIMIT_S)
        return [0] * len(batch)

    batcher = Batcher(compute, SIDE, (2, 8), Gate())
    with ThreadPoolExecutor(18) as threads:
        for value in (1, 2):
            threads.submit(ask, batcher, [value])
            assert begun.acquire(timeout=LIMIT_S)
        others = [threads.submit(ask, batcher, [value]) for value in range(3, 19)]
        while sum(batch.count for batch in batcher._batches) < len(others):
            threading.Event().wait(0.01)
        go_on.set()
    assert sorted(map(len, calls)) == [2, 2, 8, 8]
    assert Counter(value for call in calls for value in call if value) == Counter(range(1, 19))


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


def test_memory_that_runs_out_halves_the_batches_for_good_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    device = Device(memory=3)
    batcher = Batcher(device, SIDE, (1, 8), Gate())
    assert ask(batcher, range(1, 20)) == list(range(2, 40, 2))
    assert batcher.sizes == (1, 2)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "The device's memory ran out",
        "The device's memory ran out",
    ]
    device.calls.clear()
    ask(batcher, range(1, 20))
    assert max(device.calls) == 2


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
    assert small.sizes == (2, 4)


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
