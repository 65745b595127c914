"""What becomes of a photo: its status follows from its faces and its reason."""

import pytest

from models.queries.outcomes import FaceRecord, PhotoOutcome
from models.vocabulary import PhotoReason, PhotoStatus

FACE = FaceRecord((0.1, 0.1, 0.2, 0.2), 0.9, [1.0, 0.0])


def test_a_photo_with_faces_is_indexed() -> None:
    assert PhotoOutcome("k", [FACE], None).status is PhotoStatus.INDEXED


@pytest.mark.parametrize("reason", list(PhotoReason))
def test_only_a_photo_that_was_read_is_without_faces_every_other_reason_is_a_failure(
    reason: PhotoReason,
) -> None:
    read = reason is PhotoReason.NO_FACE_DETECTED
    expected = PhotoStatus.NO_FACE if read else PhotoStatus.FAILED
    assert PhotoOutcome("k", (), reason).status is expected
