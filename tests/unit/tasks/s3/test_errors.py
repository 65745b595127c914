"""What S3's refusals are about: one object, or S3 itself."""

import pytest

from tasks.s3.errors import is_about_key


@pytest.mark.parametrize("status", [408, 429])
def test_an_answer_to_slow_down_is_no_photos_fault(status: int) -> None:
    assert not is_about_key(status, "TooManyRequests")


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (403, "InvalidObjectState"), (404, "NoSuchKey")]
)
def test_a_refusal_of_one_object_is_its_own(status: int, code: str) -> None:
    assert is_about_key(status, code)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ThrottlingException"),
        (403, "InvalidAccessKeyId"),
        (404, "NoSuchBucket"),
        (503, "SlowDown"),
    ],
)
def test_a_refusal_of_the_caller_or_the_bucket_is_not(status: int, code: str) -> None:
    assert not is_about_key(status, code)
