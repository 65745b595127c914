"""How boto3 is set up for this process: whose credentials, and a quick reader of timestamps."""

from datetime import datetime
from typing import Any

import boto3
from botocore.session import get_session
from botocore.utils import parse_timestamp

from models.errors import ConfigurationError
from models.settings import Settings


def read_timestamp(value: object) -> datetime:
    """What boto3 makes of a timestamp, without its guessing where the form is S3's usual one.

    A listing has one a key, and that guessing is nearly half of a listing's work.
    """
    if isinstance(value, str) and value[10:11] == "T" and value.endswith("Z"):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    return parse_timestamp(value)  # type: ignore[arg-type]  # takes numbers too


def open_aws_session(settings: Settings) -> boto3.session.Session:
    """A session with the configured block's credentials, or with AWS's usual chain.

    Raises ConfigurationError where Prefect has no such block.
    """
    if not settings.aws_credentials_block:
        core = get_session()
        factory: Any = core.get_component("response_parser_factory")
        factory.set_parser_defaults(timestamp_parser=read_timestamp)
        return boto3.session.Session(botocore_session=core)
    from prefect_aws import AwsCredentials  # only where a block is configured: a slow import

    name = settings.aws_credentials_block
    try:
        block: Any = AwsCredentials.load(name)
    except ValueError as error:
        raise ConfigurationError(
            f"Prefect has no AwsCredentials block named {name}: create it in Prefect's UI, or "
            "correct FACEPASS_AWS_CREDENTIALS_BLOCK."
        ) from error
    session: boto3.session.Session = block.get_boto3_session()
    return session
