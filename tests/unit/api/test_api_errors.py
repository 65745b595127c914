"""Errors as answers: every error of the product has a status on purpose."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.errors import NO_MODEL, describe_errors, install_error_handlers, judge_error
from api.schemas import ErrorAnswer
from models import errors
from models.errors import FacePassError

# A new error must be put here: what does the API answer when it meets it?
ANSWERS: dict[type[FacePassError], int] = {
    errors.InvalidPrefixError: 400,
    errors.InvalidCursorError: 400,
    errors.InvalidUploadError: 400,
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
    errors.FaceEngineError: 500,
    errors.DatabaseUnavailableError: 503,
    errors.DatabaseOutdatedError: 503,
    errors.DatabaseRefusedError: 503,
    errors.OrchestratorUnavailableError: 503,
    errors.SnsUnavailableError: 503,
    errors.ErasureIncompleteError: 503,
    errors.MailUnavailableError: 503,
    errors.AddressDelayedError: 503,
    errors.TooBusyError: 503,
    errors.ModelPackError: 503,
    # The operator's, or the flow's own; a caller of the API cannot change anything about them.
    errors.FacePassError: 500,
    errors.ConfigurationError: 500,
    errors.S3AccessError: 500,
    errors.PhotosForbiddenError: 500,
    errors.S3DownloadError: 500,
    errors.S3OutageError: 500,
    errors.ClusterUnavailableError: 500,
    errors.PhotoUnavailableError: 500,
    errors.PhotoChangedError: 500,
    errors.ResultUnreadableError: 500,
    errors.SyncIncompleteError: 500,
    errors.PhotosUnreachableError: 500,
    errors.SyncSkippedError: 500,
    errors.SyncSupersededError: 500,
    errors.ForeignRunError: 500,
    errors.StackError: 500,
    # The command-line tools.
    errors.ApiUnavailableError: 500,
    errors.PushRefusedError: 500,
    errors.DeletionRefusedError: 500,
    errors.MeasurementRefusedError: 500,
}


def list_errors(base: type[FacePassError] = FacePassError) -> Iterator[type[FacePassError]]:
    """The class and everything below it."""
    yield base
    for kind in base.__subclasses__():
        yield from list_errors(kind)


def test_no_error_was_forgotten() -> None:
    product = {kind for kind in list_errors() if kind.__module__ == errors.__name__}
    assert product == set(ANSWERS)


@pytest.mark.parametrize(("kind", "status"), ANSWERS.items())
def test_an_error_answers_with_its_status_and_its_own_sentence(
    kind: type[FacePassError], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()
    install_error_handlers(app)
    error = kind("empty")

    @app.get("/")
    def fail() -> None:
        raise error

    answer = TestClient(app).get("/")
    assert answer.status_code == status
    extras = {"faces": [], "file": None} if kind is errors.SelfieError else {}
    # A pack's sentence names folders: it goes into the log, and a guest does not see it.
    sentence = NO_MODEL if kind is errors.ModelPackError else str(error)
    assert answer.json() == {"detail": sentence, "code": judge_error(error).code} | extras
    assert ("empty" in caplog.text) == (kind is errors.ModelPackError)
    assert ErrorAnswer.model_validate(answer.json())


def test_a_route_says_which_errors_it_may_answer() -> None:
    assert describe_errors(400, 503) == {400: {"model": ErrorAnswer}, 503: {"model": ErrorAnswer}}
