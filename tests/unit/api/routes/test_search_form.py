"""The form of a search: up to three selfies, their bytes all counted, a face chosen for each."""

from collections.abc import Sequence

import anyio
import httpx
import pytest
from fastapi import Request
from starlette.datastructures import FormData
from starlette.types import Message

from api.routes.search import read_form
from api.schemas import MOST_SELFIES, SearchForm
from models.errors import InvalidUploadError, SelfieError, TooBusyError

TOKEN = ("gallery_token", "token")


def build_body(selfies: Sequence[bytes], **fields: str) -> tuple[bytes, str]:
    """A form's bytes and its content type."""
    files = [("file", ("me.jpg", content, "image/jpeg")) for content in selfies]
    request = httpx.Request("POST", "http://localhost/", data=fields, files=files)
    return request.read(), request.headers["content-type"]


def read(body: bytes, kind: str, max_bytes: int, counted: list[int]) -> FormData:
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]

    async def receive() -> Message:
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def parse() -> FormData:
        scope = {"type": "http", "headers": [(b"content-type", kind.encode())]}
        return await read_form(Request(scope, receive), max_bytes, counted.append)

    return anyio.run(parse)


@pytest.mark.parametrize("number", range(1, MOST_SELFIES + 1))
def test_every_byte_of_every_selfie_is_counted(number: int) -> None:
    body, kind = build_body([b"x" * 4000] * number, limit="9")
    counted: list[int] = []

    form = read(body, kind, len(body), counted)

    assert len(form.getlist("file")) == number
    assert sum(counted) == len(body)
    with pytest.raises(SelfieError, match="in all") as refused:
        read(body, kind, len(body) - 1, [])
    assert (refused.value.code, refused.value.file) == ("too_many_bytes", None)


def test_a_selfie_more_than_three_is_refused_in_words() -> None:
    body, kind = build_body([b"x"] * (MOST_SELFIES + 1))
    with pytest.raises(InvalidUploadError, match="Maximum number of files is 3"):
        read(body, kind, len(body), [])


def test_where_there_is_no_room_the_form_is_read_no_further() -> None:
    body, kind = build_body([b"x" * 4000] * 3)
    counted: list[int] = []

    class Full(list[int]):
        def append(self, number: int) -> None:
            counted.append(number)
            if sum(counted) > 5000:
                raise TooBusyError("full")

    with pytest.raises(TooBusyError):
        read(body, kind, len(body), Full())
    assert sum(counted) <= 6000


@pytest.mark.parametrize(
    ("sent", "faces"),
    [
        ([], []),
        (["2"], [2]),
        ([""], []),
        (["", "", ""], []),
        (["", "0"], [None, 0]),
        (["3", "", "1"], [3, None, 1]),
    ],
)
def test_a_face_is_chosen_for_each_selfie_or_for_none(
    sent: list[str], faces: list[int | None]
) -> None:
    form = SearchForm.from_fields([TOKEN, *(("face", face) for face in sent), ("limit", "")])
    assert (form.face, form.limit) == (faces, 50)


@pytest.mark.parametrize("sent", [["-1"], ["x", ""], ["0", "501"], ["0"] * 4])
def test_a_face_that_cannot_be_is_refused(sent: list[str]) -> None:
    with pytest.raises(InvalidUploadError, match="face"):
        SearchForm.from_fields([TOKEN, *(("face", face) for face in sent)])
