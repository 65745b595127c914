"""Downloads: bounded places, and one that its client does not take lets go of everything."""

from collections.abc import Generator

import anyio
import pytest
from starlette.requests import ClientDisconnect
from starlette.types import Message

from api.bulkheads import downloads
from api.bulkheads.downloads import Download, DownloadResponse, get_download_places
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
