"""Errors as HTTP answers: one table, one sentence each, never a stack trace."""

from dataclasses import asdict

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from api.schemas import ErrorAnswer
from models.errors import (
    DatabaseOutdatedError,
    DatabaseUnavailableError,
    EventNotFoundError,
    EventTakenError,
    FacePassError,
    InvalidCursorError,
    InvalidPrefixError,
    InvalidUploadError,
    OrchestratorUnavailableError,
    SelfieError,
)

_STATUS: dict[type[Exception], int] = {
    InvalidPrefixError: 400,
    InvalidUploadError: 400,
    InvalidCursorError: 400,
    EventNotFoundError: 404,
    EventTakenError: 409,
    SelfieError: 422,
    OrchestratorUnavailableError: 503,
    DatabaseUnavailableError: 503,
    DatabaseOutdatedError: 503,
}


def install_error_handlers(app: FastAPI) -> None:
    """Answer the product's errors with their own sentences."""
    app.add_exception_handler(FacePassError, _answer_error)


def describe_errors(*statuses: int) -> dict[int | str, dict[str, object]]:
    """The `responses=` of a route that may answer with these statuses."""
    return {status: {"model": ErrorAnswer} for status in statuses}


async def _answer_error(_: Request, error: Exception) -> JSONResponse:
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)
    body: dict[str, object] = {"detail": str(error)}
    if isinstance(error, SelfieError):
        body |= {"code": error.code, "faces": [asdict(face) for face in error.faces]}
    return JSONResponse(body, status_code=status)
