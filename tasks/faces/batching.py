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
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from tasks.packs.cuda import is_out_of_memory

logger = logging.getLogger(__name__)

# Batches that a device has at a time, of all models: one is computed, others are copied to it.
AT_A_TIME = 3
# Of one model's, one more is drawn meanwhile, and one waits that is full.
BUFFERS = AT_A_TIME + 2

Output = TypeVar("Output")
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


@dataclass(frozen=True)
class Share(Generic[Output]):
    """One picture's share of what a batch gave: its row there."""

    output: Output
    row: int


class _Batch(Generic[Output]):
    """Rows for the pictures of a batch; the threads draw their own, and wait for `done`."""

    def __init__(self, rows: Pixels) -> None:
        self.rows = rows
        self.found: list[Share[Output] | Exception] = []
        self.done: Future[None] = Future()
        self.count = 0  # rows that are taken
        self._drawn = 0
        self._changed = threading.Condition()

    @property
    def room(self) -> int:
        """Rows that nobody has taken."""
        return len(self.rows) - self.count

    def note_drawn(self, count: int) -> None:
        """So many more rows have their picture."""
        with self._changed:
            self._drawn += count
            self._changed.notify_all()

    def wait_until_drawn(self) -> None:
        """Wait for the threads that have taken a row and still draw."""
        with self._changed:
            self._changed.wait_for(lambda: self._drawn >= self.count)


class Batcher(Generic[Output]):
    """Pictures of one size, whoever they come from, in full batches where enough of them wait.

    No batch waits to be filled: while the device is busy the next ones come together by
    themselves. An error is told to the picture that causes it, and to no other. The threads of
    this class do as little as can be: while they wait for the interpreter's lock among a hundred
    others, the device stands still.
    """

    def __init__(
        self,
        compute: Callable[[Pixels], Output],
        side: int,
        sizes: Sequence[int],
        gate: Gate,
        release: Callable[[int], object] = lambda _: None,
    ) -> None:
        """compute: a batch uint8 (B, side, side, 3), B one of `sizes` -> what all rows give.

        release: frees what the device holds for a size that is not used any more.
        """
        self._compute = compute
        self._release = release
        self._shape = (side, side, 3)
        self._sizes = sorted(sizes)
        self._gate = gate
        self._free = [np.zeros((self._sizes[-1], *self._shape), np.uint8) for _ in range(BUFFERS)]
        self._batches: deque[_Batch[Output]] = deque()  # the last one may have room
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
            known = self._sizes
            try:
                self._compute(np.zeros((size, *self._shape), np.uint8))
                done.add(size)
            except Exception as error:
                if not (is_out_of_memory(error) and self._shrink(known)):
                    raise

    def run(self, count: int, draw: Draw) -> list[Share[Output]]:
        """The shares of `count` pictures, in their order; `draw` writes each into its row.

        Raises what `draw` raises, and what `compute` raises for one of them alone.
        """
        parts: list[tuple[_Batch[Output], slice]] = []
        first = 0
        while first < count:
            while (place := self._reserve(count - first)) is None:
                with self._gate.aside(), self._changed:
                    self._changed.wait_for(self._has_room)
            batch, rows = place
            try:
                self._threads.submit(self._do_next)
                for row in range(rows.start, rows.stop):
                    draw(first + row - rows.start, batch.rows[row])
            finally:
                batch.note_drawn(rows.stop - rows.start)
            parts.append(place)
            first += rows.stop - rows.start
        with self._gate.aside():
            for batch, _ in parts:
                batch.done.result()
        found = [share for batch, rows in parts for share in batch.found[rows]]
        error = next((share for share in found if isinstance(share, Exception)), None)
        if error is not None:
            # Its traceback holds this frame, which is not to hold the photo for as long.
            del parts, place, batch, found, draw
            raise error
        return [share for share in found if isinstance(share, Share)]

    def _reserve(self, count: int) -> tuple[_Batch[Output], slice] | None:
        """Rows of the next batch for at most `count` pictures.

        None while all batches are full, or computed.
        """
        with self._changed:
            if not self._has_room():
                return None
            if not self._batches or not self._batches[-1].room:
                self._batches.append(_Batch(self._free.pop()))
            batch = self._batches[-1]
            rows = slice(batch.count, batch.count + min(count, batch.room))
            batch.count = rows.stop
            return batch, rows

    def _has_room(self) -> bool:
        return bool(self._free) or bool(self._batches and self._batches[-1].room)

    def _do_next(self) -> None:
        """Compute the next batch, if its pictures were not in an earlier one."""
        if not self._batches:
            return
        with self._gate.turn:
            with self._changed:
                if not self._batches:
                    return
                batch = self._batches.popleft()
            try:
                batch.wait_until_drawn()
                self._do(batch, batch.rows, batch.count)
                batch.done.set_result(None)
            except BaseException as error:  # (a bug: those who wait must not wait for ever)
                batch.done.set_exception(RuntimeError(f"The batch was given up: {error!r}"))
                raise
            finally:
                with self._changed:
                    self._free.append(batch.rows)
                    self._changed.notify_all()

    def _do(self, batch: _Batch[Output], rows: Pixels, count: int) -> None:
        """Compute the first `count` rows; by halves where they fail together."""
        size = next((size for size in self._sizes if size >= count), 0)
        if not size:  # sizes have become fewer
            self._do_halves(batch, rows, count)
            return
        if len(rows) < size:
            rows = np.concatenate([rows, np.zeros((size - len(rows), *self._shape), np.uint8)])
        rows[count:size] = 0  # what is left of others' pictures
        known = self._sizes
        try:
            output = self._compute(rows[:size])
        except Exception as error:  # noqa: BLE001 (runtimes share no base class)
            if is_out_of_memory(error) and self._shrink(known):
                self._do(batch, rows, count)
            elif count == 1:
                batch.found.append(error.with_traceback(None))
            else:
                self._do_halves(batch, rows, count)
            return
        batch.found += [Share(output, row) for row in range(count)]

    def _do_halves(self, batch: _Batch[Output], rows: Pixels, count: int) -> None:
        half = count // 2
        # Copies: what one half fills up with is not to be the other's.
        for part in (rows[:half].copy(), rows[half:count].copy()):
            self._do(batch, part, len(part))

    def _shrink(self, known: Sequence[int]) -> bool:
        """Do without the largest size from now on, and free what the device holds for it.

        known: the sizes when memory ran out: another batch may have done so meanwhile. False where
        there is nothing to do without.
        """
        with self._changed:
            if self._sizes is not known:
                return True
            *smaller, largest = self._sizes
            if not smaller and largest == 1:
                return False
            self._sizes = smaller or [largest // 2]
            most = self._sizes[-1]
        self._release(largest)
        logger.warning(
            "The device's memory ran out: batches of at most %d pictures from now on. Run fewer "
            "syncs beside each other on it.",
            most,
        )
        return True
