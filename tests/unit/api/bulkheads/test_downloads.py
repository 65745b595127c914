"""Downloads: bounded places, and one that its client does not take lets go of everything."""

from collections.abc import Generator
from contextlib import ExitStack

import anyio
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from api.bulkheads import downloads
from api.bulkheads.downloads import (
    HEAD_ONLY,
    Download,
    DownloadResponse,
    get_download_places,
    hold_place,
    start_download,
)
from models.errors import TooBusyError

LIMIT_S = 20


def read_pieces(closed: list[bool]) -> Generator[bytes, None, None]:
    try:
        while True:
            yield b"piece"
    finally:
        closed.append(True)


@pytest.mark.parametrize("leaves", [True, False], ids=["leaves", "does not read"])
def test_a_client_who_leaves_or_does_not_read_holds_nothing(
    monkeypatch: pytest.MonkeyPatch, *, leaves: bool
) -> None:
    monkeypatch.setattr(downloads, "STALL_S", LIMIT_S if leaves else 0.1)
    closed: list[bool] = []
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) == 3:
            await anyio.sleep_forever()

    async def receive() -> Message:
        await anyio.sleep(0.1 if leaves else LIMIT_S)
        return {"type": "http.disconnect"}

    async def play() -> None:
        with anyio.fail_after(LIMIT_S):
            download = Download("one", read_pieces(closed))
            answer = DownloadResponse(download, await download.read(), {})
            scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
            if leaves:
                await answer(scope, receive, send)
            else:
                with pytest.raises(ClientDisconnect):
                    await answer(scope, receive, send)
        assert get_download_places().held == 0

    anyio.run(play)
    assert closed == [True]


def test_a_head_is_answered_without_reading_what_it_is_about() -> None:
    closed: list[bool] = []
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def play() -> None:
        with anyio.fail_after(LIMIT_S):
            scope = {"type": "http", "method": "GET", HEAD_ONLY: True}
            scope["asgi"] = {"spec_version": "2.3"}
            request = Request(scope, receive)
            answer = await start_download(request, "one", read_pieces(closed), {"X": "1"})
            await answer(scope, receive, send)
        assert get_download_places().held == 0

    anyio.run(play)
    assert closed == [True]
    assert [message.get("body") for message in sent] == [None, b""]


def test_a_place_is_held_before_there_is_a_download() -> None:
    async def play() -> None:
        with ExitStack() as held:
            for _ in range(downloads.FILES.an_address):
                held.enter_context(hold_place("one"))
            with pytest.raises(TooBusyError), hold_place("one"):
                pass
            with hold_place("another"):
                pass
        assert get_download_places().held == 0

    anyio.run(play)


def test_an_address_never_has_all_places() -> None:
    async def play() -> None:
        held = [Download("one", read_pieces([])) for _ in range(downloads.FILES.an_address)]
        with pytest.raises(TooBusyError):
            Download("one", read_pieces([]))
        held.append(Download("another", read_pieces([])))
        for download in held:
            download.close()
        assert get_download_places().held == 0

    anyio.run(play)
