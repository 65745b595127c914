"""A client of the benchmark stack's S3, as a photographer's own program would open it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def open_client(environment: Mapping[str, str], connections: int = 16) -> "S3Client":
    """For the stack whose environment this is; `connections` threads may use it at a time."""
    return boto3.client(
        "s3",
        endpoint_url=environment["FACEPASS_S3_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
        # The environment's proxy is for the world, not for this machine.
        config=Config(proxies={}, max_pool_connections=connections),
    )
