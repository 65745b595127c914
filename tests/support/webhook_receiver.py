"""A receiver of webhooks on this machine, which answers as it is told to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.http_server import QuietHandler, serve_http

HANG = 0  # instead of a status: no answer until the receiver ends


@dataclass(frozen=True)
class Received:
    """One call."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        """The body's JSON."""
        content: dict[str, Any] = json.loads(self.body)
        return content


@dataclass
class WebhookReceiver:
    """What came in, and what is answered: `answers` one after the other, then 204."""

    url: str
    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def answer(self, call: Received) -> int:
        """Keep a call and decide; blocks where it must hang."""
        self.received.append(call)
        status = self.answers.pop(0) if self.answers else 204
        if status == HANG:
            self._ended.wait(120)
        return status

    def end(self) -> None:
        """Let go of whoever hangs."""
        self._ended.set()


@contextmanager
def receive_webhooks(path: str = "/hook") -> Iterator[WebhookReceiver]:
    """A receiver on a free port of 127.0.0.1."""

    class Handler(QuietHandler):
        def do_POST(self) -> None:  # noqa: N802 - http.server's name
            length = int(self.headers["content-length"])
            names = {name.lower(): value for name, value in self.headers.items()}
            call = Received(self.path, names, self.rfile.read(length))
            status = receiver.answer(call)
            if status == HANG:
                self.close_connection = True
                return
            self.answer(status, headers=receiver.headers.items())

    with serve_http(Handler) as url:
        receiver = WebhookReceiver(url + path)
        try:
            yield receiver
        finally:
            receiver.end()
