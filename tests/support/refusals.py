"""Answers that S3 gives for some objects, put in the place of a real server's."""

from collections.abc import Iterator
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

    def answer(request: AWSRequest, **_: Any) -> AWSResponse | None:
        if not str(request.url).partition("?")[0].endswith(endings):
            return None
        body = _Body(f"<Error><Code>{code}</Code></Error>".encode())
        return AWSResponse(request.url, 403, {}, body)

    events = bucket.client.meta.events
    events.register("before-send.s3.GetObject", answer)
    try:
        yield
    finally:
        events.unregister("before-send.s3.GetObject", answer)
