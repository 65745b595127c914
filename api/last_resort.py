"""What nobody foresaw: a number for the caller, the rest for the log."""

import logging
import secrets

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)


class LastResort:
    """Middleware: an unexpected exception becomes a 500 whose number stands in the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on; nothing of an exception reaches the caller."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception:
            incident = secrets.token_hex(6)
            logger.exception("Incident %s", incident)
            if started:  # half an answer is out: the connection must break, or it looks whole
                raise
            detail = f"Something went wrong here; the log knows it as incident {incident}."
            await JSONResponse({"detail": detail}, 500)(scope, receive, send)
