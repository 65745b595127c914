"""A TCP relay in front of a real server, to cut and mend at will."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self
from urllib.parse import urlsplit


class FaultProxy:
    """Relays bytes to a server; while `cut` is set, connections are dropped.

    While `hang` is set they stay open, and what is sent is swallowed: nothing ever answers.

    `hang_after(n)` begins with that once n more bytes have passed: always in the middle of the
    same thing, without a clock.

    `mend_after(n)` cuts, and mends by itself after n connections were dropped: what a retry
    meets, without a clock.
    """

    def __init__(self, target_url: str, host: str = "127.0.0.1") -> None:
        parts = urlsplit(target_url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._listener = socket.create_server((host, 0))
        self.url = f"http://{host}:{self._listener.getsockname()[1]}"
        self.cut = threading.Event()
        self.dropped = 0
        self.hang = threading.Event()
        self.swallowed = 0
        self._mend_at: int | None = None
        self._passing: float = float("inf")

    def hang_after(self, count: int) -> None:
        """Hang once so many more bytes have passed."""
        self._passing = count

    def mend_after(self, connections: int) -> None:
        """Cut now; mend once so many connections have been dropped."""
        self._mend_at = self.dropped + connections
        self.cut.set()

    @contextmanager
    def serve(self) -> Iterator[Self]:
        """Relay until the block ends; connections to the server start in the caller's network."""
        with self._listener:
            threading.Thread(target=self._accept, daemon=True).start()
            yield self

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.cut.is_set():
                self._drop(client)
                continue
            server = socket.create_connection(self._target)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _drop(self, client: socket.socket) -> None:
        client.close()
        self.dropped += 1
        if self._mend_at is not None and self.dropped >= self._mend_at:
            self._mend_at = None
            self.cut.clear()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError), source, sink:
            # An open connection is cut too, with the next bytes that pass.
            while (data := source.recv(65536)) and not self.cut.is_set():
                self._passing -= len(data)
                if self._passing <= 0:
                    self.hang.set()
                if self.hang.is_set():
                    self.swallowed += 1
                else:
                    sink.sendall(data)
