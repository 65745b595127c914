"""Downloads: their places, and the response that sends a file piece by piece.

A download that its client does not take, or leaves, lets go of its thread, its place and its
connection to S3.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import anyio
from anyio.lowlevel import RunVar
from fastapi import Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Message, Send

from api.bulkheads.searches import run_while_connected
from api.bulkheads.threads import Kind, get_bulkhead
from models.errors import TooBusyError

HEAD_ONLY = "facepass.head_only"  # in the scope of a HEAD, which routes see as a GET
STALL_S = 60.0  # for a client to take one piece (256 KiB): 35 kbit/s
_FULL = "Very many guests are downloading right now: try again in half a minute."


@dataclass(frozen=True)
class PlaceLimits:
    """Places of one kind of download: each holds a connection to S3 and half a megabyte.

    an_address: of them, for one address: another's guest always finds a place.
    """

    most: int
    an_address: int


FILES = PlaceLimits(100, 50)  # originals and zips
PICTURES = PlaceLimits(200, 150)  # too large to be read at once; a guest's browser asks for six


class DownloadPlaces:
    """Downloads under way, by the caller's address."""

    def __init__(self, limits: PlaceLimits) -> None:
        self._limits = limits
        self._held: dict[str, int] = {}

    @property
    def held(self) -> int:
        """Downloads under way."""
        return sum(self._held.values())

    def take(self, address: str) -> None:
        """Raises TooBusyError where no place is free."""
        limits = self._limits
        if self.held >= limits.most or self._held.get(address, 0) >= limits.an_address:
            raise TooBusyError(_FULL)
        self._held[address] = self._held.get(address, 0) + 1

    def leave(self, address: str) -> None:
        """Give a place back."""
        self._held[address] -= 1
        if not self._held[address]:
            del self._held[address]


def get_download_places(limits: PlaceLimits = FILES) -> DownloadPlaces:
    """The event loop's places of a kind."""
    try:
        places = _places.get()
    except LookupError:
        places = {limits: DownloadPlaces(limits) for limits in (FILES, PICTURES)}
        _places.set(places)
    return places[limits]


@contextmanager
def hold_place(address: str) -> Iterator[None]:
    """A place among files for the block. Raises TooBusyError.

    A download that is started right behind it, before any other work, has the place then.
    """
    places = get_download_places(FILES)
    places.take(address)
    try:
        yield
    finally:
        places.leave(address)


class Pieces(Protocol):
    """The bytes of a download, in order."""

    def __next__(self) -> bytes:
        """The next piece, or StopIteration."""
        ...

    def close(self) -> None:
        """Let go of what they are read from."""
        ...


class Download:
    """One download's place and pieces; the first is read before an answer is promised."""

    def __init__(self, address: str, pieces: Pieces, limits: PlaceLimits = FILES) -> None:
        """Take a place. Raises TooBusyError, with the pieces closed."""
        self._pieces = pieces
        self._address = address
        self._places = get_download_places(limits)
        try:
            self._places.take(address)
        except TooBusyError:
            pieces.close()
            raise

    async def read(self) -> bytes | None:
        """The next piece; None at the end. Raises TooBusyError, and what reading raises."""
        return await get_bulkhead(Kind.DOWNLOADS).run(partial(_read_next, self._pieces))

    def close(self) -> None:
        """Let go of all that it holds; a connection is closed without a word to its server."""
        try:
            self._pieces.close()
        finally:
            self._places.leave(self._address)


def _read_next(pieces: Pieces) -> bytes | None:
    try:
        return pieces.__next__()
    except StopIteration:  # which cannot leave a coroutine
        return None


class DownloadResponse(StreamingResponse):
    """An answer of a download's pieces; the connection breaks where one cannot be read."""

    def __init__(
        self,
        download: Download,
        first: bytes | None,
        headers: dict[str, str],
        status: int = 200,
        *,
        head_only: bool = False,
    ) -> None:
        super().__init__((), status, headers)
        self._head_only = head_only
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
            # Who asks for the head alone gets no bytes: S3 would be read for nobody.
            piece = None if self._head_only else self._first
            while piece is not None:
                body = {"type": "http.response.body", "body": piece, "more_body": True}
                await _send_in_time(send, body)
                piece = await self._download.read()
            await _send_in_time(send, {"type": "http.response.body", "body": b""})
        finally:
            self._download.close()


async def start_download(
    request: Request,
    address: str,
    pieces: Pieces,
    headers: dict[str, str],
    *,
    limits: PlaceLimits = FILES,
    status: int = 200,
) -> DownloadResponse:
    """The answer that sends these pieces. Raises TooBusyError, and what reading the first raises.

    The first piece is read here: where S3 is away, the answer can still say so.
    """
    download = Download(address, pieces, limits)
    try:
        first = await run_while_connected(request, download.read)
    except BaseException:
        download.close()
        raise
    head_only = HEAD_ONLY in request.scope
    return DownloadResponse(download, first, headers, status, head_only=head_only)


async def _send_in_time(send: Send, message: Message) -> None:
    try:
        with anyio.fail_after(STALL_S):
            await send(message)
    except TimeoutError as error:
        raise ClientDisconnect from error


_places: RunVar[dict[PlaceLimits, DownloadPlaces]] = RunVar("download_places")
