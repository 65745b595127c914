"""Errors as HTTP answers: one table, one sentence each, never a stack trace."""

import logging
from dataclasses import asdict
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from api.schemas import ErrorAnswer
from models.errors import (
    DatabaseOutdatedError,
    DatabaseUnavailableError,
    ErasureIncompleteError,
    EventErasedError,
    EventNotFoundError,
    EventTakenError,
    FacePassError,
    InvalidCursorError,
    InvalidPrefixError,
    InvalidUploadError,
    OrchestratorUnavailableError,
    PhotoNotFoundError,
    SelfieError,
)

logger = logging.getLogger(__name__)

_STATUS: dict[type[Exception], int] = {
    InvalidPrefixError: 400,
    InvalidUploadError: 400,
    InvalidCursorError: 400,
    EventNotFoundError: 404,
    PhotoNotFoundError: 404,
    EventTakenError: 409,
    EventErasedError: 409,
    SelfieError: 422,
    OrchestratorUnavailableError: 503,
    ErasureIncompleteError: 503,
    DatabaseUnavailableError: 503,
    DatabaseOutdatedError: 503,
}


def install_error_handlers(app: FastAPI) -> None:
    """Answer the product's errors with their own sentences."""
    app.add_exception_handler(FacePassError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(Exception, _answer_unexpected)


def describe_errors(*statuses: int) -> dict[int | str, dict[str, object]]:
    """The `responses=` of a route that may answer with these statuses."""
    return {status: {"model": ErrorAnswer} for status in statuses}


async def _answer_error(_: Request, error: Exception) -> JSONResponse:
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)
    body: dict[str, object] = {"detail": str(error)}
    if isinstance(error, SelfieError):
        body |= {"code": error.code, "faces": [asdict(face) for face in error.faces]}
    return JSONResponse(body, status_code=status)


async def _answer_invalid(_: Request, error: Exception) -> JSONResponse:
    """FastAPI's own answer without what was sent: it may be a key or a selfie."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    return JSONResponse(
        {"detail": [{name: one[name] for name in ("loc", "msg", "type")} for one in found]}, 422
    )


async def _answer_unexpected(request: Request, error: Exception) -> JSONResponse:
    """A sentence with a number that stands in the log, beside what happened."""
    number = uuid4().hex[:12]
    route = getattr(request.scope.get("route"), "path", "unknown")
    logger.error("Error %s in %s %s", number, request.method, route, exc_info=error)
    return JSONResponse(
        {"detail": f"Something unexpected happened; the API's log says more under {number}."}, 500
    )
