"""Answers that S3 gives for some objects, put in the place of a real server's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from botocore.awsrequest import AWSRequest, AWSResponse

from tasks.s3.bucket import Bucket


class _Body(BytesIO):
    """What botocore reads an answer from."""

    def stream(self, **_: object) -> Iterator[bytes]:
        """All of it."""
        yield self.read()


@contextmanager
def refuse_reading(bucket: Bucket, code: str, *endings: str) -> Iterator[None]:
    """While the block runs S3 answers 403 with a code for every object whose key ends so."""

    def is_meant(request: AWSRequest) -> bool:
        return str(request.url).partition("?")[0].endswith(endings)

    with refuse(bucket, "GetObject", 403, code, is_meant):
        yield


@contextmanager
def refuse(
    bucket: Bucket,
    operation: str,
    status: int,
    code: str,
    is_meant: Callable[[AWSRequest], bool] = lambda _: True,
) -> Iterator[None]:
    """While the block runs S3 answers so to those requests of an operation that are meant."""

    def answer(request: AWSRequest, **_: Any) -> AWSResponse | None:
        if not is_meant(request):
            return None
        body = _Body(f"<Error><Code>{code}</Code></Error>".encode())
        return AWSResponse(request.url, status, {}, body)

    events = bucket.client.meta.events
    events.register(f"before-send.s3.{operation}", answer)
    try:
        yield
    finally:
        events.unregister(f"before-send.s3.{operation}", answer)
