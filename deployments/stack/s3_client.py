"""What the stack says to its S3 server while it comes up: is it there, and is its bucket."""

from typing import TYPE_CHECKING

from deployments.stack.s3 import BUCKET, REGION, Keys
from deployments.stack.waiting import NotReadyError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def create_bucket(endpoint_url: str, keys: Keys) -> None:
    """A signed listing, and the bucket if it is missing. Raises NotReadyError until that works."""
    from botocore.exceptions import BotoCoreError, ClientError

    client = connect(endpoint_url, keys)
    try:
        if BUCKET not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
            client.create_bucket(Bucket=BUCKET)
    except (BotoCoreError, ClientError) as error:
        raise NotReadyError(str(error)) from error


def connect(endpoint_url: str, keys: Keys) -> "S3Client":
    """A client for waiting: one short try a call, the caller repeats."""
    import boto3  # half a second of imports, spent while the server starts
    from botocore.config import Config
    from botocore.session import Session

    # Without the variable for a profile: one that is set, but only there for AWS, would be looked
    # up and missed even though the keys are given.
    bare = Session(session_vars={"profile": (None, [], None, None)})
    return boto3.Session(botocore_session=bare).client(
        "s3",
        endpoint_url=endpoint_url,
        aws_access_key_id=keys.access,
        aws_secret_access_key=keys.secret,
        region_name=REGION,
        config=Config(
            s3={"addressing_style": "path"},
            connect_timeout=2,
            read_timeout=5,
            retries={"total_max_attempts": 1},
            proxies={},  # loopback, whatever proxy the environment names
        ),
    )
