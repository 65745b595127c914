"""Signed links that guests open: to a photo's preview and its original, valid for a short time.

They are signed for the region by which the bucket is read. A check opens one as a guest does.
"""

import logging
import re
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import quote

from botocore.auth import AUTH_TYPE_MAPS, SIGV4_TIMESTAMP, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.httpsession import URLLib3Session
from botocore.response import StreamingBody
from botocore.session import get_session
from botocore.utils import get_environ_proxies

from models.errors import FacePassError, S3AccessError
from models.settings import Settings, get_settings
from tasks.s3.bucket import EVENTS_FOLDER, Bucket, learn_region, open_s3_client
from tasks.s3.errors import (
    Fault,
    explain_s3_error,
    find_meaning,
    is_denial,
    map_s3_errors,
    quote_s3,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

logger = logging.getLogger(__name__)

PUBLIC = "FACEPASS_S3_PUBLIC_ENDPOINT_URL"
ASK_AGAIN_S = 60.0  # until S3 is asked for the region again, after it was away
CHECK_TIMEOUT_S = 1
READ_BYTES = 4096  # of the answer to a check
GOOD_FOR_S, BAD_FOR_S = 300.0, 15.0  # for how long a checked link is not checked again
# Under the folder of events, where none has this number.
ABSENT_KEY = f"{EVENTS_FOLDER}0/previews/absent.jpg"
_ROUNDED = "s3v4-rounded"  # the name of RoundedAuth, to botocore
_GIVEN = {200, 206, 416}  # the last where the object is empty
_IMAGE_TYPES = {
    **dict.fromkeys(("jpg", "jpeg", "jfif", "jpe", "jif", "pjpeg"), "image/jpeg"),
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
    **dict.fromkeys(("heic", "heif", "hif"), "image/heic"),
    **dict.fromkeys(("tif", "tiff"), "image/tiff"),
}


class RoundedAuth(S3SigV4QueryAuth):
    """Signs as of a moment that comes once in half of a link's life.

    A browser knows a photo by its address: with the second in it, each link would be a new one.
    """

    def _modify_request_before_signing(self, request: AWSRequest) -> None:
        step_s = max(1, self._expires // 2)  # type: ignore[attr-defined]  # not in the stubs
        moment = int(time.time()) // step_s * step_s
        request.context["timestamp"] = datetime.fromtimestamp(moment, UTC).strftime(SIGV4_TIMESTAMP)
        super()._modify_request_before_signing(request)  # type: ignore[misc]  # the same


@dataclass
class LinkSigner:
    """Signs links. S3 is asked once for the bucket's region, and nothing else for a link.

    The client's endpoint is the public one: a signature is for one host, and moving it to another
    makes it void.
    """

    settings: Settings
    bucket: str
    client: "S3Client"
    _lock: Lock = field(default_factory=Lock)
    _ask_at: float | None = 0.0  # monotonic; None once the region is known
    _check_at: float = 0.0  # monotonic
    _fault: FacePassError | None = None
    _is_reached: bool = True

    def sign_download(self, key: str) -> str:
        """A link that saves the object under its own file name."""
        return self._sign(key, build_disposition(key.rpartition("/")[2]))

    def sign_view(self, key: str) -> str:
        """A link that shows the object, as a picture and as nothing else."""
        return self._sign(key, "inline")

    def _sign(self, key: str, disposition: str | None) -> str:
        """Who uploads chooses an object's Content-Type: a page would run its scripts at S3's host.

        The type of S3's answer is the key's own therefore; S3 cannot be asked for `nosniff`, and
        browsers take no picture's type for a page's. Without a disposition it answers as it likes.
        """
        parameters = {"Bucket": self.bucket, "Key": key}
        if disposition is not None:
            parameters["ResponseContentDisposition"] = disposition
            parameters["ResponseContentType"] = name_image_type(key)
        self._settle_region()
        with map_s3_errors(self.bucket):
            return self.client.generate_presigned_url(
                "get_object", Params=parameters, ExpiresIn=self.settings.link_lifetime_s
            )

    def _settle_region(self) -> None:
        """Sign for the bucket's own region from now on; for the configured one while S3 is away."""
        if self._ask_at is None or time.monotonic() < self._ask_at:
            return
        with self._lock:
            if self._ask_at is None or time.monotonic() < self._ask_at:
                return
            region = learn_region(self.settings)
            if region and region != self.client.meta.region_name:
                self.client = _open_public_client(self.settings, region)
            self._ask_at = None if region else time.monotonic() + ASK_AGAIN_S

    def check(self, bucket: Bucket) -> bool:
        """Open one link as a guest does; what came of it stands for some minutes.

        False where its address cannot be reached from here, which is no fault: guests may reach it.
        Raises S3AccessError or S3DownloadError, with what to set, where S3 refuses it.
        """
        if time.monotonic() >= self._check_at:
            self._fault = self._find_fault(bucket)
            self._check_at = time.monotonic() + (BAD_FOR_S if self._fault else GOOD_FOR_S)
        if self._fault is not None:
            raise type(self._fault)(str(self._fault))
        return self._is_reached

    def _find_fault(self, bucket: Bucket) -> FacePassError | None:
        # Of an object that is there, if any: only its bytes prove that all is right.
        key = bucket.find_key()
        # Plain where there is none: moto refuses the answer's type for what it does not have.
        link = self._sign(ABSENT_KEY, None) if key is None else self.sign_view(key)
        self._is_reached = False
        try:
            status, content_type, body = _open_link(link)
        except BotoCoreError as error:
            # Not its text, which holds the link.
            logger.warning("Links could not be tried from here: %s", type(error).__name__)
            return None
        self._is_reached = True
        if status in _GIVEN and not content_type.startswith("text/html"):
            return None
        refusal = _read_refusal(status, body)
        code = refusal.response["Error"]["Code"]
        is_about_object = not code.isdigit() and find_meaning(refusal).fault is Fault.PHOTO
        is_lost = code == "NoSuchKey" or is_denial(refusal)
        if is_about_object and not (key is not None and is_lost):
            return None  # the signature was good: S3 looked for the object
        logger.warning("A link for guests was refused: %s", quote_s3(refusal))
        return _explain_refusal(refusal, bucket.name)


def name_image_type(key: str) -> str:
    """The Content-Type of a picture, by its key's suffix; of anything else, bytes to be saved."""
    return _IMAGE_TYPES.get(key.rpartition(".")[2].lower(), "application/octet-stream")


def build_disposition(file_name: str) -> str:
    """Content-Disposition of a download: plain ASCII for old clients, RFC 5987 for the name."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in file_name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='')}"


def open_link_signer(settings: Settings) -> LinkSigner:
    """A signer for the configured bucket. Raises ConfigurationError or S3AccessError."""
    return LinkSigner(settings, settings.require_s3_bucket(), _open_public_client(settings))


@lru_cache(maxsize=1)
def get_link_signer() -> LinkSigner:
    """This process's signer."""
    return open_link_signer(get_settings())


def _open_public_client(settings: Settings, region: str | None = None) -> "S3Client":
    endpoint = settings.s3_public_endpoint_url or settings.s3_endpoint_url
    AUTH_TYPE_MAPS[f"{_ROUNDED}-query"] = RoundedAuth
    config = Config(signature_version=_ROUNDED, region_name=region)
    return open_s3_client(settings, endpoint, PUBLIC, config)


def _open_link(link: str) -> tuple[int, str, bytes]:
    """Status, type and the first bytes; boto3's own client of HTTP has its proxies and its CAs."""
    session = URLLib3Session(
        verify=get_session().get_config_variable("ca_bundle") or True,
        proxies=get_environ_proxies(link),
        timeout=CHECK_TIMEOUT_S,
    )
    try:
        request = AWSRequest("GET", link, headers={"Range": "bytes=0-0"}, stream_output=True)
        answer = session.send(request.prepare())
        # Not all of it: a store may ignore Range. Its errors are short.
        stream = StreamingBody(answer.raw, None)  # type: ignore[arg-type]  # no length to compare
        with closing(stream):
            body = stream.read(READ_BYTES)
    finally:
        session.close()
    # A browser goes from http to https by itself, and the signature stays good.
    secure = "https" + link.removeprefix("http")
    if link.startswith("http://") and answer.headers.get("location") == secure:
        return _open_link(secure)
    return answer.status_code, answer.headers.get("content-type", ""), body


def _read_refusal(status: int, body: bytes) -> ClientError:
    """The answer as boto3 would raise it, for the one table of what S3's codes mean."""
    text = body.decode(errors="replace")
    told = {
        name: found.group(1)
        for name in ("Code", "Message", "Region")
        if (found := re.search(f"<{name}>([^<]*)</{name}>", text))
    }
    error = {"Code": str(status), "Message": "", **told}
    metadata = {"HTTPStatusCode": status}
    return ClientError({"Error": error, "ResponseMetadata": metadata}, "GetObject")  # type: ignore[typeddict-item]  # boto3 adds more


def _explain_refusal(answer: ClientError, bucket: str) -> FacePassError:
    code = answer.response["Error"]["Code"]
    if code.isdigit() or code == "NoSuchKey":
        return S3AccessError(
            f"Links for guests lead to what is not the bucket {bucket} (it answered {code}): check "
            f"{PUBLIC}, or FACEPASS_S3_ENDPOINT_URL where that is unset."
        )
    if code == "SignatureDoesNotMatch":
        return S3AccessError(
            "S3 refuses the signature of links for guests: whatever stands before it must leave "
            f"the host's name and the path as they are, and {PUBLIC} must name the address that "
            "guests open."
        )
    if is_denial(answer):
        return S3AccessError(
            f"Links for guests do not open what lies in the bucket {bucket}: allow the credentials "
            "s3:GetObject, and let no bucket policy deny it to guests' addresses."
        )
    error = explain_s3_error(answer, bucket)
    return type(error)(f"Links for guests do not work. {error}")
