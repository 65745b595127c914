"""Listing and reading on the real S3 server; credentials from a Prefect block."""

from collections.abc import Callable

import pytest

from models.errors import S3AccessError, S3DownloadError
from models.settings import get_settings
from tasks.s3.bucket import get_bucket, list_s3_objects, open_bucket
from tests.support.event_box import EventBox
from tests.support.faults import FaultProxy

PAGE = 1000  # keys an answer of S3


def test_a_listing_longer_than_a_page_is_complete_and_in_order(event: EventBox) -> None:
    names = [f"{index:04}.jpg" for index in range(PAGE + 5)]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: event.put(name, b"x", original=False), names))
    event.put("notes.txt", b"x")
    event.bucket.client.put_object(Bucket=event.bucket.name, Key=f"{event.prefix}folder.jpg/")

    pages = list(list_s3_objects(event.bucket, event.prefix))

    assert len(pages) >= 2
    assert [item.s3_key for page in pages for item in page] == [event.prefix + n for n in names]


def test_credentials_come_from_a_prefect_block(
    joined_stack: dict[str, str], configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect_aws import AwsCredentials

    AwsCredentials(
        aws_access_key_id=joined_stack["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=joined_stack["AWS_SECRET_ACCESS_KEY"],
        region_name=joined_stack["AWS_DEFAULT_REGION"],
    ).save("facepass-test", overwrite=True)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    configure(aws_credentials_block="facepass-test")

    assert list(get_bucket().list_pages("events/none/")) == [[]]


def test_a_wrong_secret_is_a_final_error_that_does_not_show_it(
    configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-and-secret")
    configure()

    with pytest.raises(S3AccessError, match="secret key") as caught:
        list(open_bucket(get_settings()).list_pages("events/1/"))

    assert "wrong-and-secret" not in str(caught.value)


def test_a_server_that_is_away_is_worth_another_try(s3_proxy: FaultProxy) -> None:
    s3_proxy.cut.set()
    with pytest.raises(S3DownloadError, match="S3 unreachable"):
        list(get_bucket().list_pages("events/1/"))
