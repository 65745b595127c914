"""A proxy that serves an API below a path, as nginx and Caddy are told to."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.support.http_server import QuietHandler, serve_http

_HOP = {"connection", "content-length", "transfer-encoding", "keep-alive", "date", "server"}


class PathProxy:
    """Hands what is asked below `base` to `target`, with or without the base."""

    def __init__(self, base: str, *, cuts: bool) -> None:
        self.base, self.cuts = base, cuts
        self.target = ""
        self.url = ""
        self.strays: list[str] = []  # paths that were asked for outside the base

    @contextmanager
    def serve(self) -> Iterator["PathProxy"]:
        """Serve until the block ends; `target` may be set later."""
        with (
            # Uncompressed: httpx would unpack what the headers call packed.
            httpx.Client(
                trust_env=False, timeout=60, headers={"accept-encoding": "identity"}
            ) as client,
            serve_http(_Handler, proxy=self, client=client) as url,
        ):
            self.url = f"{url}{self.base}"
            yield self


class _Handler(QuietHandler):
    proxy: PathProxy
    client: httpx.Client

    def do_GET(self) -> None:  # noqa: N802 (http.server's name)
        """Hand a call on, and its answer back."""
        if not self.path.startswith(f"{self.proxy.base}/"):
            self.proxy.strays.append(self.path)
            self.answer(404, b"nothing of the API lies here")
            return
        path = self.path.removeprefix(self.proxy.base) if self.proxy.cuts else self.path
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        # The Host stays as it was asked for.
        left_out = {*_HOP, "accept-encoding"}
        sent = self.headers.items()
        headers = [(name, value) for name, value in sent if name.lower() not in left_out]
        answer = self.client.request(
            self.command, f"{self.proxy.target}{path}", content=body, headers=headers
        )
        kept = [(name, value) for name, value in answer.headers.items() if name not in _HOP]
        self.answer(answer.status_code, answer.content, kept)

    do_POST = do_GET  # noqa: N815 (http.server's name)
