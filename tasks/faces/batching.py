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
from tasks.images.decode import BgrImage

logger = logging.getLogger(__name__)

# Two batches at a time: while one is computed, the next one is copied to the device.
RUNNERS = 2

Result = TypeVar("Result")
Pixels: TypeAlias = npt.NDArray[np.uint8]


class _Request(Generic[Result]):
    """One thread's pictures; `done` is set when all of them are, or by the first error."""

    def __init__(self, pictures: Sequence[BgrImage]) -> None:
        self.pictures = pictures
        self.results: list[Result | None] = [None] * len(pictures)
        self.done: Future[None] = Future()
        self._left = len(pictures)
        self._lock = threading.Lock()

    def finish(self, place: int, result: Result) -> None:
        """Take one picture's result."""
        self.results[place] = result
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
        aside: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """compute: a batch uint8 (B, side, side, 3), B one of `sizes` -> a result for each row.

        aside: a block in which a thread waits for its results, and computes nothing.
        """
        self._compute = compute
        self._side = side
        self._sizes = sorted(sizes)
        self._aside = aside
        self._waiting: deque[_Place[Result]] = deque()
        self._lock = threading.Lock()
        self._own = threading.local()
        self._threads = ThreadPoolExecutor(RUNNERS, thread_name_prefix="batches")

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
                self._compute(np.zeros((size, self._side, self._side, 3), np.uint8))
                done.add(size)
            except Exception as error:
                if size == 1 or not is_out_of_memory(error):
                    raise
                self._shrink(size // 2)

    def run(self, pictures: Sequence[BgrImage]) -> list[Result]:
        """The results for pictures uint8 (side, side, 3), in their order.

        Raises what `compute` raises for one of them alone.
        """
        if not pictures:
            return []
        request: _Request[Result] = _Request(pictures)
        with self._lock:
            self._waiting.extend((request, place) for place in range(len(pictures)))
        for _ in range(-(-len(pictures) // self._sizes[-1])):
            self._threads.submit(self._do_next)
        with self._aside():
            request.done.result()
        return cast(list[Result], request.results)

    def _do_next(self) -> None:
        """Compute the next batch, if its pictures were not in an earlier one."""
        with self._lock:
            count = min(len(self._waiting), self._sizes[-1])
            places = [self._waiting.popleft() for _ in range(count)]
            is_more = bool(self._waiting)
        if is_more:  # of a request that is larger than what is left of a batch
            self._threads.submit(self._do_next)
        try:
            self._do(places)
        except BaseException as error:  # (a bug: the threads that wait must not wait for ever)
            for request, _ in places:
                request.fail(error if isinstance(error, Exception) else RuntimeError(repr(error)))
            raise

    def _do(self, places: Sequence[_Place[Result]]) -> None:
        """Compute these pictures; by halves where they fail together."""
        if not places:
            return
        size = next((size for size in self._sizes if size >= len(places)), 0)
        if not size:  # sizes have become fewer meanwhile
            self._do_halves(places)
            return
        batch = self._lend_buffer()[:size]
        for row, (request, place) in zip(batch, places, strict=False):
            row[:] = request.pictures[place]
        batch[len(places) :] = 0
        try:
            results = self._compute(batch)
        except Exception as error:  # noqa: BLE001 (runtimes share no base class)
            self._do_without(places, size, error)
            return
        for (request, place), result in zip(places, results, strict=False):
            request.finish(place, result)

    def _lend_buffer(self) -> Pixels:
        """This thread's room for a batch of the largest size: made once, since it has 40 MB."""
        buffer: Pixels | None = getattr(self._own, "buffer", None)
        if buffer is None:
            shape = (self._sizes[-1], self._side, self._side, 3)
            buffer = self._own.buffer = np.zeros(shape, np.uint8)
        return buffer

    def _do_without(self, places: Sequence[_Place[Result]], size: int, error: Exception) -> None:
        """Go on after a batch that failed: with smaller ones, or without the one picture."""
        if is_out_of_memory(error) and size > 1:
            self._shrink(size // 2)
            self._do(places)
        elif len(places) == 1:
            places[0][0].fail(error)
        else:
            self._do_halves(places)

    def _do_halves(self, places: Sequence[_Place[Result]]) -> None:
        half = len(places) // 2
        self._do(places[:half])
        self._do(places[half:])

    def _shrink(self, largest: int) -> None:
        """Use no batch above `largest` any more."""
        with self._lock:
            if self._sizes[-1] > largest:
                self._sizes = sorted({size for size in self._sizes if size < largest} | {largest})
                logger.warning(
                    "The device's memory ran out: batches of at most %d pictures from now on. Run "
                    "fewer syncs beside each other on it.",
                    largest,
                )
