"""The bucket of photos: the S3 client, its credentials, and functions that list and read.

Photos for the face engine are read whole, up to a size limit. Originals for a guest's zip are
streamed in chunks.
"""

import logging
import random
import re
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal, Self

import boto3
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from botocore.session import get_session
from botocore.utils import parse_timestamp

from models.errors import (
    ConfigurationError,
    PhotoChangedError,
    PhotoUnavailableError,
    S3AccessError,
)
from models.keys import FileKind, ListedPreview, is_image_key, is_storable, judge_kind
from models.settings import Settings, get_settings
from models.vocabulary import PhotoReason
from tasks.s3.direct import DirectReader, OpenObject
from tasks.s3.errors import (
    NOT_S3,
    explain_object_error,
    is_denial,
    is_lost_redirect,
    is_refused_form,
    map_s3_errors,
)

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef, HeadObjectOutputTypeDef

logger = logging.getLogger(__name__)

# How often a photo is read whose bytes break off after S3 has answered: botocore repeats requests
# that fail, and no body that ends early.
BODY_TRIES = 3
LONGEST_WAIT_S = 8.0
GUESTS_TIMEOUT_S, GUESTS_TRIES = 7.0, 2
REGION_TIMEOUT_S = 2.0
EVENTS_FOLDER = "events/"  # of those without a prefix of their own
READ_BYTES = 1024 * 1024  # of a photo, at a time
PIECE_BYTES = 256 * 1024  # of an original, at a time
_NO_FIRST_BYTE = {"InvalidRange", "416"}  # of an empty object
_AWS_HOST = re.compile(r"^https?://([^/]+\.)?amazonaws\.com(\.cn)?(:\d+)?(/|$)")


class Feature(StrEnum):
    """What not every store has."""

    CONDITIONAL_GET = "If-Match of a GET"
    CONDITIONAL_PUT = "If-Match and If-None-Match of a PUT"


@dataclass(frozen=True)
class Bucket:
    """A bucket and the client that reads it.

    `lacking` is what its store was found to lack. `direct` reads photos with less work than the
    client does; whatever it leaves is the client's.
    """

    client: "S3Client"
    name: str
    public_url: str  # {endpoint}/{bucket}, for links
    lacking: set[Feature] = field(default_factory=set)
    direct: DirectReader | None = None

    def check(self) -> None:
        """Raise S3AccessError or S3DownloadError unless the bucket can be listed."""
        with map_s3_errors(self.name):
            _require_listing(self.client.list_objects_v2(Bucket=self.name, MaxKeys=1))

    def find_key(self) -> str | None:
        """The key of some object, of an event's if there is one; None where the bucket is empty.

        Raises S3AccessError or S3DownloadError.
        """
        with map_s3_errors(self.name):
            for prefix in (EVENTS_FOLDER, ""):
                page = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix, MaxKeys=1)
                if items := page.get("Contents"):
                    return items[0]["Key"]
        return None

    def read_head(self, s3_key: str) -> "HeadObjectOutputTypeDef":
        """What S3 knows of an object.

        Raises PhotoUnavailableError about this object, S3DownloadError or S3AccessError about S3
        itself.
        """
        try:
            with map_s3_errors(self.name, explain_object_error):
                return self.client.head_object(Bucket=self.name, Key=s3_key)
        except PhotoUnavailableError as error:
            # A HEAD's refusal has no words. A listing's has, where not this object is its cause.
            if error.reason != PhotoReason.VANISHED:
                self.check()
            raise

    def find_head(self, s3_key: str) -> "HeadObjectOutputTypeDef | None":
        """As `read_head`; None where there is no such object."""
        try:
            return self.read_head(s3_key)
        except PhotoUnavailableError as error:
            if error.reason == PhotoReason.VANISHED:
                return None
            raise

    def list_pages(self, s3_prefix: str) -> Generator[list[ListedPreview], None, None]:
        """Every key under the prefix, page by page, so that memory does not grow with them."""
        paginator = self.client.get_paginator("list_objects_v2")
        with map_s3_errors(self.name):
            for page in paginator.paginate(Bucket=self.name, Prefix=s3_prefix):
                _require_listing(page)
                items = page.get("Contents", [])
                kept = [
                    ListedPreview(
                        s3_key=item["Key"],
                        etag=item["ETag"].strip('"'),
                        size=item["Size"],
                        modified=item.get("LastModified"),
                    )
                    for item in items
                    if is_storable(item["Key"])
                ]
                if left_out := len(items) - len(kept):
                    logger.warning("Left out %d keys: PostgreSQL takes no zero bytes.", left_out)
                yield kept

    def read_photo(
        self, s3_key: str, etag: str, max_bytes: int, notes: dict[str, str] | None = None
    ) -> bytes:
        """A photo's bytes, as listed; `notes` is filled with its metadata.

        Raises PhotoUnavailableError or PhotoChangedError about this photo, S3DownloadError or
        S3AccessError about S3 itself.
        """
        attempt = 0
        with map_s3_errors(self.name, explain_object_error):
            while True:
                attempt += 1
                answer = self._open_photo(s3_key, etag)
                if notes is not None:
                    notes.update(answer.metadata)
                # Not `with body`: that hands out the raw stream, whose errors and length nobody
                # checks.
                with closing(answer.body) as body:
                    if answer.size > max_bytes:
                        raise PhotoUnavailableError(PhotoReason.TOO_MANY_BYTES)
                    try:
                        return _read_body(body, max_bytes)
                    except BotoCoreError:
                        self._forget_way()
                        if attempt == BODY_TRIES:
                            raise
                time.sleep(draw_wait(attempt))

    def _open_photo(self, s3_key: str, etag: str) -> OpenObject:
        if Feature.CONDITIONAL_GET not in self.lacking:
            condition = f'"{etag}"'
            if self.direct and (found := self.direct.open(s3_key, {"If-Match": condition})):
                return found
            try:
                answer = self.client.get_object(Bucket=self.name, Key=s3_key, IfMatch=condition)
            except ClientError as error:
                if not is_refused_form(error):
                    raise
            else:
                if self.direct:
                    self.direct.learn(s3_key)
                return _unpack(answer)
        answer = self.client.get_object(Bucket=self.name, Key=s3_key)
        self.lacking.add(Feature.CONDITIONAL_GET)
        if answer["ETag"].strip('"') != etag:
            answer["Body"].close()
            raise PhotoChangedError("The photo was replaced during the sync.")
        return _unpack(answer)

    def _forget_way(self) -> None:
        if self.direct:
            self.direct.forget()


def _unpack(answer: "GetObjectOutputTypeDef") -> OpenObject:
    return OpenObject(answer.get("ContentLength", 0), answer.get("Metadata", {}), answer["Body"])


def open_bucket(settings: Settings, read_timeout_s: float | None = None, tries: int = 4) -> Bucket:
    """The configured bucket. Raises ConfigurationError or S3AccessError."""
    name = settings.require_s3_bucket()
    config = Config(
        connect_timeout=5,
        read_timeout=read_timeout_s or settings.s3_timeout_s,
        max_pool_connections=256,  # opened when needed: an engine of 64 cores fetches 192 at a time
        retries={"mode": "standard", "total_max_attempts": tries},
    )
    client = open_s3_client(settings, settings.s3_endpoint_url, "FACEPASS_S3_ENDPOINT_URL", config)
    endpoint = settings.s3_public_endpoint_url or client.meta.endpoint_url
    url = f"{endpoint.rstrip('/')}/{name}"
    return Bucket(client, name, url, direct=DirectReader(client))


@lru_cache(maxsize=1)
def get_bucket() -> Bucket:
    """This process's bucket; the client is thread-safe and its connections are shared."""
    return open_bucket(get_settings())


@lru_cache(maxsize=1)
def get_guests_bucket() -> Bucket:
    """The same bucket for somebody who waits: S3 is given up after a quarter of a minute."""
    settings = get_settings()
    return open_bucket(settings, min(GUESTS_TIMEOUT_S, settings.s3_timeout_s), GUESTS_TRIES)


def open_s3_client(
    settings: Settings, endpoint: str | None, variable: str, config: Config
) -> "S3Client":
    """A client of an S3 server, or of AWS; `variable` is the setting that names the endpoint.

    AWS is asked at the region's own host with the bucket in its name, the only address that is
    right for links to all of its regions; others by path, which nearly all of them understand.
    Raises ConfigurationError or S3AccessError.
    """
    # Uploads bring their Content-MD5, which every S3 server checks. boto3's own checksum comes
    # after the body, and it asks for one with each GET: many refuse either.
    plain = Config(
        request_checksum_calculation="when_required", response_checksum_validation="when_required"
    )

    def connect(style: Literal["path", "virtual"]) -> "S3Client":
        styled = config.merge(plain).merge(Config(s3={"addressing_style": style}))
        client = session.client("s3", endpoint_url=endpoint, config=styled)
        client.meta.events.register_first("needs-retry.s3", _leave_lost_redirect)
        return client

    try:
        with map_s3_errors(settings.require_s3_bucket()):
            session = open_aws_session(settings)
            client = connect(settings.s3_addressing)
            # Without an endpoint of ours it still need not be AWS: AWS_ENDPOINT_URL_S3 names one.
            is_aws = not endpoint and _AWS_HOST.search(client.meta.endpoint_url)
            return connect("virtual") if is_aws else client
    except ValueError as error:
        raise ConfigurationError(
            f"{variable} must be an address such as https://s3.example.com."
        ) from error


def learn_region(settings: Settings) -> str | None:
    """The region that S3 takes signatures for, whatever is configured.

    None where S3 is away, or refuses for what may be mended, or something else answers: none of
    them tells the region. The sync's client follows S3 to the bucket's region by itself. Who only
    signs has to ask, once.
    Raises ConfigurationError or S3AccessError.
    """
    config = Config(
        connect_timeout=REGION_TIMEOUT_S,
        read_timeout=REGION_TIMEOUT_S,
        retries={"total_max_attempts": 1},
    )
    client = open_s3_client(settings, settings.s3_endpoint_url, "FACEPASS_S3_ENDPOINT_URL", config)
    signed_for: list[str | None] = [None]

    def note(request: AWSRequest, region_name: str, **_: object) -> None:
        # A redirected request is signed for the region in its context.
        signed_for.append(request.context.get("signing", {}).get("region") or region_name)

    client.meta.events.register("before-sign.s3", note)
    try:
        _require_listing(client.list_objects_v2(Bucket=settings.require_s3_bucket(), MaxKeys=1))
    except ClientError as error:
        if not is_denial(error, in_words=True):
            return None
    except (BotoCoreError, ResponseParserError, RecursionError, S3AccessError):
        return None
    finally:
        client.close()
    return signed_for[-1]


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


def read_timestamp(value: object) -> datetime:
    """A timestamp as boto3 reads it, without its guessing where the form is S3's usual one.

    A listing has one a key, and that guessing is nearly half of a listing's work.
    """
    if isinstance(value, str) and value[10:11] == "T" and value.endswith("Z"):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    return parse_timestamp(value)  # type: ignore[arg-type]  # takes numbers too


def list_s3_objects(
    bucket: Bucket, s3_prefix: str, ignored: "Counter[str] | None" = None
) -> Generator[list[ListedPreview], None, None]:
    """The previews under a prefix, page by page; other files are left out, and counted by kind."""
    for page in bucket.list_pages(s3_prefix):
        images = [item for item in page if is_image_key(item.s3_key)]
        if ignored is not None and len(images) < len(page):
            ignored.update(judge_kind(item.s3_key) for item in page)
            del ignored[FileKind.PHOTO]
        yield images


def list_s3_keys(bucket: Bucket, s3_prefix: str) -> Generator[Sequence[str], None, None]:
    """All keys under a prefix, page by page."""
    for page in bucket.list_pages(s3_prefix):
        yield [item.s3_key for item in page]


class ObjectStream:
    """An object that is there, or a range of one: an iterator over its bytes, piece by piece.

    size: of what is read here; None where the store does not say. Memory does not grow with it.
    Raises S3DownloadError or S3AccessError about S3 itself while it is read.
    """

    def __init__(self, bucket: Bucket, body: "StreamingBody", size: int | None, etag: str) -> None:
        self.size = size
        self.etag = etag
        self._bucket = bucket
        self._body = body

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        # Ends with an empty read: that is when botocore compares what came with what was announced.
        with map_s3_errors(self._bucket.name):
            if piece := self._body.read(PIECE_BYTES):
                return piece
        raise StopIteration

    def close(self) -> None:
        """Let go of the connection; one that is not at its end is closed."""
        self._body.close()


def open_original_stream(bucket: Bucket, key: str, part: range | None = None) -> ObjectStream:
    """An object, or these bytes of it.

    Raises PhotoUnavailableError where it is not there, S3DownloadError or S3AccessError about S3
    itself.
    """
    with map_s3_errors(bucket.name, explain_object_error):
        if part is None:
            answer = bucket.client.get_object(Bucket=bucket.name, Key=key)
        else:
            wanted = f"bytes={part.start}-{part.stop - 1}"
            answer = bucket.client.get_object(Bucket=bucket.name, Key=key, Range=wanted)
    return ObjectStream(bucket, answer["Body"], answer["ContentLength"], answer["ETag"].strip('"'))


def open_picture_stream(bucket: Bucket, key: str) -> ObjectStream:
    """An object by the way that costs least, without its ETag. Raises as open_original_stream."""
    with map_s3_errors(bucket.name, explain_object_error):
        found = bucket.direct.open(key, {}) if bucket.direct else None
        if found is None:
            answer = bucket.client.get_object(Bucket=bucket.name, Key=key)
            if bucket.direct:
                bucket.direct.learn(key)
            found = _unpack(answer)
    return ObjectStream(bucket, found.body, found.size or None, "")


def measure_original(bucket: Bucket, key: str) -> tuple[int, str]:
    """The size and the ETag of an object that can be read, as its first byte proves.

    A HEAD would also succeed for what is archived. Raises as open_original_stream.
    """
    with map_s3_errors(bucket.name, explain_object_error):
        try:
            answer = bucket.client.get_object(Bucket=bucket.name, Key=key, Range="bytes=0-0")
        except ClientError as error:
            if error.response["Error"]["Code"] not in _NO_FIRST_BYTE:
                raise
            answer = bucket.client.get_object(Bucket=bucket.name, Key=key)
    answer["Body"].close()
    total = answer.get("ContentRange", "").rpartition("/")[2]
    size = int(total) if total.isdecimal() else answer["ContentLength"]
    return size, answer["ETag"].strip('"')


def draw_wait(attempt: int) -> float:
    """Seconds before the next look: longer each time, and different for all who meet a fault."""
    return random.uniform(0.0, min(LONGEST_WAIT_S, 2.0**attempt))  # noqa: S311 - no secret


def _leave_lost_redirect(
    request_dict: dict[str, Any],
    response: tuple[object, dict[str, Any]] | None = None,
    **_: object,
) -> None:
    """Keep boto3 from asking for the region where a redirect names none: it asks without end."""
    if response is not None and is_lost_redirect(response[1]):
        request_dict["context"].setdefault("s3_redirect", {})["redirected"] = True


def _require_listing(page: Mapping[str, Any]) -> None:
    """Raise S3AccessError for a page of something else, which boto3 reads as no keys."""
    if not {"KeyCount", "Name"} & page.keys():
        raise S3AccessError(NOT_S3)


def _read_body(body: "StreamingBody", max_bytes: int) -> bytes:
    """All of a body; at most one byte over the limit, whatever length the server announced.

    Ends with an empty read: that is when botocore compares what came with what was announced.
    """
    content = BytesIO()
    while piece := body.read(min(READ_BYTES, max_bytes + 1 - content.tell())):
        content.write(piece)
        if content.tell() > max_bytes:
            raise PhotoUnavailableError(PhotoReason.TOO_MANY_BYTES)
    return content.getvalue()
