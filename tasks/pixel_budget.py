"""How much may lie decoded in memory at a time: a few huge photos, or hundreds of previews."""

import threading


class PixelBudget:
    """Pixels that all threads together may hold; who wants more than is free waits.

    A photo takes 10 to 20 bytes a pixel while it is decoded. Each thread holds one photo at a
    time, and gives back what it holds without naming it.
    """

    def __init__(self, capacity: int) -> None:
        """capacity: pixels. A photo larger than this is let in when it is alone."""
        self._capacity = capacity
        self._held: dict[int, int] = {}  # by thread
        self._changed = threading.Condition()
        # One waits at a time, the others behind it: small photos must not overtake a large one
        # for ever.
        self._turnstile = threading.Lock()

    def reserve(self, pixels: int) -> None:
        """Wait until so many pixels are free, and hold them for this thread."""
        wanted = min(pixels, self._capacity)
        with self._turnstile, self._changed:
            self._changed.wait_for(lambda: self.held + wanted <= self._capacity)
            self._held[threading.get_ident()] = wanted

    def release(self) -> None:
        """Give back what this thread holds, if anything."""
        with self._changed:
            if self._held.pop(threading.get_ident(), None) is not None:
                self._changed.notify_all()

    @property
    def held(self) -> int:
        """Pixels held now, by all threads."""
        return sum(self._held.values())
