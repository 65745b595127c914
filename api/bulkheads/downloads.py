"""Downloads: their places, and the response that sends a zip piece by piece.

A download that its client does not take, or leaves, lets go of its thread, its place and its
connection to S3.
"""

from collections.abc import Generator
from functools import partial

import anyio
from anyio.lowlevel import RunVar
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Message, Send

from api.bulkheads.threads import Kind, get_bulkhead
from models.errors import TooBusyError

MOST_DOWNLOADS = 100  # at a time: each holds a connection to S3 and half a megabyte
MOST_AN_ADDRESS = 50  # of them: another's guest always finds a place
STALL_S = 60.0  # for a client to take one piece (256 KiB): 35 kbit/s
_FULL = "Very many guests are downloading right now: try again in half a minute."


class DownloadPlaces:
    """Downloads under way, by the caller's address."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}

    @property
    def held(self) -> int:
        """Downloads under way."""
        return sum(self._held.values())

    def take(self, address: str) -> None:
        """Raises TooBusyError where no place is free."""
        if self.held >= MOST_DOWNLOADS or self._held.get(address, 0) >= MOST_AN_ADDRESS:
            raise TooBusyError(_FULL)
        self._held[address] = self._held.get(address, 0) + 1

    def leave(self, address: str) -> None:
        """Give a place back."""
        self._held[address] -= 1
        if not self._held[address]:
            del self._held[address]


def get_download_places() -> DownloadPlaces:
    """The event loop's."""
    try:
        return _places.get()
    except LookupError:
        _places.set(DownloadPlaces())
        return _places.get()


class Download:
    """One download's place and pieces; the first is read before an answer is promised."""

    def __init__(self, address: str, pieces: Generator[bytes, None, None]) -> None:
        """Take a place. Raises TooBusyError."""
        self._pieces = pieces
        self._address = address
        self._places = get_download_places()
        self._places.take(address)

    async def read(self) -> bytes | None:
        """The next piece; None at the end. Raises TooBusyError, and what reading raises."""
        return await get_bulkhead(Kind.DOWNLOADS).run(partial(next, self._pieces, None))

    def close(self) -> None:
        """Let go of all that it holds; a connection is closed without a word to its server."""
        try:
            self._pieces.close()
        finally:
            self._places.leave(self._address)


class DownloadResponse(StreamingResponse):
    """An answer of a download's pieces; the connection breaks where one cannot be read."""

    def __init__(self, download: Download, first: bytes | None, headers: dict[str, str]) -> None:
        super().__init__((), media_type="application/zip", headers=headers)
        self._download = download
        self._first = first

    async def stream_response(self, send: Send) -> None:
        """Send all pieces; Starlette cancels this when the client has gone."""
        try:
            await _send_in_time(
                send,
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                },
            )
            piece = self._first
            while piece is not None:
                body = {"type": "http.response.body", "body": piece, "more_body": True}
                await _send_in_time(send, body)
                piece = await self._download.read()
            await _send_in_time(send, {"type": "http.response.body", "body": b""})
        finally:
            self._download.close()


async def _send_in_time(send: Send, message: Message) -> None:
    try:
        with anyio.fail_after(STALL_S):
            await send(message)
    except TimeoutError as error:
        raise ClientDisconnect from error


_places: RunVar[DownloadPlaces] = RunVar("download_places")
