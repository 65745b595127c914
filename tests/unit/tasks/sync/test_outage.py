"""An outage of S3: noticed after failures in a row, and not asked about again."""

import pytest

from models.errors import FacePassError, PhotoUnavailableError, S3DownloadError
from tasks.sync.embed import Outage, get_outage


def meet(outage: Outage, error: FacePassError | None) -> None:
    with outage.watch():
        if error is not None:
            raise error


def fail(outage: Outage, times: int) -> None:
    for _ in range(times):
        with pytest.raises(S3DownloadError):
            meet(outage, S3DownloadError("S3 unreachable."))


def test_after_failures_in_a_row_s3_is_not_asked_any_more() -> None:
    outage = Outage(limit=3)
    fail(outage, 2)
    assert not outage.is_on
    fail(outage, 1)
    assert outage.is_on
    with pytest.raises(S3DownloadError, match="next attempt"), outage.watch():
        pytest.fail("S3 was asked")


@pytest.mark.parametrize("answer", [None, PhotoUnavailableError("vanished")])
def test_any_answer_of_s3_begins_the_count_anew(answer: FacePassError | None) -> None:
    outage = Outage(limit=3)
    fail(outage, 2)
    if answer is None:
        meet(outage, None)
    else:
        with pytest.raises(PhotoUnavailableError):
            meet(outage, answer)
    fail(outage, 2)
    assert not outage.is_on


def test_an_error_of_ours_counts_as_neither() -> None:
    outage = Outage(limit=2)
    fail(outage, 1)
    with pytest.raises(ValueError, match="a bug"), outage.watch():
        raise ValueError("a bug")
    fail(outage, 1)
    assert outage.is_on


def test_each_attempt_of_each_event_has_its_own() -> None:
    get_outage.cache_clear()
    assert get_outage(1, 1) is get_outage(1, 1)
    assert get_outage(1, 1) is not get_outage(1, 2)
    assert get_outage(1, 1) is not get_outage(2, 1)
