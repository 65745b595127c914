"""Timestamps read quickly are the ones boto3 reads slowly."""

import pytest
from botocore.utils import parse_timestamp

from tasks.s3.bucket import read_timestamp


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-22T21:44:34.123Z",
        "2026-11-22T21:44:34Z",
        "2026-11-22T21:44:34+03:00",
        "Sun, 22 Nov 2026 21:44:34 GMT",
        "1795383874",
        1795383874,
        1795383874.5,
        "2026-11-22T21:44Z",
    ],
)
def test_a_timestamp_is_what_boto3_makes_of_it(value: object) -> None:
    found = read_timestamp(value)
    assert found == parse_timestamp(value)
    assert found.utcoffset() == parse_timestamp(value).utcoffset()


@pytest.mark.parametrize("value", ["2026-11-22Tnonsense Z", "", "Z"])
def test_what_is_no_timestamp_is_refused_as_boto3_refuses_it(value: str) -> None:
    with pytest.raises(ValueError):
        read_timestamp(value)
