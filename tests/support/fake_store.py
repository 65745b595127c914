"""A bucket without S3: objects in a dictionary, and what was asked of them."""

from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import md5
from pathlib import Path
from typing import Any

from deployments.push.folder import LocalFile
from deployments.push.mirror import SourceKeys, list_stored
from deployments.push.upload import NamedPhoto, PhotoSender
from tasks.images.preview import PreviewRecipe
from tasks.s3.bucket import Bucket
from tests.support.fake_s3 import make_error

KEYS = SourceKeys.of(1, "Карта-1a2b3c4d")


def hash_md5(content: bytes) -> str:
    """What S3 makes an ETag of."""
    return md5(content, usedforsecurity=False).hexdigest()


@dataclass
class FakeStore:
    """What boto3's client does for the push tool; `puts` and `heads` are the keys in order."""

    objects: dict[str, tuple[bytes, dict[str, str], str]] = field(default_factory=dict)
    puts: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    deletes: list[str] = field(default_factory=list)
    make_etag: Callable[[bytes], str] = field(default=hash_md5)
    before_put: Callable[[str], None] = lambda _: None

    def put_object(self, **call: Any) -> dict[str, Any]:
        """Keep the object, or refuse it as S3 does when its digest is another's."""
        self.before_put(call["Key"])
        body = call["Body"] if isinstance(call["Body"], bytes) else call["Body"].read()
        if b64decode(call["ContentMD5"]).hex() != hash_md5(body):
            raise make_error("BadDigest", 400, "PutObject")
        etag = self.make_etag(body)
        self.objects[call["Key"]] = (body, dict(call["Metadata"]), etag)
        self.puts.append(call["Key"])
        return {"ETag": f'"{etag}"'}

    def head_object(self, **call: Any) -> dict[str, Any]:
        """Its metadata."""
        self.heads.append(call["Key"])
        if call["Key"] not in self.objects:
            raise make_error("404", 404, "HeadObject")
        return {"Metadata": self.objects[call["Key"]][1]}

    def delete_object(self, **call: Any) -> None:
        """Forget it."""
        self.deletes.append(call["Key"])
        self.objects.pop(call["Key"], None)

    def list_objects_v2(self, **_: Any) -> dict[str, Any]:
        """The bucket is there."""
        return {}

    def get_paginator(self, _: str) -> "FakeStore":
        """This client lists by itself."""
        return self

    def paginate(self, **call: Any) -> Iterator[dict[str, Any]]:
        """Everything under a prefix, on one page."""
        found = [
            {"Key": key, "ETag": f'"{etag}"', "Size": len(content)}
            for key, (content, _, etag) in sorted(self.objects.items())
            if key.startswith(call["Prefix"])
        ]
        yield {"Name": "photos", "KeyCount": len(found), "Contents": found}


def aim(
    store: FakeStore,
    *,
    preview_side: int = 640,
    max_photo_bytes: int = 50_000_000,
    max_original_bytes: int = 200_000_000,
) -> PhotoSender:
    """The sender as a push that begins now has it."""
    bucket = Bucket(store, "photos", "https://s3.example.org/photos")  # type: ignore[arg-type]
    return PhotoSender(
        bucket,
        KEYS,
        list_stored(bucket, KEYS),
        PreviewRecipe(preview_side),
        max_photo_bytes=max_photo_bytes,
        max_original_bytes=max_original_bytes,
    )


def put_on_disk(folder: Path, relative: str, content: bytes) -> NamedPhoto:
    """A file, as the scan names it."""
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return NamedPhoto(LocalFile(path, relative, len(content)), relative)
