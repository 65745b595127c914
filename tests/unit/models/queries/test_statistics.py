"""What /metrics counts: failures by their kind, shares of success."""

import pytest

from models.errors import (
    DatabaseUnavailableError,
    FacePassError,
    PhotosUnreachableError,
    S3AccessError,
    S3DownloadError,
    S3OutageError,
    SyncIncompleteError,
    UnknownPackError,
)
from models.queries.statistics import Statistics
from models.vocabulary import ErrorKind, PhotoStatus


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (S3AccessError, ErrorKind.S3),
        (S3DownloadError, ErrorKind.S3),
        (S3OutageError, ErrorKind.S3),
        (PhotosUnreachableError, ErrorKind.S3),
        (SyncIncompleteError, ErrorKind.OTHER),
        (DatabaseUnavailableError, ErrorKind.DATABASE),
        (UnknownPackError, ErrorKind.SETTINGS),
    ],
)
def test_every_error_knows_whose_fault_it_is(error: type[FacePassError], kind: ErrorKind) -> None:
    assert error.kind is kind


def test_the_share_of_success_leaves_out_what_has_no_outcome() -> None:
    counts = Statistics()
    assert counts.success_ratio == 1.0
    counts.photos |= {
        PhotoStatus.INDEXED: 6,
        PhotoStatus.NO_FACE: 2,
        PhotoStatus.FAILED: 2,
        PhotoStatus.PENDING: 50,
        PhotoStatus.GONE: 7,
    }
    assert counts.success_ratio == 0.8
