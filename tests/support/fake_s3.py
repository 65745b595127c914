"""An S3 client without S3: a dictionary of objects, and errors as boto3 raises them."""

from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import md5
from io import BytesIO
from typing import Any, Self

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


def hash_md5(content: bytes) -> str:
    """The hex digest that S3 makes an ETag of."""
    return md5(content, usedforsecurity=False).hexdigest()


@dataclass
class FakeClient:
    """A bucket in a dictionary: bytes by key, or what a read of the key meets instead.

    That is an error, an answer or the answer's maker. `pages` is what a listing gives instead of
    the objects; `calls` is what was asked, in order, without the writes that were refused.
    """

    objects: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    written: dict[str, datetime] = field(default_factory=dict)
    pages: list[dict[str, Any] | Exception] | None = None
    page_size: int = 1000
    undeletable: tuple[str, ...] = ()
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    make_etag: Callable[[bytes], str] = hash_md5
    before_put: Callable[[str], object] = lambda _: None

    def get_keys(self, operation: str) -> list[str]:
        """The keys that an operation was asked for, in order."""
        return [call["Key"] for name, call in self.calls if name == operation]

    def get_etag(self, key: str) -> str:
        """An object's ETag, without its quotes."""
        return self.make_etag(self.objects[key])

    def get_object(self, **call: Any) -> dict[str, Any]:
        """The object, if it still is the one that is asked for."""
        self.calls.append(("get_object", call))
        found = self.objects.get(call["Key"], make_error("NoSuchKey", 404))
        if isinstance(found, Exception):
            raise found
        if callable(found):
            found = found()
        if isinstance(found, dict):
            return found
        self._check_match(call, "GetObject")
        return answer_bytes(found)

    def head_object(self, **call: Any) -> dict[str, Any]:
        """What is known about the object."""
        self.calls.append(("head_object", call))
        key = call["Key"]
        if key not in self.objects:
            raise make_error("404", 404, "HeadObject")
        size, metadata = len(self.objects[key]), self.metadata.get(key, {})
        return {"ETag": f'"{self.get_etag(key)}"', "ContentLength": size, "Metadata": metadata}

    def put_object(self, **call: Any) -> dict[str, Any]:
        """Keep the object, or refuse it: a condition is not met, or its digest is another's."""
        key = call["Key"]
        self.before_put(key)
        body = call["Body"] if isinstance(call["Body"], bytes) else call["Body"].read()
        if "ContentMD5" in call and b64decode(call["ContentMD5"]).hex() != hash_md5(body):
            raise make_error("BadDigest", 400, "PutObject")
        if call.get("IfNoneMatch") == "*" and key in self.objects:
            raise make_error("PreconditionFailed", 412, "PutObject")
        self._check_match(call, "PutObject")
        self.objects[key], self.metadata[key] = body, dict(call["Metadata"])
        self.calls.append(("put_object", call))
        return {"ETag": f'"{self.get_etag(key)}"'}

    def delete_object(self, **call: Any) -> None:
        """Forget it."""
        self.calls.append(("delete_object", call))
        self.objects.pop(call["Key"], None)

    def delete_objects(self, **call: Any) -> dict[str, Any]:
        """Forget all that may be deleted."""
        self.calls.append(("delete_objects", call))
        keys = {item["Key"] for item in call["Delete"]["Objects"]}
        refused = keys.intersection(self.undeletable)
        for key in keys - refused:
            del self.objects[key]
        return {"Errors": [{"Key": key, "Code": "AccessDenied"} for key in refused]}

    def list_objects_v2(self, **_: Any) -> dict[str, Any]:
        """The bucket is there."""
        return build_page([])

    def get_paginator(self, operation: str) -> Self:
        """This client lists by itself."""
        assert operation == "list_objects_v2"
        return self

    def paginate(self, **call: Any) -> Iterator[dict[str, Any]]:
        """The pages, one by one; an error among them is raised in its place."""
        self.calls.append(("list_objects_v2", call))
        for page in self._list_pages(call["Prefix"]) if self.pages is None else self.pages:
            if isinstance(page, Exception):
                raise page
            yield page

    def _list_pages(self, prefix: str) -> Iterator[dict[str, Any]]:
        rows: list[dict[str, Any]] = [
            {"Key": key, "ETag": f'"{self.get_etag(key)}"', "Size": len(self.objects[key])}
            | ({"LastModified": self.written[key]} if key in self.written else {})
            for key in sorted(self.objects)
            if key.startswith(prefix)
        ]
        # An empty listing is one empty page.
        for start in range(0, max(len(rows), 1), self.page_size):
            yield build_page(rows[start : start + self.page_size])

    def _check_match(self, call: dict[str, Any], operation: str) -> None:
        key = call["Key"]
        if "IfMatch" in call and (
            key not in self.objects or call["IfMatch"] != f'"{self.get_etag(key)}"'
        ):
            raise make_error("PreconditionFailed", 412, operation)


def answer_bytes(content: bytes) -> dict[str, Any]:
    """A GET's answer."""
    body = StreamingBody(BytesIO(content), len(content))  # type: ignore[arg-type]
    return {"Body": body, "ContentLength": len(content)}


def make_page(*keys: str) -> dict[str, Any]:
    """A listing's page with these keys."""
    return build_page([{"Key": key, "ETag": f'"etag of {key}"', "Size": 7} for key in keys])


def build_page(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A listing's page with these rows."""
    return {"Name": "photos", "KeyCount": len(rows), "Contents": rows}


def make_bucket(client: FakeClient) -> Bucket:
    """A bucket on a fake client."""
    return Bucket(client, "photos", "https://s3.example.org/photos")  # type: ignore[arg-type]
