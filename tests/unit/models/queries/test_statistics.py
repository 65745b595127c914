"""Which failures /metrics counts as S3's: every sentence of S3's, and none of the others."""

import re

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError

from models.queries.statistics import S3_SENTENCE, Statistics
from models.vocabulary import PhotoStatus
from tasks.s3 import errors as s3_errors
from tasks.s3.errors import NOT_S3, explain_s3_error

OTHERS = [
    "The database cannot be reached: is PostgreSQL running?",
    "s3_prefix must name a /previews/ folder, for example events/1/previews/.",
    "The process of this sync died without a word; start the sync again.",
    "3 photos are still to be read; the next attempt takes them up.",
]


def list_sentences() -> list[str]:
    codes = [*s3_errors._FINAL_CODES, "SlowDown", "InternalError"]
    errors = [ClientError({"Error": {"Code": code}}, "ListObjectsV2") for code in codes]
    others = [NoCredentialsError(), EndpointConnectionError(endpoint_url="http://x")]
    return [NOT_S3, *(str(explain_s3_error(error, "photos")) for error in [*errors, *others])]


@pytest.mark.parametrize("sentence", list_sentences())
def test_a_failure_of_s3_is_told_by_its_sentence(sentence: str) -> None:
    assert re.search(S3_SENTENCE, sentence)


@pytest.mark.parametrize("sentence", OTHERS)
def test_another_failure_is_not(sentence: str) -> None:
    assert not re.search(S3_SENTENCE, sentence)


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
