"""Tests of the product's retries through the proxy: bounded, and only for what can heal."""

import time
from collections.abc import Iterator
from hashlib import md5

import pytest

from benchmarks.faults.s3_proxy import S3Proxy, Sickness
from models.errors import PhotoUnavailableError, S3DownloadError
from models.settings import Settings
from tasks.s3.bucket import BODY_TRIES, Bucket, open_bucket
from tests.support.literal_s3 import LiteralS3

KEY = "events/1/previews/свадьба.jpg"
PHOTO = bytes(range(256)) * 40
ETAG = md5(PHOTO, usedforsecurity=False).hexdigest()
CLIENT_TRIES = 4  # of a request, as tasks/s3/bucket.py tells boto3
# An answer that breaks off is none of boto3's business: the product itself asks again.
TRIES = {
    Sickness.ERROR_500: CLIENT_TRIES,
    Sickness.SLOW_DOWN_503: CLIENT_TRIES,
    Sickness.RESET: CLIENT_TRIES,
    Sickness.HALF_BODY: BODY_TRIES,
}


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Proxy]:
    # Waits between tries are botocore's business, not these tests'.
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr("benchmarks.faults.s3_proxy.SLOW_S", 0.0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "access")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with LiteralS3().serve() as store, S3Proxy(store.url).serve() as line:
        store.objects[KEY.encode()] = PHOTO
        yield line


@pytest.fixture
def bucket(proxy: S3Proxy) -> Bucket:
    return open_bucket(Settings(s3_bucket="photos", s3_endpoint_url=proxy.url, s3_timeout_s=1))


def test_a_healthy_line_changes_nothing(proxy: S3Proxy, bucket: Bucket) -> None:
    assert bucket.read_photo(KEY, ETAG, 10**6) == PHOTO
    assert [item.s3_key for page in bucket.list_pages("events/1/") for item in page] == [KEY]
    assert proxy.hits == 0


@pytest.mark.parametrize(("sickness", "tries"), TRIES.items(), ids=TRIES)
def test_what_can_heal_is_tried_again_and_not_for_ever(
    proxy: S3Proxy, bucket: Bucket, sickness: Sickness, tries: int
) -> None:
    proxy.sicken(sickness, 1.0)
    with pytest.raises(S3DownloadError):
        bucket.read_photo(KEY, ETAG, 10**6)
    assert proxy.hits == tries

    proxy.sicken(sickness, 1.0, times=tries - 1)
    assert bucket.read_photo(KEY, ETAG, 10**6) == PHOTO
    assert proxy.hits == tries - 1


def test_what_cannot_heal_is_asked_for_once(proxy: S3Proxy, bucket: Bucket) -> None:
    with pytest.raises(PhotoUnavailableError):
        bucket.read_photo("events/1/previews/nowhere.jpg", ETAG, 10**6)
    assert proxy.requests == 1


def test_a_share_of_the_requests_meets_the_sickness(proxy: S3Proxy) -> None:
    proxy.sicken(Sickness.RESET, 0.3)
    drawn = sum(proxy.draw() is not None for _ in range(1000))
    assert 200 < drawn < 400
    assert proxy.hits == drawn
