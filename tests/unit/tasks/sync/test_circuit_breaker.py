"""The circuit breaker: S3 is not asked any more after failures in a row."""

import gc

import pytest

from models.errors import FacePassError, PhotoUnavailableError, S3DownloadError
from tasks.sync.embed import FAILURES_IN_A_ROW, CircuitBreaker, get_circuit_breaker


def meet(breaker: CircuitBreaker, error: FacePassError | None) -> None:
    with breaker.watch():
        if error is not None:
            raise error


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(S3DownloadError):
            meet(breaker, S3DownloadError("S3 unreachable."))


def test_after_failures_in_a_row_s3_is_not_asked_any_more() -> None:
    breaker = CircuitBreaker(limit=3)
    fail(breaker, 2)
    assert not breaker.is_open
    fail(breaker, 1)
    assert breaker.is_open
    with pytest.raises(S3DownloadError, match="next attempt"), breaker.watch():
        pytest.fail("S3 was asked")


@pytest.mark.parametrize("answer", [None, PhotoUnavailableError("vanished")])
def test_any_answer_of_s3_begins_the_count_anew(answer: FacePassError | None) -> None:
    breaker = CircuitBreaker(limit=3)
    fail(breaker, 2)
    if answer is None:
        meet(breaker, None)
    else:
        with pytest.raises(PhotoUnavailableError):
            meet(breaker, answer)
    fail(breaker, 2)
    assert not breaker.is_open


def test_an_error_of_ours_counts_as_neither() -> None:
    breaker = CircuitBreaker(limit=2)
    fail(breaker, 1)
    with pytest.raises(ValueError, match="a bug"), breaker.watch():
        raise ValueError("a bug")
    fail(breaker, 1)
    assert breaker.is_open


def test_each_attempt_of_each_event_has_its_own() -> None:
    first, second = get_circuit_breaker(1, 1), get_circuit_breaker(1, 2)
    assert get_circuit_breaker(1, 1) is first
    assert second is not first
    assert get_circuit_breaker(2, 1) not in (first, second)


def test_a_breaker_is_kept_only_while_a_batch_uses_it() -> None:
    breaker = get_circuit_breaker(1, 1)
    fail(breaker, FAILURES_IN_A_ROW)
    assert get_circuit_breaker(1, 1).is_open
    del breaker
    gc.collect()
    assert not get_circuit_breaker(1, 1).is_open
