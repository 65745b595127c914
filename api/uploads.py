"""A form with a file, read into memory: a guest's selfie never touches a disk."""

from collections.abc import AsyncGenerator

from fastapi import Request
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from models.errors import InvalidUploadError, SelfieError
from models.vocabulary import SelfieCode

MAX_FIELDS = 16


class _MemoryParser(MultiPartParser):
    """Starlette's parser; its own spools files of more than a megabyte to a temporary folder."""

    spool_max_size = 2**62


async def read_form(request: Request, max_bytes: int) -> FormData:
    """The form's fields and files, as they were sent.

    Raises SelfieError for more than `max_bytes` in all, and InvalidUploadError for what is no form.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise InvalidUploadError("Send the search as multipart/form-data, the selfie as `file`.")
    parser = _MemoryParser(
        request.headers, _bound(request, max_bytes), max_files=1, max_fields=MAX_FIELDS
    )
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise InvalidUploadError(f"The form cannot be read: {error.message}") from error


async def _bound(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    refused = SelfieError(
        f"This file is too large: send at most {max_bytes} bytes.", SelfieCode.TOO_MANY_BYTES
    )
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise refused
    read = 0
    async for chunk in request.stream():
        read += len(chunk)
        if read > max_bytes:
            raise refused
        yield chunk
