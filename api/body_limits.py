"""How much a caller may send: refused by what it announces, or once it has sent more."""

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.settings import get_settings

MAX_BODY_BYTES = 64 * 1024
UPLOAD_PATHS = frozenset({"/api/v1/faces/search"})  # may send FACEPASS_MAX_UPLOAD_BYTES


class BodyLimits:
    """Middleware: 413 for a body that is too large, before it is read into memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on, its body counted while it arrives."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_upload = scope["path"] in UPLOAD_PATHS
        # A form is more than its file; one that is a little too large is told by the search itself.
        upload_limit = get_settings().max_upload_bytes + MAX_BODY_BYTES
        limit = upload_limit if is_upload else MAX_BODY_BYTES
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal():
            answer = JSONResponse({"detail": "Invalid Content-Length header"}, 400)
            await answer(scope, receive, send)
        elif len(announced) > 18 or int(announced) > limit:
            answer = JSONResponse({"detail": _explain(limit)}, 413, {"connection": "close"})
            await answer(scope, receive, send)
        else:
            await self._app(scope, _count(receive, limit), send)


def _count(receive: Receive, limit: int) -> Receive:
    received = 0

    async def count() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, _explain(limit), {"connection": "close"})
        return message

    return count


def _explain(limit: int) -> str:
    return f"The request is too large: at most {limit} bytes."
