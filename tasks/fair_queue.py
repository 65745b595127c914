"""A queue that serves several customers in turn, and each in the order of its requests."""

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Thread-safe; `take` never waits: it is called once for every `put`."""

    def __init__(self) -> None:
        self._lines: OrderedDict[Hashable, deque[Item]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, customer: Hashable, item: Item) -> None:
        """Add a customer's next item."""
        with self._lock:
            self._lines.setdefault(customer, deque()).append(item)

    def take(self) -> Item:
        """The first item of the customer who has waited longest. Raises IndexError when empty."""
        with self._lock:
            try:
                customer, line = next(iter(self._lines.items()))
            except StopIteration:
                raise IndexError("nobody waits") from None
            item = line.popleft()
            if line:
                self._lines.move_to_end(customer)
            else:
                del self._lines[customer]
            return item
