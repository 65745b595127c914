"""Exception handlers and the table that gives each of the product's errors its HTTP status.

The answer is the error's own sentence, without a stack trace.
"""

import logging
from dataclasses import asdict

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from api.schemas import ErrorAnswer
from models import errors

logger = logging.getLogger(__name__)

_STATUS: dict[type[Exception], int] = {
    errors.InvalidPrefixError: 400,
    errors.InvalidUploadError: 400,
    errors.InvalidCursorError: 400,
    errors.InvalidNotificationError: 400,
    errors.UnknownPackError: 400,
    errors.EventNotFoundError: 404,
    errors.PhotoNotFoundError: 404,
    errors.CameraNotFoundError: 404,
    errors.GuestRequestNotFoundError: 404,
    errors.PinRequiredError: 403,
    errors.NotificationRefusedError: 403,
    errors.GalleryClosedError: 410,
    errors.EventTakenError: 409,
    errors.AddressRefusedError: 422,
    errors.EventErasedError: 409,
    errors.EventBusyError: 409,
    errors.SelfieError: 422,
    errors.ErasureIncompleteError: 503,
    errors.MailUnavailableError: 503,
    errors.OrchestratorUnavailableError: 503,
    errors.SnsUnavailableError: 503,
    errors.DatabaseUnavailableError: 503,
    errors.DatabaseOutdatedError: 503,
    errors.DatabaseRefusedError: 503,
    errors.TooBusyError: 503,
    errors.ModelPackError: 503,
}
NO_MODEL = "The models that find faces cannot be used now: the API's log says why."
RETRY_AFTER = {"Retry-After": "15"}  # seconds: told with every 503


def install_error_handlers(app: FastAPI) -> None:
    """Answer the product's errors with their own sentences, and wrong input with its faults."""
    app.add_exception_handler(errors.FacePassError, _answer_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid)


def describe_errors(*statuses: int) -> dict[int | str, dict[str, object]]:
    """The `responses=` of a route that may answer with these statuses."""
    return {status: {"model": ErrorAnswer} for status in statuses}


async def _answer_error(_: Request, error: Exception) -> JSONResponse:
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)
    body: dict[str, object] = {"detail": str(error)}
    if isinstance(error, errors.ModelPackError) and status == 503:
        # A guest asked: the sentence is the operator's, and names folders of this machine.
        logger.error("%s", error)
        body = {"detail": NO_MODEL}
    if isinstance(error, errors.SelfieError):
        faces = [asdict(face) for face in error.faces]
        body |= {"code": error.code, "faces": faces, "file": error.file}
    return JSONResponse(body, status, RETRY_AFTER if status == 503 else None)


async def _answer_invalid(_: Request, error: Exception) -> JSONResponse:
    """The faults and their places, never the input itself: it may be a secret, or no text."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    sentences = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in found]
    return JSONResponse({"detail": "; ".join(sentences)}, status_code=422)
