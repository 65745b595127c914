"""The budget of decoded pixels: never passed, never lost, and nobody waits for ever."""

import threading
from concurrent.futures import ThreadPoolExecutor

from tasks.faces.limits import PixelBudget

LIMIT_S = 20


def test_what_fits_is_let_in_and_what_is_given_back_is_free() -> None:
    budget = PixelBudget(100)
    for _ in range(3):
        budget.reserve(100)
        assert budget.held == 100
        budget.release()
        assert budget.held == 0
    budget.release()  # holding nothing is no error: some readers never reserve


def test_a_photo_larger_than_the_budget_is_let_in_alone() -> None:
    budget = PixelBudget(100)
    budget.reserve(1_000_000)
    assert budget.held == 100


def test_threads_together_never_hold_more_than_the_budget() -> None:
    budget = PixelBudget(100)
    largest = []

    def work(number: int) -> None:
        budget.reserve((10, 60, 100, 500)[number % 4])
        largest.append(budget.held)
        budget.release()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(400)))
    assert len(largest) == 400
    assert max(largest) == 100
    assert budget.held == 0


def test_a_small_photo_does_not_overtake_a_large_one_that_waits() -> None:
    budget = PixelBudget(100)
    budget.reserve(60)  # by this thread
    let_in: list[str] = []

    def come(name: str, pixels: int) -> threading.Thread:
        def wait() -> None:
            budget.reserve(pixels)
            let_in.append(name)
            budget.release()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        return thread

    large = come("large", 100)
    while not budget._turnstile.locked():
        pass
    small = come("small", 10)
    budget.release()
    for thread in (large, small):
        thread.join(LIMIT_S)
    assert let_in == ["large", "small"]
