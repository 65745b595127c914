"""Errors as answers: the status, the sentence and the code of each, and who may read what.

The product's own errors have a row in the table below; what a route refuses by itself is an
`ApiError`. An answer never holds a stack trace or the input that was wrong.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from api.schemas import ErrorAnswer
from models import errors
from models.vocabulary import ErrorCode

logger = logging.getLogger(__name__)


class Verdict(NamedTuple):
    """An error to those who call: HTTP's status, and the word for programs."""

    status: int
    code: ErrorCode


_UNFORESEEN = Verdict(500, ErrorCode.INTERNAL_ERROR)
_VERDICTS: dict[type[Exception], Verdict] = {
    errors.InvalidPrefixError: Verdict(400, ErrorCode.INVALID_PREFIX),
    errors.InvalidUploadError: Verdict(400, ErrorCode.INVALID_UPLOAD),
    errors.InvalidCursorError: Verdict(400, ErrorCode.INVALID_CURSOR),
    errors.InvalidNotificationError: Verdict(400, ErrorCode.INVALID_NOTIFICATION),
    errors.UnknownPackError: Verdict(400, ErrorCode.UNKNOWN_PACK),
    errors.EventNotFoundError: Verdict(404, ErrorCode.EVENT_NOT_FOUND),
    errors.PhotoNotFoundError: Verdict(404, ErrorCode.PHOTO_NOT_FOUND),
    errors.CameraNotFoundError: Verdict(404, ErrorCode.CAMERA_NOT_FOUND),
    errors.GuestRequestNotFoundError: Verdict(404, ErrorCode.GUEST_REQUEST_NOT_FOUND),
    errors.PinRequiredError: Verdict(403, ErrorCode.PIN_NEEDED),
    errors.NotificationRefusedError: Verdict(403, ErrorCode.NOTIFICATION_REFUSED),
    errors.GalleryClosedError: Verdict(410, ErrorCode.GALLERY_CLOSED),
    errors.EventTakenError: Verdict(409, ErrorCode.EVENT_EXISTS),
    errors.AddressRefusedError: Verdict(422, ErrorCode.ADDRESS_REFUSED),
    errors.EventErasedError: Verdict(409, ErrorCode.EVENT_ERASED),
    errors.EventBusyError: Verdict(409, ErrorCode.EVENT_BUSY),
    errors.SelfieError: Verdict(422, ErrorCode.INVALID_INPUT),  # each has a code of its own
    errors.ErasureIncompleteError: Verdict(503, ErrorCode.ERASURE_INCOMPLETE),
    errors.MailUnavailableError: Verdict(503, ErrorCode.MAIL_UNAVAILABLE),
    errors.OrchestratorUnavailableError: Verdict(503, ErrorCode.PREFECT_UNAVAILABLE),
    errors.SnsUnavailableError: Verdict(503, ErrorCode.SNS_UNAVAILABLE),
    errors.DatabaseUnavailableError: Verdict(503, ErrorCode.DATABASE_UNAVAILABLE),
    errors.DatabaseOutdatedError: Verdict(503, ErrorCode.DATABASE_OUTDATED),
    errors.DatabaseRefusedError: Verdict(503, ErrorCode.DATABASE_REFUSED),
    errors.TooBusyError: Verdict(503, ErrorCode.TOO_BUSY),
    errors.ModelPackError: Verdict(503, ErrorCode.MODELS_UNAVAILABLE),
}
# What the framework refuses before a route is reached.
_FRAMEWORKS = {
    400: ErrorCode.BAD_REQUEST,
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
}
NO_MODEL = "The models that find faces cannot be used now: the API's log says why."
RETRY_AFTER = {"Retry-After": "15"}  # seconds: told with every 503


class ApiError(HTTPException):
    """A refusal of the API's own: status, sentence, code."""

    def __init__(
        self,
        status: int,
        detail: str,
        code: ErrorCode,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.code = code


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error with a sentence and a code, and wrong input with its faults."""
    app.add_exception_handler(errors.FacePassError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(StarletteHTTPException, _answer_refusal)


def describe_errors(*statuses: int) -> dict[int | str, dict[str, object]]:
    """The `responses=` of a route that may answer with these statuses."""
    return {status: {"model": ErrorAnswer} for status in statuses}


def build_refusal(
    status: int, detail: str, code: ErrorCode, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer to an error, for those who stand outside the routes."""
    return JSONResponse({"detail": detail, "code": code}, status, headers)


def judge_error(error: Exception) -> Verdict:
    """The status and the code of one of the product's errors."""
    return next((_VERDICTS[kind] for kind in type(error).__mro__ if kind in _VERDICTS), _UNFORESEEN)


async def _answer_error(_: Request, error: Exception) -> JSONResponse:
    status, code = judge_error(error)
    body: dict[str, object] = {"detail": str(error), "code": code}
    if isinstance(error, errors.ModelPackError) and status == 503:
        # A guest asked: the sentence is the operator's, and names folders of this machine.
        logger.error("%s", error)
        body["detail"] = NO_MODEL
    if isinstance(error, errors.SelfieError):
        faces = [asdict(face) for face in error.faces]
        body |= {"code": error.code or code, "faces": faces, "file": error.file}
    return JSONResponse(body, status, RETRY_AFTER if status == 503 else None)


async def _answer_invalid(_: Request, error: Exception) -> JSONResponse:
    """The faults and their places, never the input itself: it may be a secret, or no text."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    sentences = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in found]
    return build_refusal(422, "; ".join(sentences), ErrorCode.INVALID_INPUT)


async def _answer_refusal(_: Request, error: Exception) -> JSONResponse:
    if isinstance(error, ApiError):
        return build_refusal(error.status_code, error.detail, error.code, error.headers)
    if isinstance(error, StarletteHTTPException):
        code = _FRAMEWORKS.get(error.status_code, ErrorCode.INTERNAL_ERROR)
        return build_refusal(error.status_code, error.detail, code, error.headers)
    raise error
