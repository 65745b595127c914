"""The tree of errors: one base, one sentence each."""

import inspect
import pickle
import re
from typing import Any

import pytest

from models import errors
from models.errors import FacePassError, PhotoUnavailableError, SelfieError
from models.vocabulary import PhotoReason, SelfieCode, SelfieFace

CLASSES = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if value.__module__ == errors.__name__
]


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_is_the_products_own_and_says_what_it_means(error: type[Exception]) -> None:
    assert issubclass(error, FacePassError)
    assert error.__name__.endswith("Error")
    assert re.fullmatch(r"[^\n]+\.", error.__doc__ or "")


@pytest.mark.parametrize("reason", list(PhotoReason))
def test_an_unavailable_photo_carries_its_reason_in_word_and_sentence(reason: PhotoReason) -> None:
    error = PhotoUnavailableError(reason)
    assert error.reason == reason.value
    assert str(error) == f"This photo cannot be read: {reason.value}."


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not PhotoUnavailableError])
def test_an_error_may_travel_to_another_process_as_task_runners_send_it(
    kind: type[Exception],
) -> None:
    copy = travel(kind("A sentence."))
    assert (type(copy), str(copy)) == (kind, "A sentence.")


def test_an_unavailable_photo_may_travel_to_another_process_too() -> None:
    error = PhotoUnavailableError(PhotoReason.EMPTY)
    copy = travel(error)
    assert copy.reason == "empty"
    assert str(copy) == str(error)


def test_a_selfies_refusal_travels_with_its_code_and_faces() -> None:
    face = SelfieFace((0.0, 0.1, 0.2, 0.3), 0.9)
    copy = travel(SelfieError("Several faces.", SelfieCode.SEVERAL_FACES, (face,), 2))
    assert (str(copy), copy.code, copy.faces) == ("Several faces.", "several_faces", (face,))
    assert copy.file == 2


def travel(error: Any) -> Any:
    """The error as the other process gets it."""
    return pickle.loads(pickle.dumps(error))  # noqa: S301 (our own)
