"""Questions of many callers that one thread answers together: one transaction for all who wait.

Each is asked after it came: an answer is never older than its question.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio

from api.bulkheads.threads import Bulkhead
from models.errors import TooBusyError

Q = TypeVar("Q")
A = TypeVar("A")

MOST_TOGETHER = 64
MOST_WAITING = 1000
_FULL = "Too many calls of this kind wait already: try again in a moment."
_LOST = "Its turn was lost: try again in a moment."


@dataclass
class _Asked(Generic[Q, A]):
    question: Q
    turn: anyio.Event = field(default_factory=anyio.Event)
    answer: A | None = None
    error: Exception | None = None

    @property
    def is_settled(self) -> bool:
        return self.answer is not None or self.error is not None


class Batches(Generic[Q, A]):
    """The questions that wait; whoever waits longest asks for all of them.

    work: answers in the questions' order, none of them None; it runs in the bulkhead's thread.
    """

    def __init__(self, bulkhead: Bulkhead, work: Callable[[Sequence[Q]], Sequence[A]]) -> None:
        self._bulkhead = bulkhead
        self._work = work
        self._waiting: list[_Asked[Q, A]] = []
        self._is_busy = False

    async def ask(self, question: Q) -> A:
        """The answer. Raises what the work raises, and TooBusyError."""
        if len(self._waiting) >= MOST_WAITING:
            raise TooBusyError(_FULL)
        mine: _Asked[Q, A] = _Asked(question)
        self._waiting.append(mine)
        if self._is_busy:
            try:
                await mine.turn.wait()
            except BaseException:
                self._leave(mine)
                raise
        if not mine.is_settled:
            await self._ask_for_all()
        if mine.error is not None:
            raise mine.error
        if mine.answer is None:
            raise TooBusyError(_LOST)
        return mine.answer

    async def _ask_for_all(self) -> None:
        self._is_busy = True
        asked, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
        try:
            questions = [one.question for one in asked]
            answers = await self._bulkhead.run(lambda: self._work(questions))
            for one, answer in zip(asked, answers, strict=True):
                one.answer = answer
        except Exception as error:  # noqa: BLE001 - each of them is told it
            for one in asked:
                one.error = error
        finally:
            for one in asked:
                if not one.is_settled:  # cancelled: nobody asks for the others any more
                    one.error = TooBusyError(_LOST)
                one.turn.set()
            self._pass_on()

    def _leave(self, mine: _Asked[Q, A]) -> None:
        if mine in self._waiting:
            self._waiting.remove(mine)
            if mine.turn.is_set():  # in the same moment: it was to ask for all
                self._pass_on()

    def _pass_on(self) -> None:
        self._is_busy = bool(self._waiting)
        if self._waiting:
            self._waiting[0].turn.set()
