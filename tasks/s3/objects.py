"""Functions that put objects into S3 and delete them, and the metadata of these objects.

The metadata saves us from sending or making anything twice:
    facepass-md5       of any upload: the content's MD5, for stores whose ETag is not an MD5
    facepass-original  of a preview or a view: the ETag of the original it was made from
    facepass-recipe    of a preview or a view: how it was made, for example "640q85v2"
    facepass-look      of a view: its width, height and mean colour, as "2048x1365 a0b1c2"
    facepass-reason    of a preview that is a copy of the original: why no preview could be made
    facepass-taken     of a preview: when its original was taken, as its camera wrote it
    facepass-camera    of a preview: what tells the camera apart, and its name, percent-encoded
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import file_digest, md5
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote, unquote

from botocore.exceptions import ClientError

from models.errors import PhotoChangedError, PhotoUnavailableError, S3AccessError
from models.vocabulary import Taking
from tasks.s3.bucket import Bucket, Feature
from tasks.s3.errors import (
    explain_write_error,
    is_refused_form,
    map_s3_errors,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import PutObjectRequestTypeDef

MD5 = "facepass-md5"
ORIGINAL = "facepass-original"
RECIPE = "facepass-recipe"
LOOK = "facepass-look"
REASON = "facepass-reason"
TAKEN = "facepass-taken"
CAMERA = "facepass-camera"
_TAKEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?([+-]\d\d:\d\d)?")
_CAMERA = re.compile(r"([0-9a-f]{8})(?: ([A-Za-z0-9_.~%-]{1,720}))?")


def hash_file_md5(path: Path) -> str:
    """A file's MD5 as hex digits, as S3 has it. Raises OSError."""
    with path.open("rb") as file:
        return file_digest(file, lambda: md5(usedforsecurity=False)).hexdigest()


def hash_md5(content: bytes) -> str:
    """Their MD5 as hex digits."""
    return md5(content, usedforsecurity=False).hexdigest()


def describe_taking(taking: Taking | None) -> dict[str, str]:
    """The metadata that tells when and by which camera a photo was taken: ASCII, 800 bytes."""
    if taking is None:
        return {}
    moment = taking.taken_at.isoformat()
    if taking.utc_offset is not None:
        hours, minutes = divmod(abs(taking.utc_offset), 60)
        moment += f"{'-' if taking.utc_offset < 0 else '+'}{hours:02}:{minutes:02}"
    name = quote(taking.camera_name or "", safe="")
    return {TAKEN: moment, CAMERA: f"{taking.camera} {name}".strip()}


def parse_taking(metadata: Mapping[str, str]) -> Taking | None:
    """Read what `describe_taking` wrote; None for anything else, whoever put it there."""
    moment, camera = metadata.get(TAKEN, ""), _CAMERA.fullmatch(metadata.get(CAMERA, ""))
    if camera is None or _TAKEN.fullmatch(moment) is None:
        return None
    try:
        taken_at = datetime.fromisoformat(moment)
    except ValueError:
        return None
    offset = taken_at.utcoffset()
    minutes = None if offset is None else offset // timedelta(minutes=1)
    name = "".join(c for c in unquote(camera[2] or "") if c.isprintable()) or None
    taking = Taking(taken_at.replace(tzinfo=None), minutes, camera[1], name)
    return taking if taking.is_plausible else None


def put_object(
    bucket: Bucket,
    key: str,
    body: bytes | IO[bytes],
    content_md5: str,
    *,
    content_type: str,
    metadata: Mapping[str, str] | None = None,
) -> str:
    """Upload in one request, whole or not at all; a file is streamed. Returns the new ETag.

    `content_md5`: hex digits; S3 refuses a body that is not what they say. Raises S3AccessError
    or S3DownloadError.
    """
    with map_s3_errors(bucket.name):
        answer = bucket.client.put_object(
            Bucket=bucket.name,
            Key=key,
            Body=body,
            ContentMD5=b64encode(bytes.fromhex(content_md5)).decode(),
            ContentType=content_type,
            Metadata={MD5: content_md5, **(metadata or {})},
        )
    return answer["ETag"].strip('"')


def put_unless_changed(
    bucket: Bucket, request: "PutObjectRequestTypeDef", etag: str | None
) -> None:
    """Put an object where there is none, or in the place of the one that has this ETag.

    A store without conditional writes is asked just before, for the rest of this process: of two
    writers at the same moment the later one wins there. Raises PhotoChangedError where another
    object is there, S3DownloadError or S3AccessError.
    """
    conditional: PutObjectRequestTypeDef = {**request}
    if etag is None:
        conditional["IfNoneMatch"] = "*"
    else:
        conditional["IfMatch"] = f'"{etag}"'
    with map_s3_errors(bucket.name, explain_write_error):
        if Feature.CONDITIONAL_PUT not in bucket.lacking:
            try:
                bucket.client.put_object(**conditional)
                return
            except ClientError as error:
                if not is_refused_form(error):
                    raise
        if _read_etag(bucket, request["Key"]) != etag:
            raise PhotoChangedError("The object was written by somebody else.")
        bucket.client.put_object(**request)
    bucket.lacking.add(Feature.CONDITIONAL_PUT)


def _read_etag(bucket: Bucket, key: str) -> str | None:
    head = bucket.find_head(key)
    return None if head is None else head["ETag"].strip('"')


def read_metadata(bucket: Bucket, key: str) -> Mapping[str, str] | None:
    """The metadata of an object; None where there is no such object.

    Raises S3AccessError or S3DownloadError.
    """
    try:
        head = bucket.find_head(key)
    except PhotoUnavailableError as error:
        raise S3AccessError(
            f"S3 does not say what lies in the bucket {bucket.name}: its credentials need "
            "s3:GetObject besides s3:ListBucket, s3:PutObject and s3:DeleteObject."
        ) from error
    return None if head is None else head["Metadata"]


def delete_object(bucket: Bucket, key: str) -> None:
    """Delete; one that is not there is no error. Raises S3AccessError or S3DownloadError."""
    with map_s3_errors(bucket.name):
        bucket.client.delete_object(Bucket=bucket.name, Key=key)
