"""A batcher: pictures of many threads are computed together, in batches of a few fixed sizes.

A GPU computes 32 pictures in hardly more time than four, and prepares itself anew, for seconds, at
each size of batch that it has not seen.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt

from tasks.faces.limits import is_out_of_memory

logger = logging.getLogger(__name__)

# Batches that a device has at a time, of all models: while one is computed, the next one is copied.
AT_A_TIME = 2
# Of one model's, one more is drawn meanwhile, and one waits that is full.
BUFFERS = AT_A_TIME + 2

Result = TypeVar("Result")
Pixels: TypeAlias = npt.NDArray[np.uint8]
# (number of the picture in its request, row uint8 (side, side, 3) to be written to).
Draw: TypeAlias = Callable[[int, Pixels], None]


class Gate:
    """The way to a device that several models share, and what threads do while they wait for it.

    Batches wait for their turn before they are closed, so that they are fuller the busier it is.
    """

    def __init__(self, aside: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        """aside: a block in which a thread waits for others, and computes nothing."""
        self.turn = threading.Semaphore(AT_A_TIME)
        self.aside = aside


class _Request(Generic[Result]):
    """One thread's pictures; `done` is set when all of them are, or by the first error."""

    def __init__(self, count: int) -> None:
        self.results: list[Result | None] = [None] * count
        self.done: Future[None] = Future()
        self._left = count
        self._lock = threading.Lock()

    def finish(self, number: int, result: Result) -> None:
        """Take one picture's result."""
        self.results[number] = result
        with self._lock:  # two batches may hold parts of one request
            self._left -= 1
            if not self._left and not self.done.done():
                self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        """Give up: the thread that waits raises the error."""
        with self._lock:
            if not self.done.done():
                self.done.set_exception(error)


_Place: TypeAlias = tuple[_Request[Result], int]


class _Batch(Generic[Result]):
    """Rows for the pictures of a batch, and whose they are; the threads draw their own."""

    def __init__(self, rows: Pixels) -> None:
        self.rows = rows
        self.places: list[_Place[Result]] = []
        self.drawn = threading.Semaphore(0)  # once for each place

    @property
    def room(self) -> int:
        """Rows that nobody has taken."""
        return len(self.rows) - len(self.places)


class Batcher(Generic[Result]):
    """Pictures of one size, whoever they come from, in full batches where enough of them wait.

    No batch waits to be filled: while the device is busy the next ones come together by
    themselves. An error is told to the picture that causes it, and to no other.
    """

    def __init__(
        self,
        compute: Callable[[Pixels], Sequence[Result]],
        side: int,
        sizes: Sequence[int],
        gate: Gate,
    ) -> None:
        """compute: a batch uint8 (B, side, side, 3), B one of `sizes` -> a result for each row."""
        self._compute = compute
        self._shape = (side, side, 3)
        self._sizes = sorted(sizes)
        self._gate = gate
        self._free = [np.zeros((self._sizes[-1], *self._shape), np.uint8) for _ in range(BUFFERS)]
        self._batches: deque[_Batch[Result]] = deque()  # the last one may have room
        self._changed = threading.Condition()
        self._threads = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="batches")

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes of batches, the smallest first; fewer where the device's memory ran out."""
        return tuple(self._sizes)

    def warm_up(self) -> None:
        """Compute a batch of each size, so that no photo waits for the device's preparations.

        Raises what the smallest one raises.
        """
        done: set[int] = set()
        while size := next((size for size in self._sizes if size not in done), 0):
            try:
                self._compute(np.zeros((size, *self._shape), np.uint8))
                done.add(size)
            except Exception as error:
                if size == 1 or not is_out_of_memory(error):
                    raise
                self._shrink(size // 2)

    def run(self, count: int, draw: Draw) -> list[Result]:
        """The results for `count` pictures, in their order; `draw` writes each into its row.

        Raises what `draw` raises, and what `compute` raises for one of them alone.
        """
        request: _Request[Result] = _Request(count)
        first = 0
        while first < count:
            while (place := self._reserve(request, first)) is None:
                with self._gate.aside(), self._changed:
                    self._changed.wait_for(self._has_room)
            batch, row, taken = place
            self._threads.submit(self._do_next)
            for number in range(taken):
                try:
                    draw(first + number, batch.rows[row + number])
                except Exception as error:  # noqa: BLE001 (raised below)
                    request.fail(error)
                finally:
                    batch.drawn.release()
            first += taken
        if count:
            with self._gate.aside():
                request.done.result()
        return cast(list[Result], request.results)

    def _reserve(
        self, request: _Request[Result], first: int
    ) -> tuple[_Batch[Result], int, int] | None:
        """Places in the next batch for a request's pictures: the batch, its row, and how many.

        None while all batches are full, and computed.
        """
        with self._changed:
            if not self._has_room():
                return None
            if not self._batches or self._batches[-1].room == 0:
                self._batches.append(_Batch(self._free.pop()))
            batch = self._batches[-1]
            row, taken = len(batch.places), min(len(request.results) - first, batch.room)
            batch.places += [(request, first + number) for number in range(taken)]
            return batch, row, taken

    def _has_room(self) -> bool:
        return bool(self._free) or bool(self._batches and self._batches[-1].room)

    def _do_next(self) -> None:
        """Compute the next batch, if its pictures were not in an earlier one."""
        if not self._batches:
            return
        with self._gate.turn:
            self._do_oldest()

    def _do_oldest(self) -> None:
        with self._changed:
            if not self._batches:
                return
            batch = self._batches.popleft()
        try:
            for _ in batch.places:
                batch.drawn.acquire()
            self._do(batch.places, batch.rows)
        except BaseException as error:  # (a bug: the threads that wait must not wait for ever)
            for request, _ in batch.places:
                request.fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))
            raise
        finally:
            with self._changed:
                self._free.append(batch.rows)
                self._changed.notify_all()

    def _do(self, places: Sequence[_Place[Result]], rows: Pixels) -> None:
        """Compute the first rows; by halves where they fail together."""
        size = next((size for size in self._sizes if size >= len(places)), 0)
        if not size:  # sizes have become fewer
            self._do_halves(places, rows)
            return
        if len(rows) < size:
            rows = np.concatenate([rows, np.zeros((size - len(rows), *self._shape), np.uint8)])
        rows[len(places) : size] = 0  # what is left of others' pictures
        try:
            results = self._compute(rows[:size])
        except Exception as error:  # noqa: BLE001 (runtimes share no base class)
            self._do_without(places, rows, size, error)
            return
        for (request, number), result in zip(places, results, strict=False):
            request.finish(number, result)

    def _do_without(
        self, places: Sequence[_Place[Result]], rows: Pixels, size: int, error: Exception
    ) -> None:
        """Go on after a batch that failed: with smaller ones, or without the one picture."""
        if is_out_of_memory(error) and size > 1:
            self._shrink(size // 2)
            self._do(places, rows)
        elif len(places) == 1:
            request, _ = places[0]
            request.fail(error)
        else:
            self._do_halves(places, rows)

    def _do_halves(self, places: Sequence[_Place[Result]], rows: Pixels) -> None:
        half = len(places) // 2
        # Copies: what one half fills up with is not to be the other's.
        for part in (slice(half), slice(half, len(places))):
            self._do(places[part], rows[part].copy())

    def _shrink(self, largest: int) -> None:
        """Use no batch above `largest` any more."""
        with self._changed:
            if self._sizes[-1] > largest:
                self._sizes = sorted({size for size in self._sizes if size < largest} | {largest})
                logger.warning(
                    "The device's memory ran out: batches of at most %d pictures from now on. Run "
                    "fewer syncs beside each other on it.",
                    largest,
                )
