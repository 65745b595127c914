"""How much of a request's body is read: larger ones are refused before they fill the memory."""

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.settings import get_settings

JSON_BYTES = 64 * 1024  # the largest JSON that any call takes is a thousandth of it
UPLOAD_PATH = "/api/v1/faces/search"
FORM_BYTES = 64 * 1024  # what a form may have around its file


class BodyLimit:
    """ASGI middleware: answers 413 by the announced length, or when more arrives than allowed."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what is received; nothing is looked into."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = _choose_limit(scope["path"])
        if _read_length(scope) > limit:
            await JSONResponse({"detail": _explain(limit)}, 413)(scope, receive, send)
            return
        read = 0

        async def count() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                # FastAPI passes a middleware's HTTPException on as it is.
                raise HTTPException(413, _explain(limit))
            return message

        await self.app(scope, count, send)


def _choose_limit(path: str) -> int:
    if path == UPLOAD_PATH:
        return get_settings().max_upload_bytes + FORM_BYTES
    return JSON_BYTES


def _read_length(scope: Scope) -> int:
    """The announced length; 0 where there is none, or none that is a number."""
    text = dict(scope["headers"]).get(b"content-length", b"0")
    return int(text) if text.isdigit() else 0


def _explain(limit: int) -> str:
    return f"The request is too large: send at most {limit:,} bytes."
