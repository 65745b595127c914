"""The command `facepass result-storage`, which saves the Prefect block for results in S3.

All workers share results through this block; its folder in the bucket is apart from the events. It
holds a secret only if FACEPASS_AWS_CREDENTIALS_BLOCK names one; otherwise each worker finds its AWS
credentials in the usual way.
"""

import sys
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from models.errors import ConfigurationError, FacePassError
from models.settings import Settings, get_settings

if TYPE_CHECKING:
    from prefect_aws import AwsCredentials, S3Bucket

BLOCK_NAME = "facepass-results"
BLOCK_SLUG = f"s3-bucket/{BLOCK_NAME}"
FOLDER = "results/"  # outside events/, where no sync lists
CHECK_KEY = f"{FOLDER}write-check"


def create_result_storage(settings: Settings) -> str:
    """Check that the bucket can be written, then save the block; returns what names it.

    An existing block of the name is replaced. Raises ConfigurationError.
    """
    block = build_block(settings)
    _check_access(block)
    save: Any = block.save  # typed without the argument it takes
    save(BLOCK_NAME, overwrite=True, _sync=True)
    return BLOCK_SLUG


def build_block(settings: Settings) -> "S3Bucket":
    """The unsaved block that the settings describe."""
    from prefect_aws import S3Bucket  # a slow import

    return S3Bucket(
        bucket_name=settings.require_s3_bucket(),
        bucket_folder=FOLDER,
        credentials=_choose_credentials(settings),
    )


def _choose_credentials(settings: Settings) -> "AwsCredentials":
    from prefect_aws import AwsCredentials
    from prefect_aws.client_parameters import AwsClientParameters

    endpoint_url = settings.s3_endpoint_url
    # As for the photos: path-style addresses, which every S3 server but AWS understands.
    config: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 30}
    if endpoint_url:
        config["s3"] = {"addressing_style": "path"}
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


def _check_access(block: "S3Bucket") -> None:
    """A storage that cannot be written costs no sync its photos, so nobody would notice."""
    try:
        client = block.credentials.get_client("s3")
        client.put_object(Bucket=block.bucket_name, Key=CHECK_KEY, Body=b"")
        client.delete_object(Bucket=block.bucket_name, Key=CHECK_KEY)
    except (BotoCoreError, ClientError) as error:
        # Not its text: S3's answers repeat the access key.
        answer = error.response.get("Error", {}) if isinstance(error, ClientError) else {}
        raise ConfigurationError(
            f"{block.bucket_name}/{FOLDER} cannot be written "
            f"({answer.get('Code', type(error).__name__)}): check FACEPASS_S3_BUCKET, "
            "FACEPASS_S3_ENDPOINT_URL and the AWS credentials."
        ) from error


def main() -> int:
    """Save the block and say what to set."""
    try:
        slug = create_result_storage(get_settings())
    except FacePassError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(
        f"Saved the block {slug}: results go to {FOLDER} in the bucket.\n"
        f"Set this for every worker, and start them again:\n"
        f"FACEPASS_RESULT_STORAGE={slug}\n"
    )
    return 0


if __name__ == "__main__":
    from deployments.facepass import run

    run("result-storage")
