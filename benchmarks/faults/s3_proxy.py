"""An HTTP proxy before the real S3 that answers a share of requests with an injected failure."""

import http.client
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Self

from tests.support.http_server import QuietHandler, serve_http
from tests.support.store_proxy import HOP, forward

SLOW_S = 1.5  # longer than the patience the campaign's worker has (FACEPASS_S3_TIMEOUT_S)


class Sickness(StrEnum):
    """What a request may meet."""

    ERROR_500 = "500"
    SLOW_DOWN_503 = "503"
    SLOW = "slow"
    HALF_BODY = "half a body"
    RESET = "reset"


class S3Proxy:
    """Passes requests on to `target_url`, signatures and all; threads may change it at any time."""

    def __init__(self, target_url: str, seed: int = 0) -> None:
        self.target_url = target_url
        self._chance = random.Random(seed)  # noqa: S311 - a seeded campaign, no secrets
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._sickness: Sickness | None = None
        self._share = 0.0
        self.pace_s = 0.0  # the least time between two photos: a slow line, so that syncs last
        self.requests = 0
        self.hits = 0  # requests that met the present sickness
        self._most = 0
        self.url = ""

    @contextmanager
    def serve(self) -> Iterator[Self]:
        """Serve at `url` until the block ends."""
        with serve_http(_Handler, proxy=self) as self.url:
            yield self

    def sicken(self, sickness: Sickness, share: float, times: int = sys.maxsize) -> None:
        """Let this share of the requests (0..1) meet a sickness, so often or until mended."""
        with self._lock:
            self._sickness, self._share, self._most, self.hits = sickness, share, times, 0

    def mend(self) -> None:
        """Pass everything on."""
        with self._lock:
            self._sickness = None

    def draw(self) -> Sickness | None:
        """What the next request meets."""
        with self._lock:
            self.requests += 1
            is_over = self._sickness is None or self.hits >= self._most
            if is_over or self._chance.random() >= self._share:
                return None
            self.hits += 1
            return self._sickness

    def wait_for_turn(self) -> None:
        """Hold a photo back, so that no more of them come a second than the pace allows."""
        if self.pace_s:
            with self._turn:
                time.sleep(self.pace_s)


class _Handler(QuietHandler):
    """One connection of a client; `proxy` says what its requests meet."""

    proxy: S3Proxy

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        """One request; a worker only lists and reads."""
        sickness = self.proxy.draw()
        if sickness is Sickness.RESET:
            self._reset()
        elif sickness is Sickness.ERROR_500:
            self._refuse(500, "InternalError")
        elif sickness is Sickness.SLOW_DOWN_503:
            self._refuse(503, "SlowDown")
        else:
            if sickness is Sickness.SLOW:
                time.sleep(SLOW_S)
            elif "/previews/" in self.path.partition("?")[0]:
                self.proxy.wait_for_turn()
            self._pass_on(half=sickness is Sickness.HALF_BODY)

    def _pass_on(self, *, half: bool) -> None:
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
        try:
            status, pairs, content = forward(self.proxy.target_url, "GET", self.path, headers)
        except (OSError, http.client.HTTPException):
            self._reset()  # as if this were the server that is away
            return
        kept = [(k, v) for k, v in pairs if k.lower() not in {*HOP, "content-length"}]
        self.answer(status, content, kept, missing=(len(content) + 1) // 2 if half else 0)

    def _refuse(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
        self.answer(status, text, [("Content-Type", "application/xml")])

    def _reset(self) -> None:
        """RST instead of an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
