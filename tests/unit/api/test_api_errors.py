"""Errors as answers: every error of the product has a status on purpose."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from api.app import create_app
from api.errors import NO_MODEL, describe_errors, install_error_handlers, judge_error
from api.schemas import ErrorAnswer
from models import errors
from models.errors import FacePassError
from models.vocabulary import ErrorCode, SelfieCode
from tests.support.local_client import open_local_client

API = Path(__file__).parents[3] / "api"

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


# --- codes ---

PAGE = Path(__file__).parents[3] / "docs" / "errors.md"


def read_table() -> dict[str, set[int]]:
    """The statuses of each code, as the document has them."""
    rows = re.findall(r"^\| `(\w+)` \| ([\d, ]+) \| .+ \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(rows) == len({code for code, _ in rows})
    return {code: {int(status) for status in statuses.split(", ")} for code, statuses in rows}


def test_the_document_lists_every_code_and_no_other() -> None:
    assert set(read_table()) == {*ErrorCode, *SelfieCode}


def test_the_documents_statuses_are_the_answers() -> None:
    table = read_table()
    for kind, status in ANSWERS.items():
        verdict = judge_error(kind("empty"))
        assert verdict.status == status
        if kind is not errors.SelfieError:
            assert status in table[verdict.code], kind
    sources = "\n".join(file.read_text("utf-8") for file in API.rglob("*.py"))
    made = re.findall(
        r"(?:ApiError|build_refusal)\(\s*(\d+),.*?ErrorCode\.(\w+)", sources, re.DOTALL
    )
    assert len(made) > 15
    for status, name in made:
        assert int(status) in table[ErrorCode[name]], name


def test_every_code_is_given_by_something() -> None:
    sources = "\n".join(file.read_text("utf-8") for file in API.rglob("*.py"))
    assert {code for code in ErrorCode if f"ErrorCode.{code.name}" not in sources} == set()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("PUT", "/health", 405, "method_not_allowed"),
        ("POST", "/api/v1/events", 422, "invalid_input"),
        ("GET", "/api/v1/events/x", 400, "invalid_uuid"),
        ("POST", "/api/v1/hooks/s3", 403, "hooks_off"),
        ("GET", "/gallery/static/x/y", 404, "not_found"),
    ],
)
def test_what_is_refused_outside_the_tree_has_a_code_too(
    method: str, path: str, status: int, code: str
) -> None:
    answer = open_local_client(create_app()).request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["detail"]


def test_a_route_says_which_errors_it_may_answer() -> None:
    assert describe_errors(400, 503) == {400: {"model": ErrorAnswer}, 503: {"model": ErrorAnswer}}
