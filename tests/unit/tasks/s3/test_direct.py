"""Photos that are fetched along the way that boto3 has found: the same bytes, notes and errors."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from botocore.exceptions import ClientError

from models.errors import (
    FacePassError,
    PhotoChangedError,
    PhotoUnavailableError,
    S3AccessError,
    S3DownloadError,
)
from models.settings import Settings
from models.vocabulary import PhotoReason
from tasks.s3 import bucket as bucket_module
from tasks.s3.bucket import Bucket, open_bucket
from tasks.s3.errors import explain_object_error
from tests.support.http_server import QuietHandler, serve_http
from tests.support.refusals import refuse_reading

CONTENT = b"a photo's bytes"
LIMIT = 1_000
ROTATED = "AKIAROTATED"


def refuse(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>refused</Message></Error>".encode()


@dataclass
class Store:
    """An S3 whose answers can be changed; it remembers who asked for what."""

    answers: list[Callable[["_Handler"], None]] = field(default_factory=list)
    asked: list["_Request"] = field(default_factory=list)

    @property
    def by_boto3(self) -> list[bool]:
        """Of each request, whether boto3 itself made it."""
        return ["amz-sdk-request" in request.headers for request in self.asked]


@dataclass(frozen=True)
class _Request:
    path: str
    headers: dict[str, str]


class _Handler(QuietHandler):
    store: Store

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        """Answer as the next of `answers` says, or with the photo."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.store.asked.append(_Request(self.path, headers))
        answer = self.store.answers.pop(0) if self.store.answers else give
        answer(self)


Answer = Callable[[_Handler], None]


def give(handler: _Handler) -> None:
    notes = [("ETag", '"e1"'), ("x-amz-meta-facepass-camera", "1f3a9c0b"), ("X-Amz-Meta-Own", "x")]
    handler.answer(200, CONTENT, notes)


def break_off(handler: _Handler) -> None:
    handler.answer(200, CONTENT, [("ETag", '"e1"')], missing=4)


def hang_up(handler: _Handler) -> None:
    handler.close_connection = True


def say(status: int, code: str = "", *headers: tuple[str, str]) -> Answer:
    body = refuse(code) if code else b"<html>a page</html>"
    return lambda handler: handler.answer(status, body, headers)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def bucket(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """The store's bucket, of which boto3 has read one photo."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFIRST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setattr(bucket_module, "draw_wait", lambda _: 0.0)
    with serve_http(_Handler, store=store) as url:
        opened = open_bucket(Settings(s3_bucket="photos", s3_endpoint_url=url), tries=1)
        read(opened)
        store.asked.clear()
        yield opened


def read(bucket: Bucket, key: str = "events/1/previews/a.jpg", limit: int = LIMIT) -> bytes:
    return bucket.read_photo(key, "e1", limit)


KEYS = [
    "events/1/previews/a.jpg",
    "events/1/previews/Свадьба & гости (1)+2=3.jpg",
    "events/1/previews//two//slashes/../dots.jpg",
    "events/1/previews/100%25 ~'quotes'*!?#[x]@:,;$.jpg",
    "events/1/previews/😀 .jpg",
]


@pytest.mark.parametrize("key", KEYS)
def test_a_photo_is_asked_for_as_boto3_asks(bucket: Bucket, store: Store, key: str) -> None:
    notes: dict[str, str] = {}
    assert bucket.read_photo(key, "e1", LIMIT, notes) == CONTENT
    assert bucket.direct is not None
    bucket.direct.forget()
    told: dict[str, str] = {}
    assert bucket.read_photo(key, "e1", LIMIT, told) == CONTENT
    assert notes == told == {"facepass-camera": "1f3a9c0b", "Own": "x"}
    assert store.by_boto3 == [False, True]
    direct, plain = store.asked
    assert direct.path == plain.path
    own = {"amz-sdk-invocation-id", "amz-sdk-request", "x-amz-date", "authorization"}
    assert {k: v for k, v in direct.headers.items() if k not in own} == {
        k: v for k, v in plain.headers.items() if k not in own
    }
    assert direct.headers["if-match"] == '"e1"'
    assert "/eu-central-1/s3/aws4_request" in direct.headers["authorization"]


def test_only_the_first_of_many_photos_is_boto3s(bucket: Bucket, store: Store) -> None:
    for number in range(5):
        assert read(bucket, f"events/1/previews/{number}.jpg") == CONTENT
    assert store.by_boto3 == [False] * 5


@dataclass(frozen=True)
class Case:
    """An answer, the error that is raised, and whether the way is forgotten."""

    answer: Answer
    error: type[FacePassError]
    forgets: bool
    reason: PhotoReason | None = None


CASES = {
    "denied": Case(say(403, "AccessDenied"), PhotoUnavailableError, False, PhotoReason.FORBIDDEN),
    "gone": Case(say(404, "NoSuchKey"), PhotoUnavailableError, False, PhotoReason.VANISHED),
    "replaced": Case(say(412, "PreconditionFailed"), PhotoChangedError, False),
    "archived": Case(
        say(403, "InvalidObjectState"), PhotoUnavailableError, False, PhotoReason.ARCHIVED
    ),
    "no bucket": Case(say(404, "NoSuchBucket"), S3AccessError, False),
    "wrong key": Case(say(403, "SignatureDoesNotMatch"), S3AccessError, False),
    "expired": Case(say(400, "ExpiredToken"), S3AccessError, True),
    "slow down": Case(say(503, "SlowDown"), S3DownloadError, True),
    "a gateway's page": Case(say(502), S3DownloadError, True),
    "throttled": Case(say(429, "TooManyRequests"), S3DownloadError, True),
    "elsewhere": Case(say(307, "", ("Location", "https://s3.example.com/")), S3AccessError, True),
    "another region": Case(
        say(301, "PermanentRedirect", ("x-amz-bucket-region", "eu-west-1")), S3AccessError, True
    ),
    "hangs up": Case(hang_up, S3DownloadError, True),
    "no S3": Case(say(204), FacePassError, True),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_is_no_photo_is_boto3s_to_judge(bucket: Bucket, store: Store, case: Case) -> None:
    store.answers = [case.answer] * 12
    with pytest.raises(case.error) as raised:
        read(bucket)
    if case.reason is not None:
        assert isinstance(raised.value, PhotoUnavailableError)
        assert raised.value.reason == case.reason
    assert store.by_boto3[0] is False
    assert all(store.by_boto3[1:])
    assert len(store.asked) > 1
    store.answers.clear()
    store.asked.clear()
    assert read(bucket) == read(bucket) == CONTENT
    assert store.by_boto3 == [case.forgets, False]


def break_off_refusing(handler: _Handler) -> None:
    """An error whose page ends too soon."""
    handler.close_connection = True
    handler.send_response(503)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"<Error>")


def test_a_refusal_that_breaks_off_is_boto3s_too(bucket: Bucket, store: Store) -> None:
    store.answers = [break_off_refusing]
    assert read(bucket) == CONTENT
    assert store.by_boto3 == [False, True]
    store.answers = [break_off_refusing] * 20
    with pytest.raises(S3DownloadError):
        read(bucket)


def test_a_success_of_another_kind_is_not_read_beyond_the_limit(
    bucket: Bucket, store: Store
) -> None:
    def transform(handler: _Handler) -> None:
        handler.send_response(203)
        handler.send_header("Content-Length", str(10 * LIMIT))
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write(bytes(10 * LIMIT))

    store.answers = [transform, transform]
    with pytest.raises(PhotoUnavailableError) as raised:
        read(bucket)
    assert raised.value.reason == PhotoReason.TOO_MANY_BYTES


def test_renewed_credentials_may_have_no_token(bucket: Bucket, store: Store) -> None:
    credentials = bucket.client._request_signer._credentials  # type: ignore[attr-defined]  # SQLModel's mapped table
    credentials.token = "session"
    bucket.direct.forget()  # type: ignore[union-attr]
    assert read(bucket) == read(bucket) == CONTENT
    credentials.token = None
    assert read(bucket) == CONTENT
    assert "x-amz-security-token" in store.asked[-2].headers
    assert "x-amz-security-token" not in store.asked[-1].headers
    signed = {"authorization", "x-amz-security-token", "x-amz-date", "x-amz-content-sha256"}
    assert not signed & {name.lower() for name in bucket.direct._way.headers}  # type: ignore[union-attr]


def test_keys_that_cannot_be_renewed_are_no_photos_fault() -> None:
    refused = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole")
    assert isinstance(explain_object_error(refused, "bucket"), S3AccessError)
    refused = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetObject")
    assert isinstance(explain_object_error(refused, "bucket"), PhotoUnavailableError)


def test_a_passing_fault_costs_no_photo(bucket: Bucket, store: Store) -> None:
    for answer in (say(500, "InternalError"), hang_up, break_off):
        store.answers = [answer]
        assert read(bucket) == CONTENT
        assert read(bucket) == CONTENT
    assert store.by_boto3 == [False, True, False] * 3


def test_a_body_that_always_breaks_off_is_given_up(bucket: Bucket, store: Store) -> None:
    store.answers = [break_off] * 9
    with pytest.raises(S3DownloadError):
        read(bucket)
    assert store.by_boto3 == [False, True, True]  # BODY_TRIES


@pytest.mark.parametrize("limit", [1, len(CONTENT) - 1])
def test_a_photo_over_the_limit_is_refused(bucket: Bucket, store: Store, limit: int) -> None:
    with pytest.raises(PhotoUnavailableError) as raised:
        read(bucket, limit=limit)
    assert raised.value.reason == PhotoReason.TOO_MANY_BYTES
    assert store.by_boto3 == [False]


def test_a_body_without_a_length_is_limited_too(bucket: Bucket, store: Store) -> None:
    def stream(handler: _Handler) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(CONTENT)

    store.answers = [stream, stream]
    assert read(bucket) == CONTENT
    with pytest.raises(PhotoUnavailableError):
        read(bucket, limit=3)


def test_renewed_credentials_sign_the_next_photo(bucket: Bucket, store: Store) -> None:
    signer = bucket.client._request_signer  # type: ignore[attr-defined]  # SQLModel's mapped table
    signer._credentials.access_key = ROTATED
    signer._credentials.token = "session"
    assert read(bucket) == CONTENT
    assert store.by_boto3 == [False]
    assert f"Credential={ROTATED}/" in store.asked[0].headers["authorization"]
    assert store.asked[0].headers["x-amz-security-token"] == "session"


def test_a_bucket_that_is_read_without_keys_stays_boto3s(store: Store) -> None:
    from botocore import UNSIGNED
    from botocore.config import Config

    with serve_http(_Handler, store=store) as url:
        settings = Settings(s3_bucket="photos", s3_endpoint_url=url)
        anonymous = bucket_module.open_s3_client(
            settings, url, "FACEPASS_S3_ENDPOINT_URL", Config(signature_version=UNSIGNED)
        )
        reader = bucket_module.DirectReader(anonymous)
        bucket = Bucket(anonymous, "photos", f"{url}/photos", direct=reader)
        assert read(bucket) == read(bucket) == CONTENT
    assert store.by_boto3 == [True, True]


def test_a_store_that_refuses_conditions_is_asked_without_them(
    bucket: Bucket, store: Store
) -> None:
    def refuse_condition(handler: _Handler) -> None:
        answer = say(501, "NotImplemented") if handler.headers["If-Match"] else give
        answer(handler)

    store.answers = [refuse_condition] * 9
    assert read(bucket) == CONTENT
    assert read(bucket) == CONTENT
    assert ["if-match" in request.headers for request in store.asked] == [True, True, False, False]


def test_who_listens_on_the_client_answers_first(bucket: Bucket, store: Store) -> None:
    with refuse_reading(bucket, "AccessDenied", "a.jpg"), pytest.raises(PhotoUnavailableError):
        read(bucket)
    assert store.asked == []
    assert read(bucket) == CONTENT


def test_bytes_are_the_stores_own(bucket: Bucket, store: Store) -> None:
    """No Content-Encoding is undone: an ETag is of what is stored."""
    stored = bytes(range(256)) * 3
    store.answers = [
        lambda handler: handler.answer(200, stored, [("Content-Encoding", "gzip")]),
    ]
    found = read(bucket)
    assert hashlib.sha256(found).digest() == hashlib.sha256(stored).digest()
