"""GETs of objects along the way that boto3 has found, for two fifths of its processor time.

boto3's own GET tells where the bucket is and how a request for it is signed. The next GETs are
made of that, by botocore's own signer, and sent by the client's own HTTP session. Whatever comes
back but the object is left to boto3, which asks again, and judges and retries as ever.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.exceptions import BotoCoreError
from botocore.hooks import first_non_none_response
from botocore.response import StreamingBody
from botocore.utils import percent_encode
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

METADATA_PREFIX = "x-amz-meta-"
_SAFE = "-._~/"  # what botocore leaves as it is in a key
# Of one request alone: its condition, and how it was signed.
_OWN_HEADERS = {
    "if-match",
    "amz-sdk-invocation-id",
    "amz-sdk-request",
    "authorization",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
}
_OK, _LEAST_REFUSAL = 200, 300
# Answers about the object, after which the way is still right: denied, not there, replaced.
_ABOUT_OBJECT = {403, 404, 412}


@dataclass(frozen=True)
class Way:
    """What the requests for a bucket's objects have in common; `base` is the URL before the key."""

    base: str
    headers: Mapping[str, str]
    signer: Any  # botocore's RequestSigner, which renews credentials that expire
    scope: Mapping[str, str]  # region, service and version of signatures
    client_config: object

    def sign(self, s3_key: str, headers: Mapping[str, str]) -> AWSRequest:
        """A signed GET of an object. Raises BotoCoreError."""
        request = AWSRequest(
            "GET",
            self.base + percent_encode(s3_key, safe=_SAFE),
            headers={**self.headers, **headers},
        )
        request.context = {"client_config": self.client_config}
        request.stream_output = True
        self.signer.get_auth_instance(**self.scope).add_auth(request)
        return request


@dataclass(frozen=True)
class OpenObject:
    """An object that is there, its body still to be read; `size` as announced, or 0."""

    size: int
    metadata: Mapping[str, str]
    body: StreamingBody


class DirectReader:
    """Opens objects of one bucket; thread-safe."""

    def __init__(self, client: "S3Client") -> None:
        self._http: Any = client._endpoint.http_session  # type: ignore[attr-defined]  # the only way to its pool
        self._events: Any = client.meta.events
        self._way: Way | None = None
        self._seen = threading.local()
        client.meta.events.register_last("before-sign.s3.GetObject", self._look)

    def _look(self, request: AWSRequest, request_signer: object, **words: Any) -> None:  # noqa: ANN401 (botocore's)
        self._seen.request, self._seen.signer, self._seen.words = request, request_signer, words

    def learn(self, s3_key: str) -> None:
        """Take the way of this thread's last GET through boto3, which has succeeded.

        None is taken where requests are not signed in S3's usual manner.
        """
        seen = vars(self._seen)
        request, signer, words = (seen.pop(name, None) for name in ("request", "signer", "words"))
        if request is None or words["signature_version"] != "s3v4":
            return
        signing = request.context.get("signing", {})
        base, key, rest = request.url.rpartition(percent_encode(s3_key, safe=_SAFE))
        if rest or not key or {"request_credentials", "identity_cache"} & signing.keys():
            return
        scope = {
            "region_name": signing.get("region") or words["region_name"],
            "signing_name": signing.get("signing_name") or words["signing_name"],
            "signature_version": words["signature_version"],
        }
        auth = signer.get_auth_instance(**scope)
        if type(auth) is not S3SigV4Auth or auth.credentials is None:
            return
        common = {k: v for k, v in request.headers.items() if k.lower() not in _OWN_HEADERS}
        self._way = Way(base, common, signer, scope, request.context.get("client_config"))

    def open(self, s3_key: str, headers: Mapping[str, str]) -> OpenObject | None:
        """An object; None where boto3 has to be asked."""
        if (way := self._way) is None:
            return None
        try:
            answer = self._send(way.sign(s3_key, headers).prepare())
            if answer.status_code == _OK:
                return _read_head(answer)
            if answer.status_code < _LEAST_REFUSAL:  # a success of another kind may be the object
                answer.raw.close()
            else:
                _ = answer.content  # to its end, so that the connection serves the next one
        except (BotoCoreError, HTTPError):  # of an error's body urllib3's own comes through
            self.forget()
            return None
        if answer.status_code not in _ABOUT_OBJECT:
            self.forget()
        return None

    def _send(self, request: AWSPreparedRequest) -> AWSResponse:
        """Send as botocore does: who listens on the client may answer first."""
        answers = self._events.emit("before-send.s3.GetObject", request=request)
        answer: AWSResponse = first_non_none_response(answers) or self._http.send(request)
        return answer

    def forget(self) -> None:
        """Leave the next objects to boto3, until one of them was given."""
        self._way = None


def _read_head(answer: AWSResponse) -> OpenObject:
    length = answer.headers.get("content-length")
    start = len(METADATA_PREFIX)
    metadata = {
        name[start:]: value
        for name, value in answer.headers.items()
        if name.lower().startswith(METADATA_PREFIX)
    }
    size = int(length) if length and length.isdigit() else 0
    body = StreamingBody(answer.raw, length)  # type: ignore[arg-type]  # as botocore makes it
    return OpenObject(size, metadata, body)
