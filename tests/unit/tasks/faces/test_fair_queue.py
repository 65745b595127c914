"""The fair queue: everybody in turn, nothing lost, nobody overtaken by himself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.faces.engine import FairQueue


def drain(queue: FairQueue[tuple[str, int]], count: int) -> list[tuple[str, int]]:
    return [queue.take() for _ in range(count)]


def test_a_small_request_does_not_wait_for_a_large_one() -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for number in range(100):
        queue.put("wedding", ("wedding", number))
    queue.put("party", ("party", 0))
    assert ("party", 0) in drain(queue, 2)


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_each_gets_his_own_in_order_and_all_of_it(customers: list[str]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    items = [(customer, number) for number, customer in enumerate(customers)]
    for customer, number in items:
        queue.put(customer, (customer, number))
    taken = drain(queue, len(items))
    assert sorted(taken) == sorted(items)
    for name in "abc":
        assert [item for item in taken if item[0] == name] == [i for i in items if i[0] == name]
    with pytest.raises(IndexError):
        queue.take()


@given(st.lists(st.integers(1, 9), min_size=2, max_size=4))
def test_while_all_wait_nobody_gets_two_more_than_another(lengths: list[int]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for customer, length in enumerate(lengths):
        for number in range(length):
            queue.put(customer, (str(customer), number))
    shared = min(lengths) * len(lengths)
    counts = [0] * len(lengths)
    for customer, _ in drain(queue, shared):
        counts[int(customer)] += 1
        assert max(counts) - min(counts) <= 1
