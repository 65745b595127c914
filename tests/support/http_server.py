"""HTTP servers for tests, each on a free port of this machine until its block ends."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class QuietHandler(BaseHTTPRequestHandler):
    """One connection; says nothing on the terminal."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: two cost 40 ms

    def answer(
        self,
        status: int,
        body: bytes = b"",
        headers: Iterable[tuple[str, str]] = (),
        *,
        missing: int = 0,
    ) -> None:
        """Answer; so many bytes at the body's end never come."""
        self.close_connection = missing > 0 or self.close_connection
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) - missing])

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@contextmanager
def serve_http(handler: type[QuietHandler], **shared: Any) -> Iterator[str]:
    """A server's URL; `shared` become attributes of its handlers."""
    with _Server(("127.0.0.1", 0), type(handler.__name__, (handler,), shared)) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be quiet about clients that leave or are killed."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
