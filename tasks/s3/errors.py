"""The translation of boto3's errors into the product's: about one object, S3 itself, or a write."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)

from models.errors import (
    FacePassError,
    PhotoChangedError,
    PhotoUnavailableError,
    S3AccessError,
    S3DownloadError,
)
from models.vocabulary import PhotoReason

# Codes that no second try heals. Everything else that is not about one key is S3 failing.
_FINAL_CODES = {
    "NoSuchBucket": "There is no bucket {bucket}: check FACEPASS_S3_BUCKET.",
    "PermanentRedirect": "The bucket {bucket} is in another region: set AWS_DEFAULT_REGION to it.",
    "AccessDenied": "S3 denies access to the bucket {bucket}: check the credentials' policy.",
    "InvalidAccessKeyId": "S3 does not know this access key: check the AWS credentials.",
    "SignatureDoesNotMatch": "S3 refuses the secret key: check the AWS credentials.",
    "RequestTimeTooSkewed": "This machine's clock is wrong, so S3 refuses it: set the time.",
    "ExpiredToken": "The AWS session has expired: renew the credentials.",
}
_FINAL_CODES["403"] = _FINAL_CODES["AccessDenied"]
NOT_S3 = "What answers there is not S3: check FACEPASS_S3_ENDPOINT_URL."
_NO_CREDENTIALS = (
    "No AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "or FACEPASS_AWS_CREDENTIALS_BLOCK."
)
PRECONDITION_FAILED = 412
_WORTH_ANOTHER_TRY = {408, 429}


def is_about_key(status: int, code: str) -> bool:
    """Whether S3 refuses this one object rather than the caller or the bucket."""
    if code in {"AccessDenied", "403"}:
        return True
    refused = 400 <= status < 500 and status not in _WORTH_ANOTHER_TRY
    return refused and code not in _FINAL_CODES and "Throttl" not in code


def explain_s3_error(error: BotoCoreError | ClientError, bucket: str) -> FacePassError:
    """The product's error for one of boto3's: S3AccessError when no retry heals it."""
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return S3AccessError(_NO_CREDENTIALS)
    if isinstance(error, ProfileNotFound):
        return S3AccessError("AWS_PROFILE names no profile of this machine: correct or unset it.")
    if isinstance(error, ParamValidationError):
        return S3AccessError(f"{bucket} cannot be a bucket's name: check FACEPASS_S3_BUCKET.")
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "unknown")
        if code in _FINAL_CODES:
            return S3AccessError(_FINAL_CODES[code].format(bucket=bucket))
        return S3DownloadError(f"S3 is failing (it answered {code}).")
    return S3DownloadError(f"S3 unreachable ({type(error).__name__}).")


def explain_object_error(error: BotoCoreError | ClientError, bucket: str) -> FacePassError:
    """PhotoUnavailableError for what is about one object; for all others, S3's own error.

    PhotoChangedError where the request named an ETag that the object has no more.
    """
    if isinstance(error, ClientError):
        status, code = _read_answer(error)
        if status == PRECONDITION_FAILED:
            return PhotoChangedError("The photo was replaced during the sync.")
        if code == "InvalidObjectState":
            return PhotoUnavailableError(PhotoReason.ARCHIVED)
        if is_about_key(status, code):
            # Otherwise it is encrypted with a key of its own, ...
            is_gone = status == 404
            return PhotoUnavailableError(PhotoReason.VANISHED if is_gone else PhotoReason.FORBIDDEN)
    return explain_s3_error(error, bucket)


def explain_write_error(error: BotoCoreError | ClientError, bucket: str) -> FacePassError:
    """S3's own error for one about a write; PhotoChangedError where the write's condition fails.

    412: the condition; 409: another write at the same time; 404: what was to be replaced is gone.
    """
    if isinstance(error, ClientError):
        status, code = _read_answer(error)
        if status in {PRECONDITION_FAILED, 409} or (status == 404 and code != "NoSuchBucket"):
            return PhotoChangedError("The object was written by somebody else.")
        if code in {"AccessDenied", "403"}:
            return S3AccessError(f"S3 denies writing: allow s3:PutObject on the bucket {bucket}.")
    return explain_s3_error(error, bucket)


@contextmanager
def map_s3_errors(
    bucket: str,
    explain: Callable[[BotoCoreError | ClientError, str], FacePassError] = explain_s3_error,
) -> Iterator[None]:
    """Raise boto3's errors of the block as the product's, S3AccessError and S3DownloadError.

    explain: another function of this module where the block is about one object, or writes.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise explain(error, bucket) from error


def _read_answer(error: ClientError) -> tuple[int, str]:
    """The HTTP status and S3's own code; 0 and "" where there are none."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status, error.response.get("Error", {}).get("Code", "")
