"""The command `facepass result-storage`, which saves the Prefect block for results in S3.

All workers share results through this block, in a bucket of its own: keys for uploading photos read
no faces. The block holds a secret only if FACEPASS_AWS_CREDENTIALS_BLOCK names one; otherwise each
worker finds its AWS credentials in the usual way.
"""

import sys
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from models.errors import ConfigurationError, FacePassError
from models.settings import Settings, get_settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from prefect_aws import AwsCredentials, S3Bucket

BLOCK_NAME = "facepass-results"
BLOCK_SLUG = f"s3-bucket/{BLOCK_NAME}"
FOLDER = "results/"  # in a bucket that holds photos too: outside events/, where no sync lists
CHECK_KEY = f"{FOLDER}write-check"


def create_result_storage(settings: Settings, bucket: str | None = None) -> str:
    """Make the bucket if there is none, then save the block; returns what to do, in sentences.

    An existing block of the name is replaced. Raises ConfigurationError.
    """
    block, before = build_block(settings, bucket), _find_bucket()
    _check_access(block)
    save: Any = block.save  # typed without the argument it takes
    save(BLOCK_NAME, overwrite=True, _sync=True)
    return _explain(block.bucket_name, settings.require_s3_bucket(), before)


def build_block(settings: Settings, bucket: str | None = None) -> "S3Bucket":
    """The unsaved block that the settings describe; its bucket is named after the photos'."""
    from prefect_aws import S3Bucket  # a slow import

    return S3Bucket(
        bucket_name=bucket or f"{settings.require_s3_bucket()}-results",
        bucket_folder=FOLDER,
        credentials=_choose_credentials(settings),
    )


def _choose_credentials(settings: Settings) -> "AwsCredentials":
    from prefect_aws import AwsCredentials
    from prefect_aws.client_parameters import AwsClientParameters

    endpoint_url = settings.s3_endpoint_url
    # As for the photos: addresses that the store understands, no checksums that some refuse.
    config: dict[str, Any] = {
        "connect_timeout": 5,
        "read_timeout": 30,
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    if endpoint_url:
        config["s3"] = {"addressing_style": settings.s3_addressing}
    parameters = AwsClientParameters(endpoint_url=endpoint_url, config=config)
    if not settings.aws_credentials_block:
        return AwsCredentials(aws_client_parameters=parameters)
    load: Any = AwsCredentials.load
    try:
        named = load(settings.aws_credentials_block, _sync=True)
    except ValueError as error:
        raise ConfigurationError(
            f"FACEPASS_AWS_CREDENTIALS_BLOCK names {settings.aws_credentials_block}, and Prefect "
            "has no AwsCredentials block of that name."
        ) from error
    # A copy: the named block has no endpoint, or another one. Renewed keys want this command again.
    fields = {name: getattr(named, name) for name in AwsCredentials.model_fields}
    return AwsCredentials(**{**fields, "aws_client_parameters": parameters})


def _find_bucket() -> str | None:
    """The bucket that a saved block names already."""
    from prefect_aws import S3Bucket

    load: Any = S3Bucket.load
    try:
        saved: S3Bucket = load(BLOCK_NAME, _sync=True)
    except ValueError:  # what Prefect raises for a document that is not there
        return None
    return saved.bucket_name


def _check_access(block: "S3Bucket") -> None:
    """A storage that cannot be written costs no sync its photos, so nobody would notice."""
    try:
        client: S3Client = block.credentials.get_client("s3")
        try:
            client.put_object(Bucket=block.bucket_name, Key=CHECK_KEY, Body=b"")
        except client.exceptions.NoSuchBucket:
            _make_bucket(client, block.bucket_name)
            client.put_object(Bucket=block.bucket_name, Key=CHECK_KEY, Body=b"")
        client.delete_object(Bucket=block.bucket_name, Key=CHECK_KEY)
    except (BotoCoreError, ClientError) as error:
        # Not its text: S3's answers repeat the access key.
        answer = error.response.get("Error", {}) if isinstance(error, ClientError) else {}
        raise ConfigurationError(
            f"{block.bucket_name}/{FOLDER} cannot be written "
            f"({answer.get('Code', type(error).__name__)}): make this bucket, or name another "
            "with --bucket, and check FACEPASS_S3_ENDPOINT_URL and the AWS credentials."
        ) from error


def _make_bucket(client: "S3Client", name: str) -> None:
    region: Any = client.meta.region_name
    # AWS refuses its first region's name here, and asks for every other's.
    elsewhere = region not in {None, "us-east-1", "aws-global"}
    place: Any = {"CreateBucketConfiguration": {"LocationConstraint": region}} if elsewhere else {}
    client.create_bucket(Bucket=name, **place)


def _explain(bucket: str, photos: str, before: str | None) -> str:
    lines = [
        f"Saved the block {BLOCK_SLUG}: results go to {FOLDER} in the bucket {bucket}.",
        "Set this for every worker and the API, and start them again:",
        f"FACEPASS_RESULT_STORAGE={BLOCK_SLUG}",
    ]
    if bucket == photos:
        lines.append(
            "Whoever may read the photos' bucket can read faces there: give keys for uploading no "
            f"access to {FOLDER}, or leave --bucket out."
        )
    if before not in {None, bucket}:
        lines.append(
            f"Results of before lie in {before}/{FOLDER}, where no erasure looks from now on: once "
            f"all are started again, delete them (aws s3 rm --recursive s3://{before}/{FOLDER})."
        )
    return "\n".join(lines) + "\n"


def main(bucket: str | None = None) -> int:
    """Save the block and say what to set."""
    try:
        told = create_result_storage(get_settings(), bucket)
    except FacePassError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(told)
    return 0


if __name__ == "__main__":
    from deployments.facepass import run

    run("result-storage")
