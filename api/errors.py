"""The HTTP answers to errors: one table of statuses, the error's own sentence, no stack trace."""

from collections.abc import Sequence
from dataclasses import asdict

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from api.schemas import ErrorAnswer
from models.errors import (
    DatabaseOutdatedError,
    DatabaseUnavailableError,
    ErasureIncompleteError,
    EventBusyError,
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
    UnknownPackError,
)

_STATUS: dict[type[Exception], int] = {
    InvalidPrefixError: 400,
    InvalidUploadError: 400,
    InvalidCursorError: 400,
    UnknownPackError: 400,
    EventNotFoundError: 404,
    PhotoNotFoundError: 404,
    EventTakenError: 409,
    EventErasedError: 409,
    EventBusyError: 409,
    SelfieError: 422,
    ErasureIncompleteError: 503,
    OrchestratorUnavailableError: 503,
    DatabaseUnavailableError: 503,
    DatabaseOutdatedError: 503,
}


def install_error_handlers(app: FastAPI) -> None:
    """Answer the product's errors with their own sentences, and wrong input with its faults."""
    app.add_exception_handler(FacePassError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)


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
    """The faults and their places, never the input itself: it may be a secret, or no text."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    sentences = [f"{_name_place(item['loc'])}: {item['msg']}" for item in found]
    return JSONResponse({"detail": "; ".join(sentences)}, status_code=422)


def _name_place(location: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in location)
