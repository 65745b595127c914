"""S3: which errors heal by themselves, what a listing keeps, and that no secret gets out."""

import os
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from botocore.response import StreamingBody
from urllib3.exceptions import ProtocolError
from urllib3.exceptions import ReadTimeoutError as RawReadTimeoutError

from models.errors import (
    ConfigurationError,
    FacePassError,
    PhotoChangedError,
    PhotoUnavailableError,
    S3AccessError,
    S3DownloadError,
)
from models.settings import Settings
from tasks.s3.bucket import (
    BODY_TRIES,
    LONGEST_WAIT_S,
    Bucket,
    draw_wait,
    list_s3_keys,
    list_s3_objects,
    open_bucket,
)
from tasks.s3.errors import explain_s3_error
from tests.support.fake_s3 import (
    ACCESS_KEY,
    SECRET_KEY,
    FakeClient,
    answer_bytes,
    make_bucket,
    make_error,
    make_page,
)

URL = f"http://{ACCESS_KEY}:{SECRET_KEY}@s3.example.org/"
PREFIX = "events/1/previews/"

# What boto3 raises -> what it means here, and a word that must be in the sentence.
FINAL: list[tuple[BotoCoreError | ClientError, str]] = [
    (make_error("NoSuchBucket", 404), "FACEPASS_S3_BUCKET"),
    (make_error("PermanentRedirect", 301), "AWS_DEFAULT_REGION"),
    (make_error("AccessDenied", 403), "policy"),
    (make_error("403", 403), "policy"),
    (make_error("InvalidAccessKeyId", 403), "access key"),
    (make_error("SignatureDoesNotMatch", 403), "secret key"),
    (make_error("ExpiredToken", 400), "renew"),
    (NoCredentialsError(), "AWS_ACCESS_KEY_ID"),
]
PASSING: list[tuple[BotoCoreError | ClientError, str]] = [
    (make_error("SlowDown", 503), "SlowDown"),
    (make_error("InternalError", 500), "InternalError"),
    (make_error("ServiceUnavailable", 503), "ServiceUnavailable"),
    (make_error("RequestTimeout", 400), "RequestTimeout"),
    (make_error("502", 502), "502"),
    (ClientError({}, "GetObject"), "unknown"),
    (EndpointConnectionError(endpoint_url=URL), "EndpointConnectionError"),
    (ConnectTimeoutError(endpoint_url=URL), "ConnectTimeoutError"),
    (ReadTimeoutError(endpoint_url=URL), "ReadTimeoutError"),
    (SSLError(endpoint_url=URL, error="x"), "SSLError"),
]


def check_sentence(error: FacePassError) -> None:
    """A sentence for people, without a secret in it."""
    text = str(error)
    assert text.endswith(".")
    assert "\n" not in text
    for secret in (ACCESS_KEY, SECRET_KEY, URL, "s3.example.org"):
        assert secret not in text


# --- what an error means ---


@pytest.mark.parametrize(("error", "says"), FINAL)
def test_what_no_retry_heals_ends_the_sync_with_what_to_do(
    error: BotoCoreError | ClientError, says: str
) -> None:
    meaning = explain_s3_error(error, "photos")
    assert type(meaning) is S3AccessError
    assert says in str(meaning)
    check_sentence(meaning)


@pytest.mark.parametrize(("error", "says"), PASSING)
def test_what_a_retry_may_heal_is_s3_failing(error: BotoCoreError | ClientError, says: str) -> None:
    meaning = explain_s3_error(error, "photos")
    assert type(meaning) is S3DownloadError
    assert says in str(meaning)
    check_sentence(meaning)


@pytest.mark.parametrize("code", ["NoSuchBucket", "AccessDenied", "PermanentRedirect"])
def test_a_sentence_about_the_bucket_names_it(code: str) -> None:
    assert "the bucket photos" in str(explain_s3_error(make_error(code, 400), "photos")).replace(
        "no bucket", "the bucket"
    ).replace("The bucket", "the bucket")


def test_half_of_the_credentials_is_a_mistake_that_no_retry_heals() -> None:
    error = PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY")
    assert isinstance(explain_s3_error(error, "photos"), S3AccessError)


# --- listing ---


def test_a_listing_keeps_photos_only_page_by_page_in_order() -> None:
    names = [
        "a.jpg",
        "b.JPG",
        "c.png",
        "d.webp",
        "e.gif",
        "f.txt",
        ".jpg",
        "folder/",
        "folder.jpg/",
    ]
    client = FakeClient(pages=[make_page(*(PREFIX + name for name in names)), make_page()])
    pages = list(list_s3_objects(make_bucket(client), PREFIX))
    kept = [[item.s3_key.removeprefix(PREFIX) for item in page] for page in pages]
    assert kept == [["a.jpg", "b.JPG", "c.png", "d.webp"], []]
    assert client.calls == [("list_objects_v2", {"Bucket": "photos", "Prefix": PREFIX})]


def test_an_answer_that_is_not_s3s_is_an_error_not_an_empty_listing() -> None:
    with pytest.raises(S3AccessError, match="FACEPASS_S3_ENDPOINT_URL"):
        list(list_s3_objects(make_bucket(FakeClient(pages=[{}])), PREFIX))


def test_an_etag_is_told_without_its_quotes() -> None:
    client = FakeClient(pages=[make_page("a.jpg")])
    [[item]] = list_s3_objects(make_bucket(client), "")
    assert (item.s3_key, item.etag, item.size) == ("a.jpg", "etag of a.jpg", 7)


def test_a_listing_of_keys_leaves_nothing_out() -> None:
    client = FakeClient(pages=[make_page("a.jpg", "b.txt"), make_page("c/")])
    assert list(list_s3_keys(make_bucket(client), "")) == [["a.jpg", "b.txt"], ["c/"]]


def test_a_page_is_asked_for_only_once_the_last_one_is_used() -> None:
    client = FakeClient(pages=[make_page("a.jpg"), AssertionError("asked for too early")])
    assert len(next(list_s3_objects(make_bucket(client), ""))) == 1


@pytest.mark.parametrize("listing", [list_s3_objects, list_s3_keys])
@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (make_error("NoSuchBucket", 404, "ListObjectsV2"), S3AccessError),
        (make_error("SlowDown", 503, "ListObjectsV2"), S3DownloadError),
        (EndpointConnectionError(endpoint_url=URL), S3DownloadError),
    ],
)
def test_a_listing_that_breaks_off_is_an_error_not_a_short_listing(
    listing: Callable[[Bucket, str], Any], error: Exception, meaning: type[FacePassError]
) -> None:
    client = FakeClient(pages=[make_page("a.jpg"), error])
    with pytest.raises(meaning) as raised:
        list(listing(make_bucket(client), ""))
    check_sentence(raised.value)


# --- reading ---


def read(found: bytes | Exception | dict[str, Any] | None, max_bytes: int = 100) -> bytes:
    """Read one photo."""
    objects = {} if found is None else {"a.jpg": found}
    client = FakeClient(objects=objects, make_etag=lambda _: "e1")
    return make_bucket(client).read_photo("a.jpg", "e1", max_bytes)


def test_a_photo_is_read_as_it_was_listed() -> None:
    client = FakeClient(objects={"a.jpg": b"content"}, make_etag=lambda _: "e1")
    assert make_bucket(client).read_photo("a.jpg", "e1", 7) == b"content"
    assert client.calls == [("get_object", {"Bucket": "photos", "Key": "a.jpg", "IfMatch": '"e1"'})]


def test_more_bytes_than_allowed_are_not_read() -> None:
    class Unreadable(BytesIO):
        def read(self, *_: object) -> bytes:
            raise AssertionError("read")

    body = StreamingBody(Unreadable(), 101)  # type: ignore[arg-type]
    with pytest.raises(PhotoUnavailableError) as refusal:
        read({"Body": body, "ContentLength": 101})
    assert refusal.value.reason == "too_many_bytes"


class Flood(BytesIO):
    """A body without an end; counts what was taken of it."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """As much as asked for; without a bound there is no answer."""
        assert size is not None
        assert size >= 0
        self.taken += size
        return b"x" * size


@pytest.mark.parametrize("announced", [None, 5])
def test_a_server_that_announces_nothing_or_too_little_is_read_to_the_limit_and_one_byte(
    announced: int | None,
) -> None:
    flood = Flood()
    answer = {"Body": StreamingBody(flood, announced)}  # type: ignore[arg-type]
    with pytest.raises(PhotoUnavailableError, match="too_many_bytes"):
        read(answer | ({} if announced is None else {"ContentLength": announced}), 3_000_000)
    assert flood.taken == 3_000_001


def test_a_photo_without_an_announced_length_is_read_whole() -> None:
    content = bytes(range(256)) * 10_000
    body = StreamingBody(BytesIO(content), None)  # type: ignore[arg-type]
    assert read({"Body": body}, len(content)) == content


def test_a_connection_is_given_back_whatever_became_of_the_photo() -> None:
    for size in (100, 101):
        raw = BytesIO(b"x" * size)
        answer = answer_bytes(b"") | {
            "Body": StreamingBody(raw, size),  # type: ignore[arg-type]
            "ContentLength": size,
        }
        try:
            read(answer)
        except PhotoUnavailableError:
            assert size == 101
        assert raw.closed


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (make_error("NoSuchKey", 404), "vanished"),
        (make_error("404", 404), "vanished"),
        (make_error("AccessDenied", 403), "forbidden"),
        (make_error("403", 403), "forbidden"),
        (make_error("InvalidObjectState", 403), "archived"),
    ],
)
def test_a_keys_own_answer_is_the_photos_reason(error: ClientError, reason: str) -> None:
    with pytest.raises(PhotoUnavailableError) as refusal:
        read(error)
    assert refusal.value.reason == reason


def test_a_photo_replaced_after_the_listing_has_changed() -> None:
    with pytest.raises(PhotoChangedError):
        read(make_error("PreconditionFailed", 412))


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (make_error("NoSuchBucket", 404), S3AccessError),
        (make_error("InvalidAccessKeyId", 403), S3AccessError),
        (make_error("SignatureDoesNotMatch", 403), S3AccessError),
        (make_error("RequestTimeTooSkewed", 403), S3AccessError),
        (make_error("SlowDown", 503), S3DownloadError),
        (make_error("500", 500), S3DownloadError),
        (ReadTimeoutError(endpoint_url=URL), S3DownloadError),
        (NoCredentialsError(), S3AccessError),
    ],
)
def test_what_is_not_about_the_key_is_never_the_photos_fault(
    error: Exception, meaning: type[FacePassError]
) -> None:
    with pytest.raises(meaning) as raised:
        read(error)
    check_sentence(raised.value)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited between two looks at a photo."""
    waited: list[float] = []
    monkeypatch.setattr("tasks.s3.bucket.time.sleep", waited.append)
    return waited


class BrokenBody(BytesIO):
    """A connection that breaks while the photo is being read."""

    def __init__(self, error: Exception) -> None:
        super().__init__(b"the first bytes")
        self.error = error

    def read(self, *_: object) -> bytes:
        """Break."""
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        ProtocolError("Connection broken"),
        RawReadTimeoutError(None, URL, "timed out"),  # type: ignore[arg-type]
    ],
)
def test_a_connection_that_breaks_in_the_middle_of_a_photo_is_s3_failing(
    error: Exception, waits: list[float]
) -> None:
    def answer() -> dict[str, Any]:
        body = StreamingBody(BrokenBody(error), 50)  # type: ignore[arg-type]
        return {"Body": body, "ContentLength": 50}

    client = FakeClient(objects={"a.jpg": answer})
    with pytest.raises(S3DownloadError):
        make_bucket(client).read_photo("a.jpg", "e1", 100)
    assert len(client.calls) == BODY_TRIES == len(waits) + 1


def test_fewer_bytes_than_announced_are_s3_failing_not_a_truncated_photo(
    waits: list[float],
) -> None:
    def answer() -> dict[str, Any]:
        return {"Body": StreamingBody(BytesIO(b"half"), 8), "ContentLength": 8}  # type: ignore[arg-type]

    with pytest.raises(S3DownloadError):
        make_bucket(FakeClient(objects={"a.jpg": answer})).read_photo("a.jpg", "e1", 100)


def test_a_photo_whose_bytes_broke_off_once_is_read_again(waits: list[float]) -> None:
    sizes = iter([8, 4])

    def answer() -> dict[str, Any]:
        return {"Body": StreamingBody(BytesIO(b"half"), next(sizes)), "ContentLength": 4}  # type: ignore[arg-type]

    client = FakeClient(objects={"a.jpg": answer})
    assert make_bucket(client).read_photo("a.jpg", "e1", 100) == b"half"
    assert (
        client.calls
        == [("get_object", {"Bucket": "photos", "Key": "a.jpg", "IfMatch": '"e1"'})] * 2
    )


def test_waits_grow_differ_and_have_an_end() -> None:
    for attempt, longest in ((1, 2.0), (2, 4.0), (9, LONGEST_WAIT_S)):
        drawn = {draw_wait(attempt) for _ in range(100)}
        assert len(drawn) > 50
        assert 0 <= min(drawn) < max(drawn) <= longest
        assert max(drawn) > longest / 2


# --- opening ---


@pytest.fixture
def aws_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and a region from the environment, nothing from this machine's files."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "FACEPASS_S3"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


def sign(bucket: Bucket) -> str:
    """An address as the client makes it."""
    return bucket.client.generate_presigned_url(
        "get_object", Params={"Bucket": bucket.name, "Key": "events/1/a.jpg"}
    )


@pytest.mark.usefixtures("aws_keys")
def test_another_s3_is_addressed_by_path() -> None:
    bucket = open_bucket(Settings(s3_bucket="photos", s3_endpoint_url="http://127.0.0.1:8333"))
    assert bucket.public_url == "http://127.0.0.1:8333/photos"
    assert sign(bucket).startswith("http://127.0.0.1:8333/photos/events/1/a.jpg?")


@pytest.mark.usefixtures("aws_keys")
def test_links_for_guests_take_the_public_address_with_or_without_its_slash() -> None:
    for slash in ("", "/"):
        bucket = open_bucket(
            Settings(
                s3_bucket="photos",
                s3_endpoint_url="http://10.0.0.2:8333",
                s3_public_endpoint_url=f"https://s3.example.org{slash}",
            )
        )
        assert bucket.public_url == "https://s3.example.org/photos"
        assert sign(bucket).startswith("http://10.0.0.2:8333/photos/")


@pytest.mark.usefixtures("aws_keys")
def test_without_an_endpoint_it_is_aws() -> None:
    bucket = open_bucket(Settings(s3_bucket="photos"))
    assert bucket.public_url == "https://s3.eu-central-1.amazonaws.com/photos"


@pytest.mark.usefixtures("aws_keys")
def test_waiting_for_s3_has_an_end() -> None:
    config = open_bucket(Settings(s3_bucket="photos")).client.meta.config
    assert (config.connect_timeout, config.read_timeout) == (5, 30)  # type: ignore[attr-defined]  # SQLModel's mapped table


def test_without_a_bucket_nothing_is_opened() -> None:
    with pytest.raises(ConfigurationError, match="FACEPASS_S3_BUCKET"):
        open_bucket(Settings(s3_bucket=None))


@pytest.mark.usefixtures("aws_keys")
def test_an_endpoint_without_a_scheme_is_a_wrong_setting() -> None:
    with pytest.raises(FacePassError):
        open_bucket(Settings(s3_bucket="photos", s3_endpoint_url="localhost:8333"))


@pytest.mark.usefixtures("aws_keys")
def test_an_unknown_profile_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(FacePassError):
        open_bucket(Settings(s3_bucket="photos"))


@pytest.mark.usefixtures("aws_keys")
def test_a_bucket_name_that_cannot_be_is_a_wrong_setting() -> None:
    bucket = open_bucket(Settings(s3_bucket="bad name!", s3_endpoint_url="http://127.0.0.1:9"))
    with pytest.raises((S3AccessError, ConfigurationError)):
        list(bucket.list_pages(""))
