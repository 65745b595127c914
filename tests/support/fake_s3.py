"""An S3 client without S3: a dictionary of objects, and errors as boto3 raises them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

from tasks.s3.bucket import Bucket

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


def make_error(code: str, status: int, operation: str = "GetObject") -> ClientError:
    """What boto3 raises for an answer; S3's own answers do repeat the access key."""
    return ClientError(
        {
            "Error": {
                "Code": code,
                "Message": f"AWSAccessKeyId {ACCESS_KEY}, secret {SECRET_KEY}",
                "AWSAccessKeyId": ACCESS_KEY,  # type: ignore[typeddict-unknown-key]
                "StringToSign": SECRET_KEY,
            },
            "ResponseMetadata": {"HTTPStatusCode": status},  # type: ignore[typeddict-item]
        },
        operation,
    )


@dataclass
class FakeClient:
    """Objects by key: bytes, an error, an answer or its maker; `pages` is what a listing gives."""

    objects: dict[str, bytes | Exception | dict[str, Any] | Callable[[], dict[str, Any]]] = field(
        default_factory=dict
    )
    pages: list[dict[str, Any] | Exception] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def get_object(self, **call: Any) -> dict[str, Any]:
        """The object, as boto3 answers it."""
        self.calls.append(call)
        found = self.objects.get(call["Key"], make_error("NoSuchKey", 404))
        if isinstance(found, Exception):
            raise found
        if callable(found):
            return found()
        return answer_bytes(found) if isinstance(found, bytes) else found

    def get_paginator(self, operation: str) -> "FakeClient":
        """This client lists by itself."""
        assert operation == "list_objects_v2"
        return self

    def paginate(self, **call: Any) -> Iterator[dict[str, Any]]:
        """The pages, one by one; an error among them is raised in its place."""
        self.calls.append(call)
        for page in self.pages:
            if isinstance(page, Exception):
                raise page
            yield page


def answer_bytes(content: bytes) -> dict[str, Any]:
    """A GET's answer."""
    body = StreamingBody(BytesIO(content), len(content))  # type: ignore[arg-type]
    return {"Body": body, "ContentLength": len(content)}


def make_page(*keys: str) -> dict[str, Any]:
    """A listing's page with these keys."""
    items = [{"Key": key, "ETag": f'"etag of {key}"', "Size": 7} for key in keys]
    return {"Name": "photos", "KeyCount": len(items), "Contents": items}


def make_bucket(client: FakeClient) -> Bucket:
    """A bucket on a fake client."""
    return Bucket(client, "photos", "https://s3.example.org/photos")  # type: ignore[arg-type]
