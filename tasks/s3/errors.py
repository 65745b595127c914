"""The translation of S3's and boto3's errors into the product's.

One table tells of each code, another of each of boto3's exceptions, whose fault it is and what to
do. S3's own words are for the log, without what could be a secret.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from models.errors import (
    FacePassError,
    PhotoChangedError,
    PhotoUnavailableError,
    S3AccessError,
    S3DownloadError,
)
from models.vocabulary import PhotoReason

Boto3Error = BotoCoreError | ClientError | ResponseParserError


class Fault(StrEnum):
    """Whose fault an error is; only the last is worth another try."""

    PHOTO = "photo"  # this one object's: the others can be read
    BUCKET = "bucket"  # the bucket's, or the account's
    SETTING = "setting"  # the product's or AWS's settings, or the store is no S3 that will do
    RETRY = "retry"


@dataclass(frozen=True)
class Meaning:
    """Whose fault it is, and the sentence about it; `reason` is what becomes of a photo."""

    fault: Fault
    sentence: str  # with {bucket} and {code}
    reason: PhotoReason = PhotoReason.FORBIDDEN


NOT_S3 = "What answers there is not S3: check FACEPASS_S3_ENDPOINT_URL."
_KEYS = "S3 does not accept the AWS credentials ({code}): check them."
_SESSION = "The AWS session has expired or its token is wrong ({code}): renew the credentials."
ELSEWHERE = (
    "What answers there sends elsewhere: write the address it leads to (https://...) into "
    "FACEPASS_S3_ENDPOINT_URL."
)
_OTHER_WORDS = " It answered in other words than S3's: check FACEPASS_S3_ENDPOINT_URL too."
_REGION = "The bucket {bucket} is in another region: set AWS_DEFAULT_REGION to it."
_ACCOUNT = (
    "S3 refuses for the sake of the account ({code}), which has reached a limit or is suspended: "
    "look into the provider's console."
)
_DENIED = "S3 denies access to the bucket {bucket}: check the credentials' policy."
_UNREADABLE = "S3 does not give an object of the bucket {bucket} ({code})."
_KMS = (
    "The KMS key by which objects of the bucket {bucket} are encrypted cannot be used ({code}): "
    "enable it, and allow kms:Decrypt and kms:GenerateDataKey."
)
_LACKING = "S3 refuses the form of a request ({code}): docs/stores.md says what a store must have."
_FAILING = "S3 is failing (it answered {code})."
_NO_WORDS = (
    "S3 is failing (it answered {code}, in other words than S3's): if that goes on, check "
    "FACEPASS_S3_ENDPOINT_URL."
)
_HOLDS_BUCKET = (
    "S3 takes {bucket} for an object: write FACEPASS_S3_ENDPOINT_URL without the bucket's name, as "
    "https://s3.example.com."
)

# Code -> meaning. A code of digits is the HTTP status of an answer without S3's XML: of a HEAD,
# or of something that is no S3.
_GROUPS: list[tuple[str, Meaning]] = [
    (
        "NoSuchKey NoSuchVersion NotFound 404 410",
        Meaning(Fault.PHOTO, _UNREADABLE, PhotoReason.VANISHED),
    ),
    ("AccessDenied AccessForbidden Forbidden 403 451", Meaning(Fault.PHOTO, _DENIED)),
    ("InvalidObjectState", Meaning(Fault.PHOTO, _UNREADABLE, PhotoReason.ARCHIVED)),
    ("KeyTooLongError InvalidURI 414", Meaning(Fault.PHOTO, _UNREADABLE)),
    (
        "NoSuchBucket InvalidBucketName",
        Meaning(Fault.BUCKET, "There is no bucket {bucket}: check FACEPASS_S3_BUCKET."),
    ),
    (
        "AccountProblem AllAccessDisabled AccountSuspended UserSuspended UserDisable NotSignedUp "
        "QuotaExceeded StorageQuotaExceeded StorageCapExceeded XMinioStorageFull "
        "InsufficientStorage ServiceQuotaExceeded 402 507",
        Meaning(Fault.BUCKET, _ACCOUNT),
    ),
    ("EntityTooLarge 413", Meaning(Fault.BUCKET, "S3 takes no object that is so large ({code}).")),
    (
        "InvalidAccessKeyId",
        Meaning(Fault.SETTING, "S3 does not know this access key: check the AWS credentials."),
    ),
    (
        "SignatureDoesNotMatch",
        Meaning(
            Fault.SETTING,
            "S3 refuses the secret key: check the AWS credentials, and AWS_DEFAULT_REGION where "
            "the store insists on a region.",
        ),
    ),
    (
        "Unauthorized UnauthorizedAccess InvalidSecurity InvalidClientTokenId MissingSecurityHeader"
        " UnrecognizedClientException CredentialsNotSupported MissingAuthenticationToken "
        "AccessKeyDisabled 401",
        Meaning(Fault.SETTING, _KEYS),
    ),
    (
        "ExpiredToken ExpiredTokenException InvalidToken InvalidTokenId TokenRefreshRequired "
        "RequestExpired",
        Meaning(Fault.SETTING, _SESSION),
    ),
    (
        "RequestTimeTooSkewed",
        Meaning(Fault.SETTING, "This machine's clock is wrong, so S3 refuses it: set the time."),
    ),
    (
        "PermanentRedirect TemporaryRedirect Redirect AuthorizationHeaderMalformed InvalidRegion "
        "AuthorizationQueryParametersError IllegalLocationConstraintException "
        "InvalidLocationConstraint",
        Meaning(Fault.SETTING, _REGION),
    ),
    ("301 302 307 308", Meaning(Fault.SETTING, ELSEWHERE)),  # unless the answer names a region
    (
        "SecondLevelDomainForbidden PathStyleDomainForbidden VirtualHostDomainRequired",
        Meaning(
            Fault.SETTING,
            "The store wants the bucket in the host's name: set FACEPASS_S3_ADDRESSING=virtual.",
        ),
    ),
    (
        "NotImplemented MethodNotAllowed InvalidArgument InvalidRequest UnsupportedOperation "
        "UnsupportedArgument NotSupported MalformedXML XAmzContentSHA256Mismatch "
        "MissingContentLength InvalidHeader 405 501",
        Meaning(Fault.SETTING, _LACKING),
    ),
    (
        "SlowDown ServiceUnavailable InternalError InternalFailure RequestTimeout OperationAborted "
        "RequestTimeoutException Throttling ThrottlingException ThrottledException Busy ServerBusy "
        "RequestThrottled RequestThrottledException RequestLimitExceeded TooManyRequests "
        "TooManyRequestsException BandwidthLimitExceeded LimitExceededException IncompleteBody "
        "ProvisionedThroughputExceededException TransactionInProgressException BadDigest "
        "PriorRequestNotComplete EC2ThrottledException XMinioServerNotInitialized 408 425 429",
        Meaning(Fault.RETRY, _FAILING),
    ),
]
CODES: dict[str, Meaning] = {code: meaning for codes, meaning in _GROUPS for code in codes.split()}

# Messages that say more than their code: B2 tells of its caps as AccessDenied, AWS of KMS's policy.
_MESSAGES: list[tuple[re.Pattern[str], Meaning]] = [
    (re.compile(r"to perform: kms:"), Meaning(Fault.BUCKET, _KMS)),
    (
        re.compile(r"cap exceeded|over (its )?quota|suspended|overdue|unpaid|in arrears", re.I),
        Meaning(Fault.BUCKET, _ACCOUNT),
    ),
]
_ENCRYPTED = re.compile(r"encrypt", re.I)  # InvalidRequest of an object with a customer's key
_EXPECTED_REGION = re.compile(r"(?:expecting|expected|should be) '?([a-z0-9-]{2,32})'?")

_UNREACHABLE = (
    "S3 unreachable ({code}): check that it is up and that FACEPASS_S3_ENDPOINT_URL is its address."
)
_SSO = "S3 unreachable ({code}): the AWS session has expired, so run `aws sso login`."
_CERTIFICATE = (
    "S3's certificate is not trusted ({code}): set AWS_CA_BUNDLE to the file of the authority that "
    "signed it; its host name and date must be right too."
)
_PLAIN = "S3 speaks no TLS there ({code}): write http:// in FACEPASS_S3_ENDPOINT_URL."
_AWS_FILES = "AWS's own configuration is wrong ({code}): mend ~/.aws/config or the AWS_ variables."
_AWS_REGION = "AWS_DEFAULT_REGION names no region ({code}): correct it."
_NO_KEYS = (
    "No AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "or FACEPASS_AWS_CREDENTIALS_BLOCK."
)
_BOTO3 = "boto3 cannot ask S3 ({code}): its installation or configuration is damaged."

# boto3's own exceptions, a class before those above it.
CAUSES: list[tuple[tuple[type[BotoCoreError], ...], Meaning]] = [
    (
        (boto.NoCredentialsError, boto.PartialCredentialsError, boto.NoAuthTokenError),
        Meaning(Fault.SETTING, _NO_KEYS),
    ),
    (
        (boto.ProfileNotFound,),
        Meaning(
            Fault.SETTING, "AWS_PROFILE names no profile of this machine: correct or unset it."
        ),
    ),
    (
        (boto.SSOError, boto.TokenRetrievalError, boto.UnknownTokenProviderError),
        Meaning(Fault.SETTING, _SSO),
    ),
    (
        (boto.LoginError,),
        Meaning(
            Fault.SETTING, "S3 unreachable ({code}): the AWS session has expired: run `aws login`."
        ),
    ),
    (
        (boto.CredentialRetrievalError, boto.MetadataRetrievalError),
        Meaning(
            Fault.RETRY,
            "S3 unreachable ({code}): the AWS credentials could not be fetched; look after the "
            "role, the process or the service that gives them.",
        ),
    ),
    (
        (boto.InvalidRegionError, boto.NoRegionError, boto.UnknownRegionError,
         boto.UnknownEndpointError, boto.EndpointVariantError, boto.ServiceNotInRegionError,
         boto.UnknownFIPSEndpointError, boto.BaseEndpointResolverError),
        Meaning(Fault.SETTING, _AWS_REGION),
    ),
    (
        (boto.ParamValidationError, boto.InvalidDNSNameError, boto.UnsupportedS3ArnError,
         boto.UnsupportedS3ControlArnError, boto.UnsupportedOutpostResourceError,
         boto.UnsupportedS3AccesspointConfigurationError, boto.InvalidHostLabelError),
        Meaning(
            Fault.SETTING, "{bucket} cannot be a bucket's name: check FACEPASS_S3_BUCKET."
        ),
    ),
    (
        (boto.EndpointProviderError, boto.InvalidEndpointConfigurationError),
        Meaning(
            Fault.SETTING,
            "No address can be made of the bucket {bucket} ({code}): check FACEPASS_S3_BUCKET, "
            "FACEPASS_S3_ENDPOINT_URL and AWS_DEFAULT_REGION.",
        ),
    ),
    (
        (boto.ProxyConnectionError,),
        Meaning(
            Fault.RETRY,
            "S3 unreachable ({code}): the proxy that HTTPS_PROXY or HTTP_PROXY names does not "
            "answer; NO_PROXY exempts S3's host from it.",
        ),
    ),
    (
        (boto.SSLError,),
        Meaning(Fault.RETRY, "S3 unreachable ({code}): the TLS connection broke off."),
    ),
    (
        (boto.ConnectionError, boto.HTTPClientError),
        Meaning(Fault.RETRY, _UNREACHABLE),
    ),
    (
        (boto.IncompleteReadError, boto.ChecksumError, boto.FlexibleChecksumError,
         boto.CapacityNotAvailableError, boto.PaginationError),
        Meaning(Fault.RETRY, "S3 unreachable ({code}): its answer is not whole."),
    ),
    (
        (boto.ConfigParseError, boto.ConfigNotFound, boto.InvalidConfigError,
         boto.UnknownCredentialError, boto.UnknownSignatureVersionError,
         boto.UnsupportedSignatureVersionError, boto.RefreshWithMFAUnsupportedError,
         boto.InvalidIMDSEndpointError, boto.InvalidIMDSEndpointModeError,
         boto.InvalidS3AddressingStyleError, boto.UnsupportedS3ConfigurationError,
         boto.UnsupportedS3ControlConfigurationError, boto.InvalidProxiesConfigError,
         boto.InvalidEndpointDiscoveryConfigurationError, boto.InvalidRetryConfigurationError,
         boto.InvalidS3UsEast1RegionalEndpointConfigError, boto.InvalidChecksumConfigError,
         boto.InvalidSTSRegionalEndpointsConfigError, boto.InvalidDefaultsMode),
        Meaning(Fault.SETTING, _AWS_FILES),
    ),
    (
        (boto.DataNotFoundError, boto.ApiVersionNotFoundError, boto.MissingDependencyException,
         boto.MD5UnavailableError, boto.MissingParametersError, boto.ValidationError,
         boto.UnknownServiceStyle, boto.OperationNotPageableError, boto.UnseekableStreamError,
         boto.WaiterError, boto.WaiterConfigError, boto.InvalidExpressionError,
         boto.UnknownClientMethodError, boto.StubResponseError, boto.AwsChunkedWrapperError,
         boto.UnknownEndpointResolutionBuiltInName, boto.UnsupportedServiceProtocolsError),
        Meaning(Fault.SETTING, _BOTO3),
    ),
]  # fmt: skip

PRECONDITION_FAILED = 412
_LONGEST_QUOTE = 300
# Keys, tokens and signatures are long and hold digits; a proxy's password stands before an @.
_SECRET = re.compile(r"(?=[A-Za-z0-9/+=_-]*[0-9])[A-Za-z0-9/+=_-]{16,}|[A-Za-z0-9/+=]{40,}")
_USER = re.compile(r"//[^/\s@]+@")


def find_meaning(error: Boto3Error) -> Meaning:
    """What an error means, read by the tables: by message, code and status, or by its class."""
    if isinstance(error, ClientError):
        return _judge_answer(error)
    if isinstance(error, ResponseParserError):
        return Meaning(Fault.SETTING, NOT_S3)
    text = str(error).lower()
    if isinstance(error, boto.SSLError):
        if "wrong_version_number" in text or "record layer failure" in text:
            return Meaning(Fault.SETTING, _PLAIN)
        if "certificate" in text or "no such file" in text:
            return Meaning(Fault.SETTING, _CERTIFICATE)
    found = (meaning for classes, meaning in CAUSES if isinstance(error, classes))
    return next(found, Meaning(Fault.RETRY, _UNREACHABLE))


def explain_s3_error(error: Boto3Error, bucket: str) -> FacePassError:
    """The product's error for one about the bucket: S3AccessError when no retry heals it."""
    meaning, (status, code) = find_meaning(error), _read_answer(error)
    sentence = meaning.sentence
    if isinstance(error, ClientError) and error.operation_name != "HeadObject":
        if code == "NoSuchKey":
            sentence = _HOLDS_BUCKET
        elif code == str(status) and code in {"400", "404", "405", "410", "414"}:
            meaning, sentence = Meaning(Fault.SETTING, NOT_S3), NOT_S3
        elif sentence == _FAILING and code == str(status):
            sentence = _NO_WORDS  # of a gateway; boto3 makes a 500 of a website's page too
        elif code == str(status) and code in {"401", "403"}:
            sentence += _OTHER_WORDS
        elif meaning.fault is Fault.RETRY and code not in CODES and 400 <= status < 500:
            meaning, sentence = Meaning(Fault.SETTING, _LACKING), _LACKING
    kind = S3DownloadError if meaning.fault is Fault.RETRY else S3AccessError
    told = sentence.format(bucket=bucket, code=code or type(error).__name__)
    if sentence == _REGION and (region := _read_region(error)):
        told = f"The bucket {bucket} is in the region {region}: set AWS_DEFAULT_REGION={region}."
    return kind(told)


_OF_AN_OBJECT = {"GetObject", "HeadObject"}


def explain_object_error(error: Boto3Error, bucket: str) -> FacePassError:
    """PhotoUnavailableError for what is about one object; for all others, S3's own error.

    PhotoChangedError where the request named an ETag that the object has no more.
    """
    # Keys that are renewed on the way are another operation's, whose refusal is no photo's.
    if isinstance(error, ClientError) and error.operation_name in _OF_AN_OBJECT:
        if _read_answer(error)[0] == PRECONDITION_FAILED:
            return PhotoChangedError("The photo was replaced during the sync.")
        meaning = find_meaning(error)
        if meaning.fault is Fault.PHOTO:
            return PhotoUnavailableError(meaning.reason)
        if meaning.sentence == _FAILING:
            # Also a code that nobody knows: the photos beside this one are not held up by it.
            return S3DownloadError(_FAILING.format(code=_read_answer(error)[1]))
    return explain_s3_error(error, bucket)


def explain_write_error(error: Boto3Error, bucket: str) -> FacePassError:
    """S3's own error for one about a write; PhotoChangedError where the write's condition fails.

    412: the condition; 409: another write at the same time; 404: what was to be replaced is gone.
    """
    if isinstance(error, ClientError):
        status, code = _read_answer(error)
        if status in {PRECONDITION_FAILED, 409} or (status == 404 and code != "NoSuchBucket"):
            return PhotoChangedError("The object was written by somebody else.")
        if find_meaning(error) == CODES["AccessDenied"]:
            return S3AccessError(f"S3 denies writing: allow s3:PutObject on the bucket {bucket}.")
        if find_meaning(error).sentence == _FAILING:
            return S3DownloadError(f"S3 takes no object at present (it answered {code}).")
    return explain_s3_error(error, bucket)


@contextmanager
def map_s3_errors(
    bucket: str,
    explain: Callable[[Boto3Error, str], FacePassError] = explain_s3_error,
) -> Iterator[None]:
    """Raise boto3's errors of the block as the product's, S3AccessError and S3DownloadError.

    explain: another function of this module where the block is about one object, or writes.
    """
    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        raise explain(error, bucket) from error
    except HTTPError as error:  # the body of a refusal breaks off: botocore lets urllib3's through
        raise S3DownloadError(_FAILING.format(code=type(error).__name__)) from error
    except RecursionError as error:  # boto3 follows answers that lead to themselves
        raise S3AccessError(ELSEWHERE) from error


def is_denial(error: BaseException | None, *, in_words: bool = False) -> bool:
    """Whether S3 denies access and nothing else; `in_words`: by a code of its own, no bare 403."""
    denied = CODES["AccessDenied"]
    if not isinstance(error, ClientError) or find_meaning(error) != denied:
        return False
    code = _read_answer(error)[1]
    # Not of an object with a customer's key, which is refused as a form.
    return CODES.get(code, denied) == denied and not (in_words and code.isdigit())


def is_lost_redirect(answer: Mapping[str, Any]) -> bool:
    """Whether a parsed answer sends elsewhere and is no S3's that tells of the bucket's region."""
    error = ClientError(dict(answer), "")  # type: ignore[arg-type]  # what S3 said, as a plain dict
    return _judge_answer(error) == CODES["301"]


def is_refused_form(error: ClientError) -> bool:
    """Whether S3 may refuse how it is asked, so that the same without a condition may pass.

    A store that lacks a feature answers 501, 400 or 405; behind a proxy that takes the feature's
    header away, the signature is wrong.
    """
    status, code = _read_answer(error)
    meaning = find_meaning(error)
    if code in CODES and meaning.sentence != _LACKING:
        return code == "SignatureDoesNotMatch"
    return status == 501 or (400 <= status < 500 and status not in {409, PRECONDITION_FAILED})


def quote_s3(error: BaseException | None) -> str | None:
    """S3's own words, for a log: what caused one of the product's errors, without secrets."""
    while error is not None and not isinstance(error, Boto3Error):
        error = error.__cause__
    if error is None:
        return None
    words = str(error)
    if isinstance(error, ClientError):
        told = error.response.get("Error", {})
        words = f"{told.get('Code', 'no code')}: {told.get('Message', 'no message')}"
    text = _SECRET.sub("…", _USER.sub("//", " ".join(words.split())))
    return "".join(c for c in text if c.isprintable())[:_LONGEST_QUOTE]


def _judge_answer(error: ClientError) -> Meaning:
    status, code = _read_answer(error)
    message = error.response.get("Error", {}).get("Message", "")
    denied = CODES.get(code) == CODES["AccessDenied"]
    for pattern, meaning in _MESSAGES:
        if denied and pattern.search(message):
            return meaning
    if code.startswith("KMS."):
        passing = "Throttl" in code or "Internal" in code
        return CODES["SlowDown"] if passing else Meaning(Fault.BUCKET, _KMS)
    if code == "InvalidRequest" and _ENCRYPTED.search(message):
        return CODES["AccessDenied"]
    if error.operation_name == "HeadObject" and code == "400":
        return CODES["AccessDenied"]  # of an object that is encrypted with a customer's key
    known = CODES.get(code) or (None if status in {0, 400} else CODES.get(str(status)))
    if known == CODES["301"] and _read_region(error):
        return CODES["PermanentRedirect"]
    return known or Meaning(Fault.RETRY, _FAILING)


def _read_answer(error: Boto3Error) -> tuple[int, str]:
    """The HTTP status and S3's own code; 0 where there is none."""
    if not isinstance(error, ClientError):
        return 0, ""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status, str(error.response.get("Error", {}).get("Code", "unknown"))


def _read_region(error: Boto3Error) -> str | None:
    """The region that S3 names in its refusal."""
    if not isinstance(error, ClientError):
        return None
    told = error.response.get("Error", {})
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    named = headers.get("x-amz-bucket-region") or told.get("Region")
    found = _EXPECTED_REGION.search(told.get("Message", ""))
    region = str(named or (found.group(1) if found else ""))
    return region if re.fullmatch(r"[a-z0-9-]{2,32}", region) else None
