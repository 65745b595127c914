"""The tables of what S3's codes and boto3's exceptions mean, and the sentences they lead to."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from models.errors import (
    FacePassError,
    PhotoUnavailableError,
    S3AccessError,
    S3DownloadError,
)
from tasks.s3.errors import (
    CAUSES,
    CODES,
    ELSEWHERE,
    Fault,
    explain_object_error,
    explain_s3_error,
    explain_write_error,
    find_meaning,
    map_s3_errors,
    quote_s3,
)
from tests.support.fake_s3 import ACCESS_KEY, SECRET_KEY, make_error

KINDS: dict[Fault, type[FacePassError]] = {
    Fault.PHOTO: PhotoUnavailableError,
    Fault.BUCKET: S3AccessError,
    Fault.SETTING: S3AccessError,
    Fault.RETRY: S3DownloadError,
}


def answer(code: str, status: int, message: str, **more: str) -> ClientError:
    """S3's refusal of a GET with a message of its own."""
    error = make_error(code, status)
    error.response["Error"] = {"Code": code, "Message": message, **more}  # type: ignore[typeddict-item]
    return error


def walk(kind: type[BotoCoreError]) -> Iterator[type[BotoCoreError]]:
    for child in kind.__subclasses__():
        yield child
        yield from walk(child)


BOTO_ERRORS = sorted(
    {kind for kind in walk(BotoCoreError) if kind.__module__ == boto.__name__},
    key=lambda kind: kind.__name__,
)


def make(kind: type[BotoCoreError], **words: object) -> BotoCoreError:
    """One of boto3's exceptions, whatever its message wants."""
    error = kind.__new__(kind)
    Exception.__init__(error, str(words.get("error", "words")))
    return error


# --- boto3's exceptions ---


@pytest.mark.parametrize("kind", BOTO_ERRORS)
def test_each_of_boto3s_exceptions_has_its_place_in_the_table(kind: type[BotoCoreError]) -> None:
    known = [classes for classes, _ in CAUSES if issubclass(kind, classes)]
    assert known, f"{kind.__name__} is new: say in CAUSES whose fault it is"
    error = make(kind)
    for explain in (explain_s3_error, explain_object_error, explain_write_error):
        meaning = explain(error, "photos")
        assert type(meaning) is KINDS[find_meaning(error).fault]
        assert str(meaning).endswith(".")


@pytest.mark.parametrize(
    ("kind", "fault", "says"),
    [
        (boto.UnauthorizedSSOTokenError, Fault.SETTING, "aws sso login"),
        (boto.SSOTokenLoadError, Fault.SETTING, "aws sso login"),
        (boto.TokenRetrievalError, Fault.SETTING, "aws sso login"),
        (boto.LoginRefreshRequired, Fault.SETTING, "aws login"),
        (boto.NoCredentialsError, Fault.SETTING, "AWS_ACCESS_KEY_ID"),
        (boto.PartialCredentialsError, Fault.SETTING, "AWS_SECRET_ACCESS_KEY"),
        (boto.CredentialRetrievalError, Fault.RETRY, "credentials"),
        (boto.MetadataRetrievalError, Fault.RETRY, "credentials"),
        (boto.InvalidRegionError, Fault.SETTING, "AWS_DEFAULT_REGION"),
        (boto.NoRegionError, Fault.SETTING, "AWS_DEFAULT_REGION"),
        (boto.ProfileNotFound, Fault.SETTING, "AWS_PROFILE"),
        (boto.ConfigParseError, Fault.SETTING, "~/.aws/config"),
        (boto.ParamValidationError, Fault.SETTING, "FACEPASS_S3_BUCKET"),
        (boto.ProxyConnectionError, Fault.RETRY, "HTTPS_PROXY"),
        (boto.EndpointConnectionError, Fault.RETRY, "FACEPASS_S3_ENDPOINT_URL"),
        (boto.ConnectTimeoutError, Fault.RETRY, "FACEPASS_S3_ENDPOINT_URL"),
        (boto.ConnectionClosedError, Fault.RETRY, "FACEPASS_S3_ENDPOINT_URL"),
        (boto.ReadTimeoutError, Fault.RETRY, "ReadTimeoutError"),
        (boto.IncompleteReadError, Fault.RETRY, "not whole"),
    ],
)
def test_what_a_user_can_cause_leads_to_its_cause(
    kind: type[BotoCoreError], fault: Fault, says: str
) -> None:
    error = make(kind)
    assert find_meaning(error).fault is fault
    assert says in str(explain_s3_error(error, "photos"))


@pytest.mark.parametrize(
    ("told", "fault", "says"),
    [
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate",
            Fault.SETTING,
            "AWS_CA_BUNDLE",
        ),
        ("certificate verify failed: certificate has expired", Fault.SETTING, "AWS_CA_BUNDLE"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", Fault.SETTING, "http://"),
        ("EOF occurred in violation of protocol", Fault.RETRY, "SSLError"),
    ],
)
def test_a_certificate_is_a_setting_and_a_broken_line_is_not(
    told: str, fault: Fault, says: str
) -> None:
    error = boto.SSLError(endpoint_url="https://s3.example.org", error=told)
    assert find_meaning(error).fault is fault
    assert says in str(explain_s3_error(error, "photos"))


def test_an_answer_that_is_no_xml_is_no_s3s() -> None:
    with (
        pytest.raises(S3AccessError, match="FACEPASS_S3_ENDPOINT_URL"),
        map_s3_errors("photos"),
    ):
        raise ResponseParserError("Unable to parse response")


# --- S3's codes ---


@pytest.mark.parametrize(("code", "meaning"), CODES.items())
def test_each_code_of_the_table_has_a_sentence_in_each_place(code: str, meaning: object) -> None:
    error = make_error(code, int(code) if code.isdigit() else 400)
    for explain in (explain_s3_error, explain_object_error, explain_write_error):
        sentence = str(explain(error, "photos"))
        assert sentence.endswith(".")
        assert "{" not in sentence


@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        ("NoSuchKey", 404, "vanished"),
        ("NoSuchVersion", 404, "vanished"),
        ("404", 404, "vanished"),
        ("AccessDenied", 403, "forbidden"),
        ("403", 403, "forbidden"),
        ("SomethingOfItsOwn", 403, "forbidden"),
        ("InvalidObjectState", 403, "archived"),
        ("KeyTooLongError", 400, "forbidden"),
    ],
)
def test_a_refusal_of_one_object_is_the_photos(code: str, status: int, reason: str) -> None:
    meaning = explain_object_error(make_error(code, status), "photos")
    assert isinstance(meaning, PhotoUnavailableError)
    assert meaning.reason == reason


def test_an_object_with_a_customers_key_is_the_photos() -> None:
    message = "The object was stored using a form of Server Side Encryption."
    meaning = explain_object_error(answer("InvalidRequest", 400, message), "photos")
    assert isinstance(meaning, PhotoUnavailableError)


@pytest.mark.parametrize(
    ("code", "status", "kind", "says"),
    [
        ("InvalidToken", 400, S3AccessError, "renew"),
        ("ExpiredToken", 400, S3AccessError, "renew"),
        ("TokenRefreshRequired", 400, S3AccessError, "renew"),
        ("RequestTimeTooSkewed", 403, S3AccessError, "clock"),
        ("InvalidAccessKeyId", 403, S3AccessError, "access key"),
        ("SignatureDoesNotMatch", 403, S3AccessError, "secret key"),
        ("Unauthorized", 401, S3AccessError, "credentials"),
        ("AuthorizationHeaderMalformed", 400, S3AccessError, "AWS_DEFAULT_REGION"),
        ("PermanentRedirect", 301, S3AccessError, "AWS_DEFAULT_REGION"),
        ("TemporaryRedirect", 307, S3AccessError, "AWS_DEFAULT_REGION"),
        ("IllegalLocationConstraintException", 400, S3AccessError, "AWS_DEFAULT_REGION"),
        ("NoSuchBucket", 404, S3AccessError, "FACEPASS_S3_BUCKET"),
        ("KMS.DisabledException", 400, S3AccessError, "KMS"),
        ("KMS.NotFoundException", 400, S3AccessError, "KMS"),
        ("KMS.ThrottlingException", 400, S3DownloadError, "KMS.ThrottlingException"),
        ("AllAccessDisabled", 403, S3AccessError, "provider's console"),
        ("AccountProblem", 403, S3AccessError, "provider's console"),
        ("UserSuspended", 403, S3AccessError, "provider's console"),
        ("402", 402, S3AccessError, "provider's console"),
        ("InvalidArgument", 400, S3AccessError, "docs/stores.md"),
        ("InvalidRequest", 400, S3AccessError, "docs/stores.md"),
        ("NotImplemented", 501, S3AccessError, "docs/stores.md"),
        ("SecondLevelDomainForbidden", 403, S3AccessError, "FACEPASS_S3_ADDRESSING"),
        ("RequestTimeout", 400, S3DownloadError, "RequestTimeout"),
        ("SlowDown", 503, S3DownloadError, "SlowDown"),
        ("ServiceUnavailable", 503, S3DownloadError, "ServiceUnavailable"),
        ("InternalError", 500, S3DownloadError, "InternalError"),
        ("OperationAborted", 409, S3DownloadError, "OperationAborted"),
        ("TooManyRequests", 429, S3DownloadError, "TooManyRequests"),
        ("TooManyRequests", 408, S3DownloadError, "TooManyRequests"),
        ("ThrottlingException", 400, S3DownloadError, "ThrottlingException"),
        ("SomethingOfItsOwn", 400, S3DownloadError, "SomethingOfItsOwn"),
    ],
)
def test_what_is_not_about_the_object_is_never_the_photos_fault(
    code: str, status: int, kind: type[FacePassError], says: str
) -> None:
    meaning = explain_object_error(make_error(code, status), "photos")
    assert type(meaning) is kind
    assert says in str(meaning)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (
            "Cannot download file, download bandwidth or transaction (Class B) cap exceeded. "
            "See the Caps & Alerts page to increase your cap.",
            "provider's console",
        ),
        ("The account is suspended.", "provider's console"),
        (
            "User: arn:aws:iam::1:user/a is not authorized to perform: kms:Decrypt on the resource",
            "kms:Decrypt",
        ),
    ],
)
def test_a_denial_whose_message_tells_another_cause_is_not_the_photos(
    message: str, says: str
) -> None:
    denial = answer("AccessDenied", 403, message)
    for explain in (explain_s3_error, explain_object_error, explain_write_error):
        meaning = explain(denial, "photos")
        assert type(meaning) is S3AccessError
        assert says in str(meaning)


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("NoSuchKey", 404, "without the bucket's name"),
        ("404", 404, "not S3"),
        ("400", 400, "not S3"),
        ("405", 405, "not S3"),
        ("SomethingOfItsOwn", 400, "docs/stores.md"),
    ],
)
def test_a_listing_that_is_refused_leads_to_the_endpoint(code: str, status: int, says: str) -> None:
    meaning = explain_s3_error(make_error(code, status, "ListObjectsV2"), "photos")
    assert type(meaning) is S3AccessError
    assert says in str(meaning)


@pytest.mark.parametrize(
    "error",
    [
        answer("AuthorizationHeaderMalformed", 400, "x", Region="eu-west-1"),
        answer(
            "AuthorizationHeaderMalformed",
            400,
            "The authorization header is malformed; the region is wrong; expecting 'eu-west-1'",
        ),
    ],
)
def test_the_region_that_s3_names_is_in_the_sentence(error: ClientError) -> None:
    assert "AWS_DEFAULT_REGION=eu-west-1" in str(explain_s3_error(error, "photos"))


# --- S3's own words ---


def test_s3s_own_words_are_quoted_without_what_could_be_a_secret() -> None:
    message = f"cap exceeded for {ACCESS_KEY}\n{SECRET_KEY} at https://anna:secret@s3.example.org"
    try:
        with map_s3_errors("photos"):
            raise answer("AccessDenied", 403, message)
    except FacePassError as error:
        words = quote_s3(error)
    assert words is not None
    assert words.startswith("AccessDenied: cap exceeded for")
    assert words.isprintable()
    for secret in (ACCESS_KEY, SECRET_KEY, "anna:secret"):
        assert secret not in words


def test_boto3s_words_are_quoted_too_and_of_other_errors_nothing() -> None:
    words = quote_s3(boto.SSLError(endpoint_url="https://a", error="self-signed certificate"))
    assert words is not None
    assert "self-signed" in words
    assert quote_s3(S3DownloadError("S3 unreachable.")) is None
    assert quote_s3(None) is None


# --- answers that are not S3's ---


@pytest.mark.parametrize("code", ["301", "302", "307", "308", ""])
def test_a_redirect_that_names_no_region_sends_elsewhere(code: str) -> None:
    told = str(explain_s3_error(make_error(code, int(code or 302), "ListObjectsV2"), "photos"))
    assert told == ELSEWHERE


def test_a_redirect_that_names_a_region_leads_to_it() -> None:
    error = make_error("301", 301, "HeadObject")
    metadata: Any = error.response["ResponseMetadata"]
    metadata["HTTPHeaders"] = {"x-amz-bucket-region": "eu-west-1"}
    assert "AWS_DEFAULT_REGION=eu-west-1" in str(explain_s3_error(error, "photos"))


def test_answers_without_end_send_elsewhere() -> None:
    with pytest.raises(S3AccessError, match="sends elsewhere"), map_s3_errors("photos"):
        raise RecursionError


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_without_s3s_words_leads_to_the_endpoint_too(status: int) -> None:
    told = [
        str(explain_s3_error(make_error(code, status, operation), "photos"))
        for code, operation in (
            (str(status), "ListObjectsV2"),
            (str(status), "HeadObject"),
            ("AccessDenied", "ListObjectsV2"),
        )
    ]
    assert ["FACEPASS_S3_ENDPOINT_URL too" in text for text in told] == [True, False, False]
