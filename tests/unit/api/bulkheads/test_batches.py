"""Questions of many callers: answered together, each by its own answer; nobody waits for ever."""

import threading
from collections.abc import Callable, Sequence

import anyio
import pytest

from api.bulkheads import batches
from api.bulkheads.batches import Batches
from api.bulkheads.threads import Bulkhead, Limits
from models.errors import DatabaseUnavailableError, TooBusyError


def build(work: Callable[[Sequence[int]], Sequence[int]]) -> Batches[int, int]:
    return Batches(Bulkhead(Limits(threads=1, waiting=10, wait_s=5, statement_s=5)), work)


def test_who_comes_while_one_is_asked_is_answered_with_all_others() -> None:
    asked: list[list[int]] = []
    held = threading.Event()

    def work(questions: Sequence[int]) -> list[int]:
        asked.append(list(questions))
        held.wait(5)
        return [number * 10 for number in questions]

    async def run() -> dict[int, int]:
        together, answers = build(work), {}

        async def ask(number: int) -> None:
            answers[number] = await together.ask(number)

        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(ask, number)
                await anyio.sleep(0)
            held.set()
        return answers

    assert anyio.run(run) == {number: number * 10 for number in range(100)}
    assert [len(group) for group in asked] == [1, batches.MOST_TOGETHER, 99 - batches.MOST_TOGETHER]


def test_an_error_is_everybodys_of_its_group_and_the_next_are_asked_again() -> None:
    def work(questions: Sequence[int]) -> list[int]:
        if 1 in questions:
            raise DatabaseUnavailableError("away")
        return list(questions)

    async def run() -> list[int]:
        together = build(work)
        with pytest.raises(DatabaseUnavailableError):
            await together.ask(1)
        return [await together.ask(2)]

    assert anyio.run(run) == [2]


LEAVES = {"the one that asks": 0, "the next to ask": 1, "one that waits": 2}


@pytest.mark.parametrize("leaves", LEAVES)
def test_who_goes_keeps_nobody_waiting(leaves: str) -> None:
    held = threading.Event()

    def work(questions: Sequence[int]) -> list[int]:
        held.wait(0.2)
        return list(questions)

    async def run() -> list[int]:
        together, answers = build(work), []

        async def ask(number: int, scope: anyio.CancelScope) -> None:
            with scope:
                try:
                    answers.append(await together.ask(number))
                except TooBusyError:
                    answers.append(-number)

        scopes = [anyio.CancelScope() for _ in range(4)]
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                for number, scope in enumerate(scopes):
                    tasks.start_soon(ask, number, scope)
                    await anyio.sleep(0.01)
                scopes[
                    {"the one that asks": 0, "one that waits": 2, "the next to ask": 1}[leaves]
                ].cancel()
                held.set()
            return [*answers, await together.ask(9)]

    answers = anyio.run(run)
    assert len(answers) >= 4 and answers[-1] == 9


def test_too_many_are_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_WAITING", 0)

    async def run() -> None:
        await build(list).ask(1)

    with pytest.raises(TooBusyError):
        anyio.run(run)
